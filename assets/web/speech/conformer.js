// The network of the feature `hama`: a conformer (Gulati et al. 2020) over log-mel, from sound to scores of speech sounds.
// docs/gsa.md says what its sections are. Everything lies in one room, so that its products can be made quickly.

import { COLUMNS, panels, Room, ROWS, upTo } from "./multiply.js";

const HOP = 160, LENGTH = 400, BINS = LENGTH / 2 + 1, BANDS = 80, LOWEST = 1e-10, TAPS = 31, EPSILON = 1e-5;
/** Samples from one answer to the next. */
export const FRAME = 2 * HOP;
const WIDEST = 1024;
/** Rows that are worked at between two looks at the clock. */
const CHUNK = 64;
const { fround } = Math;

/** How many answers there are of so many samples. */
export const answersOf = (samples) => (Math.floor(samples / HOP) >> 1) + 1;

/** Answers to sounds of up to a certain length. */
export class Conformer {
  /**
   * @param {Gsa} gsa with `meta.hama` and the sections `hama.*`. @param {number} most samples of a sound.
   * @param {boolean=} simd whether to use it where there is some.
   */
  constructor(gsa, most, simd = true) {
    const { blocks, heads } = gsa.meta.hama;
    this.width = gsa.shape("hama.out")[0] - 1, this.inner = gsa.shape("hama.0.ffn1.out")[0] - 1;
    this.tokens = gsa.shape("hama.out")[1], this.scores = upTo(this.tokens, COLUMNS);
    if (this.width % (4 * heads) !== 0 || this.width > WIDEST || this.inner % 4 || !(blocks > 0)) throw new Error("This avatar's network for sounds of speech is of another kind.");
    Object.assign(this, { gsa, blocks, heads, most, simd, room: null });
  }

  /** Read the weights; a little at a time. */
  *#prepare() {
    const { gsa, width, blocks } = this, frames = Math.floor(this.most / HOP) + 1, rows = upTo(answersOf(this.most), CHUNK);
    const weights = [...gsa.sections.keys()].filter((name) => name.startsWith("hama.") && gsa.shape(name).length === 2)
      .reduce((sum, name) => sum + gsa.shape(name)[0] * upTo(gsa.shape(name)[1], COLUMNS), 0);
    const sizes = {
      sound: (upTo(frames, CHUNK) + 3) * HOP, spectrum: CHUNK * (2 * BINS + 2), mel: (2 * rows + 2) * BANDS,
      x: rows * width, y: rows * width, z: rows * width, wide: rows * Math.max(this.inner, 3 * width, this.scores),
      keys: rows * width, values: rows * width, seen: CHUNK * rows,
    };
    const total = Object.values(sizes).reduce((sum, size) => sum + size, 0);
    this.room = new Room(weights + total + LENGTH * (2 * BINS + 2) + 4096, this.simd);
    for (const [name, size] of Object.entries(sizes)) this[name] = this.room.take(size);
    this.fourier = { panels: this.room.take(LENGTH * (2 * BINS + 2)), inner: LENGTH, columns: 2 * BINS + 2 };
    panels(kernels(), LENGTH, 2 * BINS, this.room.data, this.fourier.panels);
    yield;
    this.filters = filtersOf(gsa.array("hama.mel", [BINS, BANDS]));
    this.stem = this.#matrix("stem", 3 * BANDS, width);
    this.out = this.#matrix("out", width, this.tokens);
    this.layers = [];
    for (let k = 0; k < blocks; k++) this.layers.push(yield* this.#block(k));
  }

  *#block(k) {
    const { width, inner } = this, layer = { norm: this.gsa.array(`hama.${k}.norm`, [2, width]) };
    const shapes = { "ffn1.in": [width, inner], "ffn1.out": [inner, width], "attn.in": [width, 3 * width], "attn.out": [width, width] };
    Object.assign(shapes, { "conv.in": [width, 2 * width], "conv.out": [width, width], "ffn2.in": [width, inner], "ffn2.out": [inner, width] });
    for (const [name, shape] of Object.entries(shapes)) {
      layer[name] = this.#matrix(`${k}.${name}`, ...shape);
      yield;
    }
    for (const part of ["ffn1", "attn", "conv", "ffn2"]) layer[`${part}.norm`] = this.gsa.array(`hama.${k}.${part}.norm`, [2, width]);
    layer.depth = this.gsa.array(`hama.${k}.conv.depth`, [TAPS + 1, width]);
    return layer;
  }

  #matrix(name, inner, outputs) {
    const matrix = this.gsa.array(`hama.${name}`, [inner + 1, outputs]), columns = upTo(outputs, COLUMNS);
    const at = this.room.take(inner * columns), bias = new Float32Array(columns);
    panels(matrix, inner, outputs, this.room.data, at);
    bias.set(matrix.subarray(inner * outputs));
    return { panels: at, bias, inner, columns };
  }

  /**
   * Scores of a sound, which begins and ends in itself; yields now and then, every few milliseconds of work.
   * @param {Float32Array} samples 16 kHz.
   * @returns {Generator<void, {data: Float32Array, width: number, count: number}>} rows of a score per token and of `width`
   * numbers in all, `FRAME` samples apart, until the next call.
   */
  *run(samples) {
    if (samples.length > this.most) throw new RangeError("This sound is too long for its network.");
    if (!this.room) yield* this.#prepare();
    const { data } = this.room, rows = answersOf(samples.length);
    yield* this.#hear(samples);
    yield* this.#dense(this.stem, this.mel, this.x, rows, 2 * BANDS, (at, bias) => activate(data, at, bias, gelu));
    for (const layer of this.layers) {
      yield* this.#feedForward(layer, "ffn1", rows);
      yield* this.#attend(layer, rows);
      yield* this.#convolve(layer, rows);
      yield* this.#feedForward(layer, "ffn2", rows);
      normalise(data, this.x, this.x, rows, layer.norm);
    }
    yield* this.#dense(this.out, this.x, this.wide, rows, this.width, (at, bias) => add(data, at, bias));
    return { data: data.subarray(this.wide, this.wide + rows * this.scores), width: this.scores, count: rows };
  }

  /** Log-mel of frames `HOP` apart into `mel`, a row of nothing before and after it. */
  *#hear(samples) {
    const { data, multiply } = this.room, { sound, spectrum, mel, fourier, filters } = this;
    const frames = Math.floor(samples.length / HOP) + 1, half = LENGTH / 2, last = samples.length - 1;
    const place = (k) => (last ? Math.abs(((((k + last) % (2 * last)) + 2 * last) % (2 * last)) - last) : 0);
    for (let k = 0; k < half; k++) {
      // The sound is mirrored at its ends.
      data[sound + k] = samples[place(k - half)];
      data[sound + half + samples.length + k] = samples[place(samples.length + k)];
    }
    data.set(samples, sound + half);
    data.fill(0, mel, mel + BANDS);
    for (let first = 0; first < frames; first += CHUNK) {
      const count = Math.min(CHUNK, frames - first);
      multiply(sound + first * HOP, fourier.panels, spectrum, upTo(count, ROWS), LENGTH, fourier.columns, HOP, fourier.columns);
      for (let k = 0; k < count; k++) bandsOf(data, spectrum + k * fourier.columns, filters, mel + (1 + first + k) * BANDS);
      yield;
    }
    data.fill(0, mel + (1 + frames) * BANDS, mel + (2 + frames) * BANDS);
  }

  /**
   * A layer over rows that begin `step` numbers apart; `then(at, bias)` is told where each row of the answer is, which are
   * as wide as the layer.
   */
  *#dense({ panels: weights, bias, inner, columns }, from, into, rows, step, then) {
    for (let first = 0; first < rows; first += CHUNK) {
      const count = Math.min(CHUNK, rows - first), at = into + first * columns;
      this.room.multiply(from + first * step, weights, at, upTo(count, ROWS), inner, columns, step, columns);
      for (let k = 0; k < count; k++) then(at + k * columns, bias, first + k);
      yield;
    }
  }

  *#feedForward(layer, part, rows) {
    const { x, y, z, wide, width, inner } = this, { data } = this.room;
    normalise(data, x, y, rows, layer[`${part}.norm`]);
    yield* this.#dense(layer[`${part}.in`], y, wide, rows, width, (at, bias) => activate(data, at, bias, swish));
    yield* this.#dense(layer[`${part}.out`], wide, z, rows, inner, (at, bias, row) => addTo(data, x + row * width, at, bias, 0.5));
  }

  *#attend(layer, rows) {
    const { x, y, z, wide, keys, values, seen, width, heads, room } = this, { data } = room, step = 3 * width;
    const size = width / heads, wanted = upTo(rows, 4);
    normalise(data, x, y, rows, layer["attn.norm"]);
    yield* this.#dense(layer["attn.in"], y, wide, rows, width, (at, bias) => add(data, at, bias));
    for (let head = 0; head < heads; head++) {
      const query = wide + head * size;
      // A row beyond the last is 0 here: what is kept of a row is finite, and nothing times it counts.
      data.fill(0, keys, keys + wanted * size);
      data.fill(0, values, values + wanted * size);
      for (let row = 0; row < rows; row++) {
        const key = query + width + row * step, value = key + width;
        for (let k = 0; k < size; k++) {
          data[keys + ((row >> 2) * size + k) * 4 + (row & 3)] = data[key + k];
          data[values + ((k >> 2) * wanted + row) * 4 + (k & 3)] = data[value + k];
        }
      }
      for (let first = 0; first < rows; first += CHUNK) {
        const count = Math.min(CHUNK, rows - first), even = upTo(count, ROWS);
        room.multiply(query + first * step, keys, seen, even, size, wanted, step, wanted);
        for (let k = 0; k < count; k++) shares(data, seen + k * wanted, rows, wanted, 1 / Math.sqrt(size));
        room.multiply(seen, values, y + first * width + head * size, even, wanted, size, wanted, width);
        yield;
      }
    }
    yield* this.#dense(layer["attn.out"], y, z, rows, width, (at, bias, row) => addTo(data, x + row * width, at, bias, 1));
  }

  *#convolve(layer, rows) {
    const { x, y, z, wide, width } = this, { data } = this.room;
    normalise(data, x, y, rows, layer["conv.norm"]);
    yield* this.#dense(layer["conv.in"], y, wide, rows, width, (at, bias, row) => gate(data, at, bias, z + row * width));
    for (let first = 0; first < rows; first += CHUNK) {
      for (let row = first; row < Math.min(rows, first + CHUNK); row++) alongTime(data, z, row, rows, layer.depth, width, y);
      yield;
    }
    yield* this.#dense(layer["conv.out"], y, z, rows, width, (at, bias, row) => addTo(data, x + row * width, at, bias, 1));
  }
}

/** Cosine and sine under a Hann window: `LENGTH` samples x all cosines, then all sines, as single precision has them. */
function kernels() {
  const made = new Float32Array(LENGTH * 2 * BINS), turn = fround(2 * Math.PI);
  for (let k = 0; k < LENGTH; k++) {
    const window = fround(0.5 - 0.5 * fround(Math.cos(fround(k * fround((2 * Math.PI) / LENGTH)))));
    for (let bin = 0; bin < BINS; bin++) {
      // In the order of the program that made the network: it learnt the rounding too.
      const angle = fround(fround(fround(turn * bin) * k) / LENGTH);
      made[k * 2 * BINS + bin] = fround(Math.cos(angle)) * window;
      made[k * 2 * BINS + BINS + bin] = fround(Math.sin(angle)) * window;
    }
  }
  return made;
}

/** Where each band's weights begin, and they, of a matrix of bins x bands. */
function filtersOf(matrix) {
  return Array.from({ length: BANDS }, (_, band) => {
    const column = Array.from({ length: BINS }, (_, bin) => matrix[bin * BANDS + band]);
    const begin = Math.max(0, column.findIndex((weight) => weight !== 0));
    return { begin, weights: Float32Array.from(column.slice(begin, 1 + column.findLastIndex((weight) => weight !== 0))) };
  });
}

/** Log-mel, of half precision, of a row of cosines and sines. */
function bandsOf(data, from, filters, at) {
  for (const { begin, weights } of filters) {
    let sum = 0;
    for (let k = 0, re = from + begin, im = re + BINS; k < weights.length; k++, re++, im++) {
      sum += weights[k] * (data[re] * data[re] + data[im] * data[im]);
    }
    data[at++] = half(Math.log(Math.max(sum, LOWEST)));
  }
}

const scratch = new Float32Array(1), bits = new Uint32Array(scratch.buffer);

/** The nearest number of half precision, of those that are not tiny. */
function half(value) {
  scratch[0] = value;
  bits[0] = (bits[0] + 0xfff + ((bits[0] >> 13) & 1)) & ~0x1fff;
  return scratch[0];
}

const swish = (x) => x / (1 + Math.exp(-x));

/** x times the normal distribution function of x (Abramowitz and Stegun 7.1.26: within 1.5e-7). */
function gelu(x) {
  const z = Math.abs(x) * Math.SQRT1_2, t = 1 / (1 + 0.3275911 * z);
  const tail = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t * Math.exp(-z * z);
  return x >= 0 ? x - 0.5 * x * tail : 0.5 * x * tail;
}

function add(data, at, bias) {
  for (let k = 0; k < bias.length; k++) data[at + k] += bias[k];
}

function activate(data, at, bias, of) {
  for (let k = 0; k < bias.length; k++) data[at + k] = of(data[at + k] + bias[k]);
}

function addTo(data, into, at, bias, share) {
  for (let k = 0; k < bias.length; k++) data[into + k] += share * (data[at + k] + bias[k]);
}

/** The first half of a row, let through by the second. */
function gate(data, at, bias, into) {
  const width = bias.length / 2;
  for (let k = 0; k < width; k++) {
    data[into + k] = (data[at + k] + bias[k]) / (1 + Math.exp(-data[at + width + k] - bias[width + k]));
  }
}

/** Rows of mean 0 and deviation 1, then scaled and shifted by the two rows of `norm`. */
function normalise(data, from, into, rows, norm) {
  const width = norm.length / 2;
  for (let row = 0; row < rows; row++, from += width, into += width) {
    let sum = 0, square = 0;
    for (let k = 0; k < width; k++) sum += data[from + k];
    const mean = sum / width;
    for (let k = 0; k < width; k++) square += (data[from + k] - mean) ** 2;
    const scale = 1 / Math.sqrt(square / width + EPSILON);
    for (let k = 0; k < width; k++) data[into + k] = (data[from + k] - mean) * scale * norm[k] + norm[width + k];
  }
}

/** Scores of a row as shares of 1; those from `count` on are 0. */
function shares(data, at, count, wanted, scale) {
  let most = -Infinity, sum = 0;
  for (let k = 0; k < count; k++) if (data[at + k] > most) most = data[at + k];
  for (let k = 0; k < count; k++) sum += data[at + k] = Math.exp((data[at + k] - most) * scale);
  for (let k = 0; k < count; k++) data[at + k] /= sum;
  data.fill(0, at + count, at + wanted);
}

const sums = new Float64Array(WIDEST);

/** One row of a convolution over time, each number by itself; nothing lies before the first row and after the last. */
function alongTime(data, from, row, rows, depth, width, into) {
  const reach = TAPS >> 1, begin = Math.max(0, row - reach), end = Math.min(rows, row + reach + 1);
  for (let k = 0; k < width; k++) sums[k] = depth[TAPS * width + k];
  for (let near = begin; near < end; near++) {
    const at = from + near * width, weight = (near - row + reach) * width;
    for (let k = 0; k < width; k++) sums[k] += data[at + k] * depth[weight + k];
  }
  for (let k = 0, at = into + row * width; k < width; k++) data[at + k] = swish(sums[k]);
}
