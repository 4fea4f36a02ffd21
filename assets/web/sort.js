// Order of splats by depth.

const DIGIT = 11, MASK = (1 << DIGIT) - 1;

/** Sorts depths again and again without allocating again. */
export class Sorter {
  constructor() {
    this.#room(1024);
  }

  /**
   * Order of positive numbers, least first, equal ones as they come: a radix sort of their bits (positive floats are
   * ordered as their bits are), 11 at a time, of as many as differ.
   * @param {Float32Array} depths
   * @param {number} begin
   * @param {number} end
   * @returns {Uint32Array} indices; overwritten by the next call.
   */
  order(depths, begin, end) {
    const n = end - begin;
    if (n > this.a.length) this.#room(n);
    const bits = new Uint32Array(depths.buffer, depths.byteOffset, depths.length);
    let low = 0xffffffff, high = 0;
    for (let i = begin; i < end; i++) {
      if (bits[i] < low) low = bits[i];
      if (bits[i] > high) high = bits[i];
    }
    let { a, b, counts } = this;
    for (let i = 0; i < n; i++) a[i] = begin + i;
    const width = n ? 32 - Math.clz32(high - low) : 0;
    for (let shift = 0; shift < width; shift += DIGIT) {
      counts.fill(0);
      for (let i = begin; i < end; i++) counts[((bits[i] - low) >>> shift) & MASK]++;
      for (let d = 0, total = 0; d <= MASK; d++) {
        const here = counts[d];
        counts[d] = total;
        total += here;
      }
      for (let i = 0; i < n; i++) b[counts[((bits[a[i]] - low) >>> shift) & MASK]++] = a[i];
      [a, b] = [b, a];
    }
    return a.subarray(0, n);
  }

  #room(n) {
    this.a = new Uint32Array(n), this.b = new Uint32Array(n), this.counts = new Uint32Array(MASK + 1);
  }
}
