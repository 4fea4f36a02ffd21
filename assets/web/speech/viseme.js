// The network that hears which mouth speech asks for, whoever speaks: gaussavatar/audio/features/viseme.py and
// viseme_network.py. It hears log-mel, has its own running normalisation, and answers 50 times a second.

import { Conv, ofTorch } from "./conv.js";
import { BANDS, LOG_FLOOR, MEL_RATE } from "./mel.js";
import { melStatistics, RunningNormaliser } from "./normalise.js";
import { Rows } from "./rows.js";

const SILENT = -2, STEM = 5, MEMORY = 12, PRIOR = 100, NO_FLOOR = -1e4, SPEECH_STD = 4;
/** Opening, rounding, width, closure. */
const ARTICULATION_MEAN = [0.4, 0.35, 0.45, 0.1], ARTICULATION_STD = [0.25, 0.25, 0.2, 0.25];

const ofAll = (value) => new Float32Array(BANDS).fill(value);
/** For sounds of which nothing was heard yet. */
const TYPICAL = { mean: ofAll(-12), std: ofAll(2.6), floor: ofAll(-18.5), quiet: ofAll(-18.5) };

/** Statistics without digital silence, of which files have some before they begin. */
function heardStatistics(data, count, width, levels) {
  const silent = (row) => {
    for (let k = row * BANDS; k < (row + 1) * BANDS; k++) if (data[k] > LOG_FLOOR + 1) return false;
    return true;
  };
  const heard = Array.from({ length: count }, (_, row) => row).filter((row) => !silent(row));
  if (!heard.length) return TYPICAL;
  if (heard.length === count) return melStatistics(data, count, BANDS, levels);
  const rows = new Rows(BANDS);
  for (const row of heard) rows.append(data.subarray(row * BANDS, (row + 1) * BANDS), 1);
  return melStatistics(rows.data, rows.count, BANDS, levels && Float32Array.from(heard, (row) => levels[row]));
}

/** The trained network's weights, and what is known of what it answers. */
export class VisemeNetwork {
  /**
   * @param {(name: string) => Float32Array} array of the sections `viseme.*`.
   * @param {(name: string) => number[]} shape of them.
   * @param {[number, boolean][]} layers dilation and causality of each layer.
   */
  constructor(array, shape, layers) {
    const [hidden, bands, taps] = shape("stem.weight");
    const [components, width] = shape("components"), outputs = shape("head.bias")[0];
    if (bands !== BANDS || taps !== STEM || width !== hidden) throw new Error("The avatar's network for mouths is of another kind.");
    const part = (name, inputs, n) => ({
      inputs, outputs: hidden, taps: n, relu: true,
      weight: ofTorch(array(`${name}.weight`), hidden, inputs, n), bias: array(`${name}.bias`),
    });
    this.stem = { ...part("stem", BANDS, STEM), stride: 2 };
    this.layers = layers.map(([dilation, causal], k) => (
      { ...part(`layer${k}`, hidden, 3), dilation, residual: dilation * (causal ? 2 : 1) }
    ));
    const sum = (of) => 2 + 2 * layers.reduce((total, layer) => total + of(layer), 0);
    this.before = sum(([dilation, causal]) => dilation * (causal ? 2 : 1));
    this.after = sum(([dilation, causal]) => (causal ? 0 : dilation));
    Object.assign(this, { hidden, components, classes: outputs - 4, dimension: components + 5 });
    this.head = { weight: array("head.weight"), bias: array("head.bias"), rows: outputs };
    this.told = { weight: array("components"), centre: array("centre") };
    this.quiet = this.#silence();
  }

  /** What the network makes of what is outside of sounds. */
  #silence() {
    const run = new VisemeRun(this), mel = new Rows(BANDS);
    mel.repeat(ofAll(SILENT), this.before + 1 + this.after);
    return run.push(mel).data.slice(0, this.dimension);
  }

  /** Components, articulation and log-odds of speech of a row of the last layer. */
  tell(trunk, from, into, at) {
    const { hidden, components, classes, head, told } = this, mouth = at + components;
    for (let k = 0; k < components; k++) {
      let sum = 0;
      for (let h = 0; h < hidden; h++) sum += (trunk[from + h] - told.centre[h]) * told.weight[k * hidden + h];
      into[at + k] = sum;
    }
    let silent = 0, total = 0;
    for (let row = 0; row < head.rows; row++) {
      let score = head.bias[row];
      for (let h = 0; h < hidden; h++) score += trunk[from + h] * head.weight[row * hidden + h];
      if (row === 0) silent = score;
      if (row < classes) total += Math.exp(score - silent);
      else if (row < classes + 3) into[mouth + row - classes] = Math.min(Math.max(score, -0.5), 1.5);
      else into[mouth + 3] = 1 / (1 + Math.exp(-score));
    }
    const log = -Math.log(total);
    into[mouth + 4] = Math.min(Math.max(Math.log1p(-Math.min(Math.exp(log), 1 - 1e-6)) - log, -8), 8);
  }

  /**
   * Statistics of a voice's own answers: the components' in speech, drawn towards the corpus'; the rest is every sound's.
   * @param {Float32Array} data rows in which the answers begin at `offset`; @returns {Statistics}
   */
  statistics(data, count, width, offset) {
    const n = this.components, mean = new Float64Array(n), square = new Float64Array(n);
    const active = new Float64Array(count);
    let total = PRIOR;
    for (let row = 0; row < count; row++) {
      const from = row * width + offset;
      active[row] = Math.fround(1 / (1 + Math.exp(-data[from + n + 4])));
      total += active[row];
      for (let k = 0; k < n; k++) mean[k] += active[row] * data[from + k];
    }
    for (let k = 0; k < n; k++) mean[k] /= total;
    for (let row = 0; row < count; row++) {
      const from = row * width + offset;
      for (let k = 0; k < n; k++) square[k] += active[row] * (data[from + k] - mean[k]) ** 2;
    }
    const std = square.map((sum) => Math.sqrt((sum + PRIOR) / total));
    return {
      mean: Float32Array.from([...mean, ...ARTICULATION_MEAN, 0]),
      std: Float32Array.from([...std, ...ARTICULATION_STD, SPEECH_STD]),
      floor: new Float32Array(this.dimension).fill(NO_FLOOR),
      quiet: this.quiet,
    };
  }
}

/** The network over normalised log-mel that comes in pieces. */
class VisemeRun {
  constructor(network) {
    this.network = network;
    this.convolutions = [network.stem, ...network.layers].map((shape) => new Conv(shape));
    this.out = new Rows(network.dimension);
  }

  push(mel) {
    const { network, out } = this;
    const trunk = this.convolutions.reduce((rows, convolution) => convolution.push(rows), mel);
    out.count = 0;
    let at = out.grow(trunk.count);
    for (let k = 0; k < trunk.count; k++, at += out.width) network.tell(trunk.data, k * network.hidden, out.data, at);
    return out;
  }
}

/** The feature `viseme` of raw log-mel that comes in pieces. */
export class VisemeStream {
  #normaliser = new RunningNormaliser(heardStatistics, BANDS, MEL_RATE, MEMORY);
  #run;
  #rest;

  /** @param {VisemeNetwork} network */
  constructor(network) {
    const before = new Rows(BANDS);
    this.#run = new VisemeRun(network);
    this.#rest = network.after;
    before.repeat(ofAll(SILENT), network.before);
    this.#run.push(before);
  }

  /** @param {Rows} mel @returns {Rows} answers that became complete, until the next call. */
  push(mel) {
    return this.#run.push(this.#normaliser.push(mel));
  }

  /** The remaining answers, after the last of the log-mel was pushed. */
  finish() {
    const silence = new Rows(BANDS);
    silence.repeat(ofAll(SILENT), this.#rest);
    return this.#run.push(silence);
  }
}
