// What an avatar hears: log-mel, and the viseme network's answers beside it (gaussavatar/audio/features/join.py).

import { BANDS, MEL_RATE, MelStream } from "./mel.js";
import { beside, melStatistics } from "./normalise.js";
import { Rows } from "./rows.js";
import { VisemeNetwork, VisemeStream } from "./viseme.js";

/** Rows of log-mel for one of the network's, and by how many of them it stands later: it is seen 100 ms less far ahead. */
const SLOWER = 2, LAG = 10;
/** Feature frames per second. */
export const FEATURE_RATE = MEL_RATE;

/** The features of an avatar, by the names in its file: `mel`, or `mel` and `viseme`. */
export class Features {
  /** @param {Gsa} gsa @param {string[]} names */
  constructor(gsa, names) {
    const known = names[0] === "mel" && (names.length === 1 || (names.length === 2 && names[1] === "viseme"));
    if (!known) throw new Error(`This avatar hears with ${names.join(" and ")}, which a page cannot.`);
    const part = (read) => (name) => read(`viseme.${name}`);
    this.network = names.length === 1 ? null : new VisemeNetwork(
      part((name) => gsa.array(name)), part((name) => gsa.shape(name)), gsa.meta.speech.viseme_layers,
    );
    this.width = BANDS + (this.network?.dimension ?? 0);
  }

  /** @returns {Statistics} of rows of these features. */
  statistics(data, count, width = this.width, levels = null) {
    const mel = melStatistics(data, count, width, levels);
    return this.network ? beside([mel, this.network.statistics(data, count, width, BANDS)]) : mel;
  }

  /** The features of sound that comes in pieces of any length. */
  stream() {
    return this.network ? new JoinedStream(this.network, this.width) : new MelStream();
  }
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
    const out = this.out, told = this.#told, width = told.width, count = Math.max(0, until - this.#n);
    out.count = 0;
    let at = out.grow(count);
    for (let k = 0; k < count; k++, at += out.width) {
      for (let band = 0; band < BANDS; band++) out.data[at + band] = this.#heard.data[k * BANDS + band];
      const place = Math.min(Math.max((this.#n + k - LAG) / SLOWER - this.#dropped, 0), told.count - 1);
      const before = Math.floor(place), share = place - before;
      const a = before * width, b = Math.min(before + 1, told.count - 1) * width;
      for (let j = 0; j < width; j++) out.data[at + BANDS + j] = (1 - share) * told.data[a + j] + share * told.data[b + j];
    }
    this.#heard.drop(count);
    this.#n += count;
    const done = Math.max(0, Math.min(Math.floor((this.#n - LAG) / SLOWER) - this.#dropped, told.count - 1));
    told.drop(done);
    this.#dropped += done;
    return out;
  }
}
