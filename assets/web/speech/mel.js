// Log-mel as gaussavatar/audio/features/mel_bands.py computes it: 40 bands, 100 frames a second of 16 kHz sound.

import { Rows } from "./rows.js";

export const RATE = 16000, MEL_RATE = 100, BANDS = 40;
const HOP = RATE / MEL_RATE, LENGTH = 400, SIZE = 512, FLOOR = 1e-11;
/** The log-mel of digital silence. */
export const LOG_FLOOR = Math.log(FLOOR);

const WINDOW = analysisWindow();
const FILTERS = filterbank();

function analysisWindow() {
  const hann = Float64Array.from({ length: LENGTH }, (_, k) => 0.5 - 0.5 * Math.cos((2 * Math.PI * k) / LENGTH));
  const scale = 2 / hann.reduce((sum, value) => sum + value, 0);
  return Float32Array.from(hann, (value) => value * scale);
}

/** Triangles between edges that are equidistant on the mel scale: where each begins, and its weights. */
function filterbank() {
  const [low, high] = [60, 7600].map((f) => 2595 * Math.log10(1 + f / 700));
  const edge = (k) => 700 * (10 ** ((low + ((high - low) * k) / (BANDS + 1)) / 2595) - 1);
  return Array.from({ length: BANDS }, (_, k) => {
    const [a, b, c] = [edge(k), edge(k + 1), edge(k + 2)], step = RATE / SIZE, begin = Math.ceil(a / step);
    const count = Math.floor(c / step) - begin + 1;
    const weight = (bin) => Math.max(0, Math.min((bin * step - a) / (b - a), (c - bin * step) / (c - b)));
    return { begin, weights: Float32Array.from({ length: count }, (_, bin) => weight(begin + bin)) };
  });
}

/** Fourier transform of `SIZE` complex numbers in place (Cooley and Tukey, radix 2). */
class Fourier {
  constructor() {
    this.re = new Float64Array(SIZE);
    this.im = new Float64Array(SIZE);
    this.cos = Float64Array.from({ length: SIZE / 2 }, (_, k) => Math.cos((2 * Math.PI * k) / SIZE));
    this.sin = Float64Array.from({ length: SIZE / 2 }, (_, k) => -Math.sin((2 * Math.PI * k) / SIZE));
    const bits = Math.log2(SIZE);
    this.order = Uint16Array.from({ length: SIZE }, (_, k) => {
      let turned = 0;
      for (let bit = 0; bit < bits; bit++) turned |= ((k >> bit) & 1) << (bits - 1 - bit);
      return turned;
    });
  }

  /** Of real samples under the analysis window, the rest 0. */
  load(samples, at) {
    const { re, im, order } = this;
    re.fill(0);
    im.fill(0);
    for (let k = 0; k < LENGTH; k++) re[order[k]] = Math.fround(samples[at + k] * WINDOW[k]);
  }

  run() {
    const { re, im, cos, sin } = this;
    for (let half = 1; half < SIZE; half *= 2) {
      const step = SIZE / (2 * half);
      for (let block = 0; block < SIZE; block += 2 * half) {
        for (let k = 0, w = 0; k < half; k++, w += step) {
          const a = block + k, b = a + half;
          const x = re[b] * cos[w] - im[b] * sin[w], y = re[b] * sin[w] + im[b] * cos[w];
          re[b] = re[a] - x;
          im[b] = im[a] - y;
          re[a] += x;
          im[a] += y;
        }
      }
    }
  }
}

/** Log-mel of sound that comes in pieces of any length; digital silence before and after. */
export class MelStream {
  #fourier = new Fourier();
  #power = new Float32Array(SIZE / 2 + 1);
  #held = new Rows(1);
  #samples = 0;
  #frames = 0;

  constructor() {
    this.out = new Rows(BANDS);
    this.#held.grow(LENGTH / 2);
  }

  /** Samples heard so far. */
  get samples() {
    return this.#samples;
  }

  /** @param {Float32Array} samples 16 kHz. @returns {Rows} frames that became complete, until the next call. */
  push(samples) {
    this.#held.append(samples);
    this.#samples += samples.length;
    return this.#emit(Math.max(0, Math.floor((this.#held.count - LENGTH) / HOP) + 1));
  }

  /** The remaining frames: those whose centre lies in the sound. */
  finish() {
    const begin = this.#held.grow(LENGTH + HOP);
    this.#held.data.fill(0, begin, begin + LENGTH + HOP);
    return this.#emit(Math.floor(this.#samples / HOP) + 1 - this.#frames);
  }

  #emit(count) {
    this.out.count = 0;
    let at = this.out.grow(count);
    for (let k = 0; k < count; k++, at += BANDS) this.#frame(k * HOP, at);
    this.#held.drop(count * HOP);
    this.#frames += count;
    return this.out;
  }

  #frame(from, at) {
    const fourier = this.#fourier, { re, im } = fourier, power = this.#power, into = this.out.data;
    fourier.load(this.#held.data, from);
    fourier.run();
    for (let bin = 0; bin <= SIZE / 2; bin++) power[bin] = re[bin] * re[bin] + im[bin] * im[bin];
    for (let band = 0; band < BANDS; band++) {
      const { begin, weights } = FILTERS[band];
      let sum = 0;
      for (let bin = 0; bin < weights.length; bin++) sum += power[begin + bin] * weights[bin];
      into[at + band] = Math.log(sum + FLOOR);
    }
  }
}
