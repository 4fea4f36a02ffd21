import { Rows } from "./rows.js";

/**
 * A convolution over time of rows as they come, without padding: an answer is there as soon as the last row that it sees.
 */
export class Conv {
  /**
   * @param {object} shape
   * @param {number} shape.inputs numbers of an incoming row that one group sees.
   * @param {number} shape.outputs numbers of an answer of one group.
   * @param {Float32Array} shape.weight groups x (taps * inputs) x outputs.
   * @param {Float32Array} shape.bias groups x outputs.
   * @param {number} shape.taps rows that an answer sees.
   * @param {number=} shape.groups independent convolutions side by side, each over its own part of a row.
   * @param {number=} shape.dilation rows from tap to tap.
   * @param {number=} shape.stride rows from answer to answer.
   * @param {boolean=} shape.relu whether what is negative becomes 0.
   * @param {number=} shape.residual which of the rows seen is added to the answer; -1 none.
   */
  constructor({ inputs, outputs, weight, bias, taps, groups = 1, dilation = 1, stride = 1, relu = false, residual = -1 }) {
    Object.assign(this, { inputs, outputs, weight, bias, taps, groups, dilation, stride, relu, residual });
    this.held = new Rows(groups * inputs);
    this.out = new Rows(groups * outputs);
    this.sum = new Float64Array(outputs);
    this.values = new Float64Array(inputs + 4);
    this.places = new Int32Array(inputs + 4);
    this.reach = (taps - 1) * dilation + 1;
  }

  /** Take rows; the answers that became complete lie in `out` until the next call. @returns {Rows} out */
  push(rows) {
    const { held, out, stride, reach } = this;
    held.append(rows.data, rows.count);
    const n = Math.max(0, Math.floor((held.count - reach) / stride) + 1);
    out.count = 0;
    let at = out.grow(n);
    for (let k = 0; k < n; k++, at += out.width) this.#answer(k * stride, at);
    held.drop(Math.min(held.count, n * stride));
    return out;
  }

  #answer(first, at) {
    const { inputs, outputs, bias, taps, groups, dilation, relu, residual, sum } = this;
    const { data, width } = this.held, into = this.out.data;
    for (let g = 0; g < groups; g++) {
      for (let o = 0; o < outputs; o++) sum[o] = bias[g * outputs + o];
      let w = g * taps * inputs * outputs;
      for (let tap = 0; tap < taps; tap++) {
        this.#add((first + tap * dilation) * width + g * inputs, w);
        w += inputs * outputs;
      }
      const begin = at + g * outputs;
      for (let o = 0; o < outputs; o++) into[begin + o] = relu && sum[o] < 0 ? 0 : sum[o];
      if (residual >= 0) {
        const same = (first + residual) * width + g * inputs;
        for (let o = 0; o < outputs; o++) into[begin + o] += data[same + o];
      }
    }
  }

  /** Add the part of one row, from `from` on, under the weights from `w` on. */
  #add(from, w) {
    const { inputs, outputs, weight, sum, values, places } = this, data = this.held.data;
    // Half of what a rectifier lets through is 0. Four of the rest at a time read and write the sum once.
    let n = 0;
    for (let i = 0; i < inputs; i++, w += outputs) {
      const value = data[from + i];
      values[n] = value;
      places[n] = w;
      if (value !== 0) n++;
    }
    for (; n & 3; n++) values[n] = places[n] = 0;
    for (let k = 0; k < n; k += 4) {
      const v0 = values[k], v1 = values[k + 1], v2 = values[k + 2], v3 = values[k + 3];
      let w0 = places[k], w1 = places[k + 1], w2 = places[k + 2], w3 = places[k + 3];
      for (let o = 0; o < outputs; o++) {
        sum[o] += v0 * weight[w0++] + v1 * weight[w1++] + v2 * weight[w2++] + v3 * weight[w3++];
      }
    }
  }
}

/** Weights of torch's conv1d, outputs x inputs x taps, as {@link Conv} takes them. */
export function ofTorch(weight, outputs, inputs, taps) {
  const turned = new Float32Array(weight.length);
  for (let o = 0; o < outputs; o++) {
    for (let i = 0; i < inputs; i++) {
      for (let t = 0; t < taps; t++) turned[(t * inputs + i) * outputs + o] = weight[(o * inputs + i) * taps + t];
    }
  }
  return turned;
}
