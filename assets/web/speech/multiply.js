// Products of matrices: four numbers at once where the browser has WebAssembly with SIMD (six times as fast), else plain.
// The machine code is written down here, so that nothing has to be built or fetched.

const PAGE = 65536, F = Float32Array.BYTES_PER_ELEMENT;
/** Rows and columns that are made together: both numbers of a product have to be multiples of these, `inner` of 4. */
export const ROWS = 8, COLUMNS = 4;

/** The next multiple. */
export const upTo = (n, step) => Math.ceil(n / step) * step;

/**
 * @callback Multiply Product of two matrices in a {@link Room}: row r of the result, which begins at `into + r * stepInto`,
 * is the row that begins at `a + r * stepA`, times the panels at `b`. All places are counted in numbers from its start.
 * @param {number} a @param {number} b @param {number} into
 * @param {number} rows @param {number} inner numbers of a row of `a` @param {number} columns of the result
 * @param {number} stepA @param {number} stepInto numbers from row to row.
 */

/** Numbers of single precision, and what multiplies matrices among them. */
export class Room {
  #taken = 0;

  /** @param {number} size numbers. @param {boolean=} simd whether to try it. */
  constructor(size, simd = true) {
    const memory = simd && available() ? new WebAssembly.Memory({ initial: Math.ceil((size * F) / PAGE) }) : null;
    this.data = memory ? new Float32Array(memory.buffer) : new Float32Array(size);
    /** @type {Multiply} */
    this.multiply = memory ? quick(memory) : plain(this.data);
    this.simd = memory !== null;
  }

  /** Where room for so many numbers begins; they are 0. */
  take(count) {
    const at = this.#taken;
    this.#taken += upTo(count, 4);
    if (this.#taken > this.data.length) throw new RangeError("This room is full.");
    return at;
  }
}

/** Put a matrix, inputs x outputs, into panels of four columns; `columns` at least `outputs`, the others stay as they are. */
export function panels(matrix, inputs, outputs, into, at) {
  for (let k = 0; k < inputs; k++) {
    for (let n = 0; n < outputs; n++) into[at + ((n >> 2) * inputs + k) * 4 + (n & 3)] = matrix[k * outputs + n];
  }
}

/** @returns {Multiply} */
function plain(data) {
  return (a, b, into, rows, inner, columns, stepA, stepInto) => {
    for (let n = 0; n < columns; n += 4, b += 4 * inner) {
      for (let row = 0; row < rows; row += 2) {
        let s0 = 0, s1 = 0, s2 = 0, s3 = 0, t0 = 0, t1 = 0, t2 = 0, t3 = 0;
        let first = a + row * stepA, second = first + stepA;
        for (let at = b, end = b + 4 * inner; at < end; at += 4) {
          const b0 = data[at], b1 = data[at + 1], b2 = data[at + 2], b3 = data[at + 3], x = data[first++], y = data[second++];
          s0 += x * b0, s1 += x * b1, s2 += x * b2, s3 += x * b3;
          t0 += y * b0, t1 += y * b1, t2 += y * b2, t3 += y * b3;
        }
        const at = into + row * stepInto + n, next = at + stepInto;
        data[at] = s0, data[at + 1] = s1, data[at + 2] = s2, data[at + 3] = s3;
        data[next] = t0, data[next + 1] = t1, data[next + 2] = t2, data[next + 3] = t3;
      }
    }
  };
}

let module;

/** Whether this browser, and the page's policy, lets such code run. */
function available() {
  if (module === undefined) {
    try {
      module = new WebAssembly.Module(machineCode());
    } catch {
      module = null;
    }
  }
  return module !== null;
}

/** @returns {Multiply} */
function quick(memory) {
  const { product } = new WebAssembly.Instance(module, { page: { memory } }).exports;
  return (a, b, into, rows, inner, columns, stepA, stepInto) => (
    product(a * F, b * F, into * F, rows, inner, columns, stepA * F, stepInto * F)
  );
}

/** Numbers as WebAssembly has them (LEB128), without and with a sign. */
function unsigned(n) {
  return n < 128 ? [n] : [(n & 127) | 128, ...unsigned(n >>> 7)];
}

function signed(n) {
  return n >= -64 && n < 64 ? [n & 127] : [(n & 127) | 128, ...signed(n >> 7)];
}

/**
 * A module with one function, `product`: for each panel of B, for each eight rows of A, eight sums of four numbers; the
 * inner loop takes four numbers of each row. All places are bytes.
 */
function machineCode() {
  const I32 = 0x7f, V128 = 0x7b, PARAMETERS = 8;
  const [a, b, into, rows, inner, columns, stepA, stepInto, row, left, from, to, at] = Array(13).keys();
  const eight = [...Array(ROWS).keys()], place = (r) => at + 1 + r, sum = (r) => place(ROWS) + r, four = sum(ROWS);
  const get = (local) => [0x20, local], set = (local) => [0x21, local], add = [0x6a];
  const simd = (...bytes) => [0xfd, ...bytes], zero = simd(0x0c, ...Array(16).fill(0));
  const load = (offset) => simd(0x00, 2, ...unsigned(offset)), spread = (offset) => simd(0x09, 2, ...unsigned(offset));
  const store = simd(0x0b, 2, 0), plus = simd(0xe4, 1), times = simd(0xe6, 1);
  const copy = (local, other) => [get(local), set(other)];
  const move = (local, n) => [get(local), 0x41, signed(n), add, set(local)];
  const onward = (local, step) => [get(local), get(step), add, set(local)];
  // A loop that counts a local down to 0.
  const loop = (local, n, ...body) => [0x03, 0x40, ...body, get(local), 0x41, signed(-n), add, 0x22, local, 0x0d, 0, 0x0b];
  const step = (k) => [get(at), load(16 * k), set(four), ...eight.map((r) => (
    [get(sum(r)), get(place(r)), spread(4 * k), get(four), times, plus, set(sum(r))]
  ))];
  const body = loop(columns, COLUMNS,
    copy(a, from), copy(into, to), copy(rows, row),
    loop(row, ROWS,
      copy(b, at), copy(inner, left),
      eight.map((r) => [zero, set(sum(r)), ...copy(from, place(r)), ...onward(from, stepA)]),
      loop(left, 4, [0, 1, 2, 3].map(step), move(at, 64), eight.map((r) => move(place(r), 16))),
      eight.map((r) => [get(to), get(sum(r)), store, ...onward(to, stepInto)])),
    copy(at, b), move(into, 16));
  const code = [2, place(ROWS) - PARAMETERS, I32, ROWS + 1, V128, ...body.flat(Infinity), 0x0b];
  const section = (id, ...bytes) => [id, ...unsigned(bytes.length), ...bytes];
  const word = (text) => [text.length, ...[...text].map((letter) => letter.charCodeAt(0))];
  return new Uint8Array([
    0, ...word("asm").slice(1), 1, 0, 0, 0,
    ...section(1, 1, 0x60, PARAMETERS, ...Array(PARAMETERS).fill(I32), 0),
    ...section(2, 1, ...word("page"), ...word("memory"), 2, 0, 1),
    ...section(3, 1, 0),
    ...section(7, 1, ...word("product"), 0, 0),
    ...section(10, 1, ...unsigned(code.length), ...code),
  ]);
}
