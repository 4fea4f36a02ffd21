// Sound of any rate at 16 kHz, as it comes: a windowed sinc, one set of weights per place between two samples.

import { Rows } from "./rows.js";

/** Zero crossings of the sinc to either side, and shape of its Kaiser window (80 dB). */
const CROSSINGS = 48, BETA = 8, PHASES = 512;
/** Where the pass band ends, of the lower of both rates' half. */
const PASS = 0.96;

/** Modified Bessel function of the first kind, order 0. */
function bessel(x) {
  let sum = 1, term = 1;
  for (let k = 1; term > 1e-12 * sum; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

const divisor = (a, b) => (b ? divisor(b, a % b) : a);

/** Changes the rate of sound that comes in pieces; what comes out does not depend on the pieces. */
export class Resampler {
  #held = new Rows(1);
  #first = 0;
  #told = 0;
  #heard = 0;

  /** @param {number} from @param {number} to samples per second, whole numbers. */
  constructor(from, to = 16000) {
    if (![from, to].every((rate) => Number.isInteger(rate) && rate >= 1000 && rate <= 1e6)) {
      throw new Error(`Sound of ${from} samples per second cannot be heard.`);
    }
    const common = divisor(from, to);
    Object.assign(this, { up: to / common, down: from / common, cutoff: PASS * Math.min(1, to / from) });
    this.reach = from === to ? 0 : Math.ceil(CROSSINGS / this.cutoff);
    // Rates without a common divisor take the nearest of many places: an error of -60 dB at the highest frequencies.
    this.phases = Math.min(this.up, PHASES);
    this.weights = Array.from({ length: this.phases }, (_, phase) => this.#kernel(phase / this.phases));
    this.#held.grow(this.reach);
    this.#first = -this.reach;
  }

  #kernel(share) {
    const { reach, cutoff } = this;
    const weights = Float32Array.from({ length: 2 * reach + 1 }, (_, k) => {
      const x = k - reach - share, place = x / (reach + 1), angle = Math.PI * cutoff * x;
      const window = bessel(BETA * Math.sqrt(Math.max(0, 1 - place * place))) / bessel(BETA);
      return window * (x === 0 ? 1 : Math.sin(angle) / angle);
    });
    const sum = weights.reduce((total, weight) => total + weight, 0);
    return weights.map((weight) => weight / sum);
  }

  /** @param {Float32Array} samples @returns {Float32Array} those of the new rate that became complete. */
  push(samples) {
    this.#held.append(samples);
    this.#heard += samples.length;
    return this.#emit(Math.floor(((this.#heard - 1 - this.reach) * this.up) / this.down) + 1);
  }

  /** The rest, as if silence followed: as many samples in all as the sound is long. */
  finish() {
    this.#held.append(new Float32Array(2 * this.reach + 1));
    return this.#emit(Math.ceil((this.#heard * this.up) / this.down));
  }

  #emit(until) {
    const { up, down, reach, phases, weights } = this, held = this.#held, taps = 2 * reach + 1;
    const out = new Float32Array(Math.max(0, until - this.#told));
    for (let k = 0; k < out.length; k++) {
      const place = (this.#told + k) * down, whole = Math.floor(place / up);
      let from = whole - reach - this.#first, phase = Math.round(((place - whole * up) * phases) / up);
      if (phase === phases) [from, phase] = [from + 1, 0];
      const kernel = weights[phase], data = held.data;
      let sum = 0;
      for (let tap = 0; tap < taps; tap++) sum += kernel[tap] * data[from + tap];
      out[k] = sum;
    }
    this.#told += out.length;
    const done = Math.floor((this.#told * down) / up) - reach - this.#first;
    if (done > 0) {
      held.drop(done);
      this.#first += done;
    }
    return out;
  }
}

/**
 * A whole sound as one channel of 16 kHz.
 * @param {Float32Array[]} channels of one length; their mean is heard. @param {number} rate samples per second.
 */
export function at16k(channels, rate) {
  const mono = new Float32Array(channels[0].length);
  for (const channel of channels) for (let k = 0; k < mono.length; k++) mono[k] += channel[k] / channels.length;
  if (rate === 16000) return mono;
  const resampler = new Resampler(rate), first = resampler.push(mono), rest = resampler.finish();
  const whole = new Float32Array(first.length + rest.length);
  whole.set(first);
  whole.set(rest, first.length);
  return whole;
}
