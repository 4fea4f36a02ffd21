// What an avatar hears: log-mel, and another network's answers beside it (gaussavatar/audio/features/join.py).

import { Hama } from "./hama.js";
import { BANDS, MEL_RATE, MelStream, RATE } from "./mel.js";
import { beside, melStatistics } from "./normalise.js";
import { Rows } from "./rows.js";
import { VisemeNetwork, VisemeStream } from "./viseme.js";

/** Rows of log-mel for one of the network's, and by how many of them it stands later: it is seen 100 ms less far ahead. */
const SLOWER = 2, LAG = 10;
/** Feature frames per second. */
export const FEATURE_RATE = MEL_RATE;

/** The features of an avatar, by the names in its file: `mel`, or `mel` and `viseme`, or `mel` and `hama`. */
export class Features {
  /** @param {Gsa} gsa @param {string[]} names */
  constructor(gsa, names) {
    const known = names[0] === "mel" && names.length <= 2 && [undefined, "viseme", "hama"].includes(names[1]);
    if (!known) throw new Error(`This avatar hears with ${names.join(" and ")}, which a page cannot.`);
    const part = (read) => (name) => read(`viseme.${name}`);
    this.network = names[1] !== "viseme" ? null : new VisemeNetwork(
      part((name) => gsa.array(name)), part((name) => gsa.shape(name)), gsa.meta.speech.viseme_layers,
    );
    this.hama = names[1] === "hama" ? new Hama(gsa) : null;
    this.width = BANDS + ((this.network ?? this.hama)?.dimension ?? 0);
  }

  /** @returns {Statistics} of rows of these features. */
  statistics(data, count, width = this.width, levels = null) {
    const mel = melStatistics(data, count, width, levels);
    if (this.hama) return beside([mel, this.hama.known]);
    return this.network ? beside([mel, this.network.statistics(data, count, width, BANDS)]) : mel;
  }

  /** The features of sound that comes in pieces of any length. */
  stream() {
    if (this.hama) throw new Error("What hears with hama hears whole sounds only.");
    return this.network ? new JoinedStream(this.network, this.width) : new MelStream();
  }

  /** The features of a whole sound, a little at a time. @returns {Generator<void, Rows>} */
  *whole(samples) {
    const stream = this.hama ? new MelStream() : this.stream(), raw = new Rows(stream.out.width);
    for (let at = 0; at < samples.length; at += RATE) {
      const rows = stream.push(samples.subarray(at, at + RATE));
      raw.append(rows.data, rows.count);
      yield;
    }
    const rest = stream.finish();
    raw.append(rest.data, rest.count);
    return this.hama ? joined(raw, yield* this.hama.levels(samples)) : raw;
  }
}

/** Rows of log-mel, and of half their rate beside them, linear between two. */
function joined(mel, told) {
  const out = new Rows(mel.width + told.width);
  out.grow(mel.count);
  for (let k = 0, at = 0; k < mel.count; k++, at += out.width) {
    for (let band = 0; band < mel.width; band++) out.data[at + band] = mel.data[k * mel.width + band];
    lay(told, Math.min(k / SLOWER, told.count - 1), out.data, at + mel.width);
  }
  return out;
}

/** The row at a place between two, into an array. */
function lay({ data, width, count }, place, into, at) {
  const before = Math.floor(place), share = place - before;
  const a = before * width, b = Math.min(before + 1, count - 1) * width;
  for (let k = 0; k < width; k++) into[at + k] = (1 - share) * data[a + k] + share * data[b + k];
}

class JoinedStream {
  #mel = new MelStream();
  #viseme;
  #heard = new Rows(BANDS);
  #told;
  #dropped = 0;
  #n = 0;

  constructor(network, width) {
    this.#viseme = new VisemeStream(network);
    this.#told = new Rows(network.dimension);
    this.out = new Rows(width);
  }

  get samples() {
    return this.#mel.samples;
  }

  push(samples) {
    this.#keep(this.#mel.push(samples));
    const told = this.#told.count + this.#dropped;
    // A frame is known once the last of the answers that it lies between is there.
    return this.#emit(told ? Math.min(this.#n + this.#heard.count, (told - 1) * SLOWER + 1 + LAG) : 0);
  }

  finish() {
    this.#keep(this.#mel.finish());
    const rest = this.#viseme.finish();
    this.#told.append(rest.data, rest.count);
    return this.#emit(this.#n + this.#heard.count);
  }

  #keep(mel) {
    this.#heard.append(mel.data, mel.count);
    const told = this.#viseme.push(mel);
    this.#told.append(told.data, told.count);
  }

  #emit(until) {
    const out = this.out, told = this.#told, count = Math.max(0, until - this.#n);
    out.count = 0;
    let at = out.grow(count);
    for (let k = 0; k < count; k++, at += out.width) {
      for (let band = 0; band < BANDS; band++) out.data[at + band] = this.#heard.data[k * BANDS + band];
      lay(told, Math.min(Math.max((this.#n + k - LAG) / SLOWER - this.#dropped, 0), told.count - 1), out.data, at + BANDS);
    }
    this.#heard.drop(count);
    this.#n += count;
    const done = Math.max(0, Math.min(Math.floor((this.#n - LAG) / SLOWER) - this.#dropped, told.count - 1));
    told.drop(done);
    this.#dropped += done;
    return out;
  }
}
