// The network from features to mouth codes, the gate that closes the mouth in silence, and how wide this person moves:
// gaussavatar/audio/encoder.py, gate.py and own_range.py.

import { Conv } from "./conv.js";
import { BANDS } from "./mel.js";
import { Rows } from "./rows.js";

/** Feature frames of a window, and from one video frame's window to the next one's. */
export const WINDOW = 33, STEP = 4;
/** Frames of the first window that lie before the sound. */
export const AHEAD = 14;
const TRUST = 75, LOUDEST = 1.7;

/** The networks' weights as {@link Conv} takes them: windows overlap, and what they share is computed once. */
export class Encoder {
  /**
   * @param {Gsa} gsa with `meta.speech` and the sections `speech.*`, or those of another network
   * @param {string=} name the other network's
   */
  constructor(gsa, name = "speech") {
    const { window, width, members, hidden, n_codes: codes, linear, ood = 0.3 } = gsa.meta[name];
    if (window !== WINDOW) throw new Error("This avatar's network hears windows of another length than this player knows.");
    const layer = (part, taps, groups, inputs, outputs, more) => ({
      weight: gsa.array(`${name}.${part}.weight`, [members, taps * inputs, outputs]),
      bias: gsa.array(`${name}.${part}.bias`, [members, 1, outputs]),
      inputs, outputs, taps, groups, ...more,
    });
    const stem = layer("stem", 5, 1, width, hidden, { stride: 2, relu: true });
    // All members hear the same: side by side they are one convolution.
    this.stem = { ...stem, weight: abreast(stem.weight, members, hidden), outputs: members * hidden };
    this.layers = [
      layer("middle", 3, members, hidden, hidden, { stride: 2, relu: true }),
      // From window to window these two move by one of their rows: every row's answer serves three windows.
      layer("top", 3, members, hidden, hidden, { relu: true }),
      layer("head", 3, members, hidden, codes, { dilation: 2 }),
    ];
    this.linear = linear ? this.#linear(gsa, name, width, codes) : null;
    Object.assign(this, { width, members, codes, answers: members + (linear ? 1 : 0) });
    this.centre = gsa.array(`${name}.centre`, [codes]);
    this.spread = gsa.array(`${name}.spread`, [codes]);
    this.range = gsa.has(`${name}.range.gain`) ? new OwnRange(gsa, name, codes) : null;
    this.heard = gsa.has(`${name}.heard.components`) && ood > 0 ? new HeardMatch(gsa, name, width, ood) : null;
  }

  #linear(gsa, name, width, codes) {
    const inputs = WINDOW * width, weight = gsa.array(`${name}.linear.weight`, [codes, inputs]);
    const turned = Float32Array.from(weight, (_, k) => weight[(k % codes) * inputs + Math.floor(k / codes)]);
    return { inputs: width, outputs: codes, taps: WINDOW, stride: STEP, weight: turned, bias: gsa.array(`${name}.linear.bias`, [codes]) };
  }
}

/** Weights of members, m x inputs x outputs, as inputs x (m outputs). */
function abreast(weight, members, outputs) {
  const inputs = weight.length / (members * outputs), wide = new Float32Array(weight.length);
  for (let m = 0; m < members; m++) {
    for (let i = 0; i < inputs; i++) {
      wide.set(weight.subarray((m * inputs + i) * outputs, (m * inputs + i + 1) * outputs), (i * members + m) * outputs);
    }
  }
  return wide;
}

/** An encoder over normalised features that come in pieces: answers and gate of each video frame. */
export class EncoderRun {
  /** @param {Encoder} encoder @param {{threshold: number, softness: number, hold: number}|null} gate */
  constructor(encoder, gate) {
    this.encoder = encoder;
    this.convolutions = [encoder.stem, ...encoder.layers].map((shape) => new Conv(shape));
    this.linear = encoder.linear && new Conv(encoder.linear);
    this.gate = gate && new Gate(gate);
    this.answers = new Rows(encoder.codes);
    this.gates = new Rows(1);
    this.seen = new Rows(encoder.width);
  }

  /** Take rows, of which the first `AHEAD` stand for what is before the sound; `answers` and `gates` grow. */
  push(rows) {
    const { encoder, answers, gates } = this, { codes, members, centre, spread } = encoder;
    const seen = encoder.heard ? encoder.heard.match(rows, this.seen) : rows;
    const heads = this.convolutions.reduce((given, convolution) => convolution.push(given), seen);
    const line = this.linear?.push(seen);
    let at = answers.grow(heads.count);
    for (let k = 0; k < heads.count; k++, at += codes) {
      for (let j = 0; j < codes; j++) {
        let sum = line ? line.data[k * codes + j] : 0;
        for (let m = 0; m < members; m++) sum += heads.data[(k * members + m) * codes + j];
        answers.data[at + j] = centre[j] + (spread[j] * sum) / encoder.answers;
      }
    }
    const begin = gates.grow(heads.count);
    if (this.gate) this.gate.push(rows, gates.data, begin);
    else gates.data.fill(1, begin, begin + heads.count);
  }
}

/** How far the mouth may follow the sound, 0 in silence to 1 in speech, told from the mean of normalised log-mel. */
class Gate {
  #levels = new Rows(1);

  constructor({ threshold, softness, hold }) {
    const radius = WINDOW >> 1;
    Object.assign(this, { threshold, softness });
    this.weights = Float64Array.from({ length: WINDOW }, (_, k) => (
      Math.min(Math.max((radius + 1 - Math.abs(k - radius)) / (radius + 1 - hold), 0), 1)
    ));
  }

  /** Gates of the windows that became complete, into `into` from `at` on. */
  push(rows, into, at) {
    const levels = this.#levels, begin = levels.grow(rows.count);
    for (let row = 0; row < rows.count; row++) {
      let sum = 0;
      for (let k = 0; k < BANDS; k++) sum += rows.data[row * rows.width + k];
      levels.data[begin + row] = sum / BANDS;
    }
    let first = 0;
    for (; first + WINDOW <= levels.count; first += STEP) into[at++] = this.#strongest(levels.data, first);
    levels.drop(Math.min(first, levels.count));
  }

  #strongest(levels, first) {
    let most = 0;
    for (let k = 0; k < WINDOW; k++) {
      let sum = 0;
      for (let near = k - 2; near <= k + 2; near++) sum += levels[first + Math.min(Math.max(near, 0), WINDOW - 1)];
      const z = Math.min(Math.max((sum / 5 - this.threshold) / this.softness, -30), 30);
      most = Math.max(most, this.weights[k] / (1 + Math.exp(-z)));
    }
    return most;
  }
}

/** Brings frames of a kind that the network never heard towards what it did hear (gaussavatar/audio/heard_before.py). */
class HeardMatch {
  constructor(gsa, name, width, ood) {
    const components = gsa.array(`${name}.heard.components`, [null, width]), count = components.length / width;
    const [low, high] = ["low", "high"].map((part) => gsa.array(`${name}.heard.${part}`, [count]));
    const mean = gsa.array(`${name}.heard.mean`, [width]);
    Object.assign(this, { components, low, high, mean, ood: components.some((value) => value !== 0) ? ood : 0 });
  }

  /** Each row alone, into `out`. */
  match(rows, out) {
    const { components, low, high, mean, ood } = this, { width, data } = rows;
    out.count = 0;
    out.append(data, rows.count);
    if (ood === 0) return out;
    for (let at = 0, end = rows.count * width; at < end; at += width) {
      for (let k = 0; k < width; k++) out.data[at + k] += ood * (mean[k] - data[at + k]);
      for (let c = 0, from = 0; c < low.length; c++, from += width) {
        let told = 0;
        for (let k = 0; k < width; k++) told += (data[at + k] - mean[k]) * components[from + k];
        told = ood * Math.min(Math.max(told, low[c]), high[c]);
        for (let k = 0; k < width; k++) out.data[at + k] += told * components[from + k];
      }
    }
    return out;
  }
}

/** How a network's codes become as wide as the person's. */
class OwnRange {
  constructor(gsa, name, codes) {
    const [gain, opening, toward] = ["gain", "opening", "toward"].map((part) => gsa.array(`${name}.range.${part}`, [codes]));
    const heard = gsa.array(`${name}.range.heard`, [null]), own = gsa.array(`${name}.range.own`, [heard.length]);
    Object.assign(this, { gain, opening, toward, heard, own });
  }

  /** Opening that a code says, before the voice is allowed for. */
  told(answers, from, centre) {
    return this.gain.reduce((sum, gain, k) => sum + (answers[from + k] - centre[k]) * gain * this.opening[k], 0);
  }

  /** One code in place, as wide as the person moves; `voice` is a factor and a shift of the opening. */
  match(codes, at, centre, [scale, shift]) {
    const opening = this.told(codes, at, centre) * scale, change = this.#piecewise(opening + shift) - opening;
    for (let k = 0; k < centre.length; k++) {
      codes[at + k] = centre[k] + (codes[at + k] - centre[k]) * this.gain[k] * scale + change * this.toward[k];
    }
  }

  #piecewise(x) {
    const { heard, own } = this, last = heard.length - 1;
    const inside = Math.min(Math.max(x, heard[0]), heard[last]);
    let right = 1;
    while (right < last && heard[right] < inside) right++;
    const share = (inside - heard[right - 1]) / Math.max(heard[right] - heard[right - 1], 1e-9);
    return own[right - 1] + Math.min(Math.max(share, 0), 1) * (own[right] - own[right - 1]) + (x - inside);
  }

  /** How much less a network dares under this voice than under the person's own, and how much more shut it is. */
  ofVoice(answers, gates, count, centre) {
    const told = [], codes = centre.length;
    for (let k = 0; k < count; k++) if (gates[k] > 0.5) told.push(this.told(answers, k * codes, centre));
    const own = spreadOf(this.heard.slice(1).map((value, k) => 0.5 * (value + this.heard[k]))), now = spreadOf(told);
    if (told.length < 2 || now.std < 1e-9 || this.opening.every((value) => value === 0)) return [1, 0];
    const trust = told.length / (told.length + TRUST);
    const scale = Math.min(Math.max(own.std / now.std, 1), LOUDEST) ** trust;
    const off = own.mean - scale * now.mean;
    return [scale, trust * Math.min(Math.max(off, -0.5 * own.std), 0.5 * own.std)];
  }
}

function spreadOf(values) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const square = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, std: Math.sqrt(square / (values.length - 1)) };
}
