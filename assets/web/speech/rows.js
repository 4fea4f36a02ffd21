/** Rows of numbers that come at one end and are forgotten at the other. */
export class Rows {
  /** @param {number} width numbers per row. */
  constructor(width) {
    this.width = width;
    this.count = 0;
    this.data = new Float32Array(64 * width);
  }

  /** Room for more rows behind those that there are; the caller fills it: where it begins in `data`. */
  grow(count) {
    const begin = this.count * this.width, end = begin + count * this.width;
    if (end > this.data.length) {
      const wider = new Float32Array(Math.max(end, 2 * this.data.length));
      wider.set(this.data.subarray(0, begin));
      this.data = wider;
    }
    this.count += count;
    return begin;
  }

  /** Take over `count` rows from the start of an array. */
  append(values, count = values.length / this.width) {
    const begin = this.grow(count);
    this.data.set(values.subarray(0, count * this.width), begin);
  }

  /** The same row several times. */
  repeat(row, count) {
    const begin = this.grow(count);
    for (let k = 0; k < count; k++) this.data.set(row, begin + k * this.width);
  }

  /** Forget rows at the beginning. */
  drop(count) {
    if (count <= 0) return;
    this.data.copyWithin(0, count * this.width, this.count * this.width);
    this.count -= count;
  }
}
