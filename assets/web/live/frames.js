// Motion as it comes over the network: one frame or several a message (gaussavatar/avatar/live/records.py packs them).

const HEAD = 12, TAIL = 20;

/** A number of 16 bits (IEEE 754 binary16). @param {number} bits @returns {number} */
export function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, part = bits & 1023;
  if (exponent === 31) return part ? NaN : sign * Infinity;
  return exponent ? sign * 2 ** (exponent - 15) * (1 + part / 1024) : sign * 2 ** -24 * part;
}

/**
 * Rows of a rigid transform.
 * @param {number[]} q rotation as w, x, y, z; made a unit quaternion here @param {ArrayLike<number>} t translation, metres
 * @returns {Float32Array} 12 numbers, row by row.
 */
export function rowsOf(q, t) {
  const length = Math.hypot(...q), [w, x, y, z] = q.map((value) => value / length);
  return Float32Array.of(
    1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y), t[0],
    2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x), t[1],
    2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y), t[2],
  );
}

/**
 * Read a message: a frame, and at rest those to come, which hold should nothing be said.
 * @param {ArrayBuffer} buffer
 * @returns {{index: number, speaking: boolean, ahead: boolean, place: number, codes: Float32Array, upper: Float32Array, pose: Float32Array}[]}
 *   `pose`: rows of T_camera_world, 12 numbers.
 * @throws {RangeError} it is none.
 */
export function unpack(buffer) {
  const view = new DataView(buffer), frames = [];
  let at = 0;
  do {
    if (buffer.byteLength < at + HEAD) throw new RangeError("no motion");
    const m = view.getUint8(at + 5), u = view.getUint8(at + 6), start = at + HEAD, end = start + 2 * (m + u);
    if (buffer.byteLength < end + TAIL) throw new RangeError("motion of another length");
    const halves = (from, count) => Array.from({ length: count }, (_, k) => half(view.getUint16(from + 2 * k, true)));
    const t = [0, 4, 8].map((k) => view.getFloat32(end + k, true)), flags = view.getUint8(at + 4);
    frames.push({
      index: view.getUint32(at, true), speaking: Boolean(flags & 1), ahead: Boolean(flags & 2), place: view.getUint16(at + 8, true),
      codes: Float32Array.from(halves(start, m)), upper: Float32Array.from(halves(start + 2 * m, u)),
      pose: rowsOf(halves(end + 12, 4), t),
    });
    at = end + TAIL;
  } while (at < buffer.byteLength);
  return frames;
}

/** Frames that came and were not yet shown, in their order. */
export class Waiting {
  /** @param {number} most frames that are kept; the oldest goes. */
  constructor(most = 500) {
    this.most = most, this.frames = [], this.shown = -Infinity, this.newest = -Infinity;
  }

  /**
   * Take a frame, in any order.
   * @param {{index: number, ahead: boolean}} frame one that is late, or a second time there, is dropped; but what came ahead
   *   gives way to what came of it.
   */
  put(frame) {
    if (!frame.ahead && frame.index > this.newest) this.newest = frame.index;
    if (frame.index <= this.shown) return;
    let at = this.frames.length;
    while (at > 0 && this.frames[at - 1].index >= frame.index) at--;
    const there = this.frames[at]?.index === frame.index;
    if (there && (frame.ahead || !this.frames[at].ahead)) return;
    this.frames.splice(at, there ? 1 : 0, frame);
    if (this.frames.length > this.most) this.frames.shift();
  }

  /** The newest frame that is due, or null where there is no newer one. @param {number} position in frames */
  take(position) {
    let found = null;
    while (this.frames.length && this.frames[0].index <= position) found = this.frames.shift();
    if (found) this.shown = found.index;
    return found;
  }

  /** Begin anew, with another session. */
  clear() {
    this.frames.length = 0, this.shown = this.newest = -Infinity;
  }
}
