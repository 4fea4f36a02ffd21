// What is being said, in classes that look alike: gaussavatar/audio/features/hama.py, for whole sounds.

import { answersOf, Conformer, FRAME } from "./conformer.js";
import { Rows } from "./rows.js";

/** Rows that the network may hear at once: 30 s. */
const LONGEST = 1500;

/** The feature `hama` of an avatar file. */
export class Hama {
  /** @param {Gsa} gsa with `meta.hama` and the sections `hama.*`. @param {boolean=} simd see {@link Conformer}. */
  constructor(gsa, simd = true) {
    const { blank, temperature, floor, piece, context, mean, std } = gsa.meta.hama ?? {}, [tokens, classes] = gsa.shape("hama.classes");
    const fits = [mean, std].every((of) => Array.isArray(of) && of.length === classes && of.every(Number.isFinite));
    const whole = [blank, piece, context].every((n) => Number.isInteger(n) && n >= 0);
    if (!fits || !whole || !(temperature > 0 && floor > 0) || piece < 1 || piece + 2 * context > LONGEST) {
      throw new Error("This avatar file is damaged: what it says of hama cannot be.");
    }
    Object.assign(this, { blank, temperature, floor, piece, context, tokens, dimension: classes });
    this.classes = gsa.array("hama.classes", [tokens, mean.length]);
    this.network = new Conformer(gsa, (piece + 2 * context + 1) * FRAME, simd);
    // The same for every sound; before its start and after its end stands what says nothing.
    const average = Float32Array.from(mean), lowest = new Float32Array(classes).fill(Math.log(floor));
    this.known = { mean: average, std: Float32Array.from(std), floor: lowest, quiet: average };
  }

  /**
   * Levels of the classes, 50 rows a second, heard a piece at a time with what lies before and after it.
   * @param {Float32Array} samples 16 kHz. @returns {Generator<void, Rows>}
   */
  *levels(samples) {
    const { piece, context } = this, whole = samples.map((value) => Math.min(Math.max(value, -1), 1));
    const rows = Math.floor(whole.length / FRAME) + 1, out = new Rows(this.dimension);
    for (let start = 0; start < rows; start += piece) {
      const stop = Math.min(rows, start + piece), first = Math.max(0, start - context), last = Math.min(rows, stop + context);
      const part = whole.subarray(first * FRAME, last * FRAME), scores = yield* this.network.run(part);
      let at = out.grow(stop - start);
      for (let row = start; row < stop; row++, at += this.dimension) {
        // The very end of a sound that is no multiple of the hop has no row of its own.
        this.#level(scores.data, Math.min(row - first, answersOf(part.length) - 1) * scores.width, out.data, at);
      }
      yield;
    }
    return out;
  }

  /** Scores without blank, softened, as shares of 1, summed by class, as logarithms. */
  #level(scores, from, into, at) {
    const { tokens, dimension, blank, temperature, floor, classes } = this;
    let most = -Infinity, sum = 0;
    for (let k = 0; k < tokens; k++) if (k !== blank) most = Math.max(most, scores[from + k]);
    const shares = new Float64Array(dimension);
    for (let k = 0; k < tokens; k++) {
      if (k === blank) continue;
      const share = Math.exp((scores[from + k] - most) / temperature);
      sum += share;
      for (let j = 0; j < dimension; j++) shares[j] += share * classes[k * dimension + j];
    }
    for (let j = 0; j < dimension; j++) into[at + j] = Math.log(shares[j] / sum + floor);
  }
}
