// Levels of speech and of its pauses, and normalisation by them: gaussavatar/audio/features/mel.py and
// gaussavatar/audio/normalise.py.

import { BANDS, LOG_FLOOR } from "./mel.js";
import { Rows } from "./rows.js";

/**
 * What a recording's features are normalised with, per column; `quiet` is the raw value that stands for silence.
 * @typedef {{mean: Float32Array, std: Float32Array, floor: Float32Array, quiet: Float32Array}} Statistics
 */

export const CLIP = 3.5;
const DEPTH = 8, SPEECH_SHARE = 0.75, GAP = 4.5, WITHIN = 1.6, PRIOR = 50, LEAST_CONTRAST = 2.3;

const clip = (value, most) => Math.min(Math.max(value, -most), most);

/** Normalised silence of each column. @param {Statistics} statistics */
export function silenceOf({ mean, std, quiet }) {
  return Float32Array.from(mean, (value, k) => clip((quiet[k] - value) / std[k], CLIP));
}

/** Statistics of columns side by side. */
export function beside(parts) {
  const joined = (name) => Float32Array.from(parts.flatMap((part) => [...part[name]]));
  return { mean: joined("mean"), std: joined("std"), floor: joined("floor"), quiet: joined("quiet") };
}

/** A share of the way from statistics to others. */
function towards(from, to, share) {
  const between = (name) => [name, from[name].map((value, k) => (1 - share) * value + share * to[name][k])];
  return Object.fromEntries(Object.keys(from).map(between));
}

/** One row, normalised into `into` at `at`; statistics lie `share` of the way from `old` to `now`. */
export function normaliseRow(data, from, width, old, now, share, into, at) {
  for (let k = 0; k < width; k++) {
    const mean = old.mean[k] + share * (now.mean[k] - old.mean[k]);
    const std = old.std[k] + share * (now.std[k] - old.std[k]);
    const floor = old.floor[k] + share * (now.floor[k] - old.floor[k]);
    into[at + k] = clip((Math.max(data[from + k], floor) - mean) / std, CLIP);
  }
}

function percentile(sorted, percent) {
  const place = (percent / 100) * (sorted.length - 1), before = Math.floor(place);
  const after = Math.min(before + 1, sorted.length - 1);
  return sorted[before] + (place - before) * (sorted[after] - sorted[before]);
}

/** How much each level (natural logarithm of power) belongs to speech rather than to a pause, 0..1; in place. */
function activity(level) {
  const sorted = level.slice().sort();
  const loud = percentile(sorted, 98);
  // Percentiles of levels that are raised to one are those levels, raised.
  const lowest = loud - 2 * DEPTH;
  for (let k = 0; k < sorted.length && sorted[k] < lowest; k++) sorted[k] = lowest;
  const quiet = percentile(sorted, 10), contrast = loud - quiet;
  for (let k = 0; k < level.length; k++) {
    const z = (Math.max(level[k], lowest) - (quiet + 0.45 * contrast)) / (0.06 * contrast);
    level[k] = contrast < LEAST_CONTRAST ? 0 : Math.fround(1 / (1 + Math.exp(-clip(z, 30))));
  }
  return level;
}

/** Natural logarithm of the power in all bands together, of a row. */
export function loudness(data, from) {
  let top = -Infinity, sum = 0;
  for (let k = 0; k < BANDS; k++) top = Math.max(top, data[from + k]);
  for (let k = 0; k < BANDS; k++) sum += Math.exp(data[from + k] - top);
  return top + Math.log(sum);
}

/** Sums over rows weighted by speech and by pause, of values raised to `lowest` and of their squares. */
function weighted(data, width, active, lowest = new Float64Array(BANDS).fill(-Infinity)) {
  const [speech, pause, speech2, pause2] = Array.from({ length: 4 }, () => new Float64Array(BANDS));
  for (let row = 0, from = 0; row < active.length; row++, from += width) {
    const share = active[row], rest = 1 - share;
    for (let k = 0; k < BANDS; k++) {
      const value = Math.max(data[from + k], lowest[k]), a = share * value, b = rest * value;
      speech[k] += a;
      pause[k] += b;
      speech2[k] += a * value;
      pause2[k] += b * value;
    }
  }
  return { speech, pause, speech2, pause2 };
}

function median(values) {
  const sorted = values.slice().sort(), middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/**
 * Statistics of log-mel, sane also where it is very short or almost all silence; the reasons stand in mel.py.
 * @param {Float32Array} data rows whose first 40 numbers are log-mel.
 * @param {number} count rows; @param {number} width numbers per row.
 * @param {Float32Array=} levels `loudness` of each row, where it is known.
 * @returns {Statistics}
 */
export function melStatistics(data, count, width = BANDS, levels = null) {
  if (count === 0) [data, count, width, levels] = [new Float32Array(BANDS).fill(LOG_FLOOR), 1, BANDS, null];
  const active = activity(Float64Array.from({ length: count }, (_, row) => levels?.[row] ?? loudness(data, row * width)));
  const nSpeech = active.reduce((sum, value) => sum + value, 0), nPause = count - nSpeech;
  let { speech, pause } = weighted(data, width, active);
  speech = speech.map((sum) => sum / Math.max(nSpeech, 1e-9));
  pause = pause.map((sum) => sum / Math.max(nPause, 1e-9));
  if (nSpeech < 1) speech = pause.map((value) => value + GAP);
  if (nPause < 1) pause = speech.map((value) => value - GAP);
  const lowest = speech.map((value) => value - DEPTH);
  pause = pause.map((value, k) => Math.max(value, lowest[k]));
  const sums = weighted(data, width, active, lowest);
  const meanSpeech = sums.speech.map((sum, k) => (sum + PRIOR * (pause[k] + GAP)) / (nSpeech + PRIOR));
  const meanPause = nSpeech < 1 ? pause : sums.pause.map((sum, k) => (sum + PRIOR * (speech[k] - GAP)) / (nPause + PRIOR));
  const about = (square, sum, n, middle) => square - 2 * middle * sum + n * middle * middle;
  const mean = meanSpeech.map((value, k) => SPEECH_SHARE * value + (1 - SPEECH_SHARE) * meanPause[k]);
  const std = mean.map((_, k) => {
    const speech2 = about(sums.speech2[k], sums.speech[k], nSpeech, meanSpeech[k]);
    const pause2 = about(sums.pause2[k], sums.pause[k], nPause, meanPause[k]);
    const inSpeech = (speech2 + PRIOR * WITHIN ** 2) / (nSpeech + PRIOR);
    const inPause = (pause2 + PRIOR * (WITHIN / 2) ** 2) / (nPause + PRIOR);
    const between = SPEECH_SHARE * (1 - SPEECH_SHARE) * (meanSpeech[k] - meanPause[k]) ** 2;
    return Math.sqrt(SPEECH_SHARE * inSpeech + (1 - SPEECH_SHARE) * inPause + between);
  });
  // A band without signal (a band-limited file) must not have its noise blown up.
  const least = 0.5 * median(std), floor = Float32Array.from(meanSpeech, (value) => value - DEPTH);
  const wide = Float32Array.from(std, (value) => Math.max(value, least));
  return { mean: Float32Array.from(mean), std: wide, floor, quiet: floor };
}

/**
 * Normalisation of features that arrive in pieces; what comes out does not depend on the pieces. Statistics are those
 * of the last `memory` seconds, taken anew after .1, .2, .4 s and every half second, and blended in over the next one.
 */
export class RunningNormaliser {
  #heard;
  #levels = new Rows(1);
  #level = new Float32Array(1);
  #n = 0;
  #old = null;

  /**
   * @param {(data: Float32Array, count: number, width: number, levels: Float32Array) => Statistics} statisticsOf of a
   * stretch of raw rows that begin with log-mel, whose `loudness` is computed once.
   * @param {number} width numbers per row; @param {number} rate rows per second; @param {number} memory seconds.
   * @param {Statistics=} initial of an earlier session, which carry weight until two seconds were heard.
   */
  constructor(statisticsOf, width, rate, memory = 30, initial = null) {
    Object.assign(this, { statisticsOf, width, every: Math.floor(rate / 2), memory: Math.floor(memory * rate), initial });
    this.warm = 2 * rate;
    this.early = [0.1, 0.2, 0.4].map((seconds) => Math.round(seconds * rate));
    this.#heard = new Rows(width);
    this.out = new Rows(width);
    this.#old = this.statistics = initial;
  }

  /** Take raw rows. @returns {Rows} as many normalised ones, until the next call. */
  push(rows) {
    const { out, width, every } = this;
    out.count = 0;
    const begin = out.grow(rows.count);
    for (let k = 0; k < rows.count; k++) {
      const from = k * width;
      this.#heard.append(rows.data.subarray(from, from + width), 1);
      this.#level[0] = loudness(rows.data, from);
      this.#levels.append(this.#level);
      if (this.statistics === null) this.#old = this.statistics = this.statisticsOf(rows.data.subarray(from), 1, width);
      const share = this.#n < every ? 1 : ((this.#n % every) + 1) / every;
      normaliseRow(rows.data, from, width, this.#old, this.statistics, share, out.data, begin + from);
      this.#n++;
      if (this.early.includes(this.#n) || this.#n % every === 0) this.#refresh();
    }
    return out;
  }

  #refresh() {
    for (const rows of [this.#heard, this.#levels]) rows.drop(rows.count - this.memory);
    this.#old = this.statistics;
    const fresh = this.statisticsOf(this.#heard.data, this.#heard.count, this.width, this.#levels.data);
    this.statistics = this.initial ? towards(this.initial, fresh, Math.min(1, this.#n / this.warm)) : fresh;
  }
}
