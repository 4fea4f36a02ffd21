// Motions as the viewer's server sends them: gaussavatar/view/motions.py says how.

const MAGIC = 0x4d415347, VERSION = 1, HEADER = 24;

/**
 * Read a motion.
 * @param {ArrayBuffer} buffer
 * @returns {{frames: number, fps: number, codes: Float32Array[], upper: Float32Array[], poses: Float32Array[], places: Int32Array}}
 *   a row per frame; a pose is the first three rows of T_camera_world.
 */
export function readMotion(buffer) {
  const view = new DataView(buffer);
  if (buffer.byteLength < HEADER || view.getUint32(0, true) !== MAGIC || view.getUint32(4, true) !== VERSION) throw new Error("This is no motion of the viewer.");
  const [frames, nCodes, nUpper] = [8, 12, 16].map((at) => view.getUint32(at, true)), fps = view.getFloat32(20, true);
  if (buffer.byteLength !== HEADER + 4 * frames * (nCodes + nUpper + 13)) throw new Error("This motion is cut short.");
  let at = HEADER;
  const rows = (width) => {
    const all = new Float32Array(buffer, at, frames * width);
    at += 4 * frames * width;
    return Array.from({ length: frames }, (_, i) => all.subarray(i * width, (i + 1) * width));
  };
  return { frames, fps, codes: rows(nCodes), upper: rows(nUpper), poses: rows(12), places: new Int32Array(buffer, at, frames) };
}

/**
 * The motion at a moment: codes and channels between two frames, the head as in the nearer earlier one, whose torso is
 * seen with it.
 * @param {object} motion of readMotion().
 * @param {number} seconds
 */
export function frameAt(motion, seconds) {
  const position = Math.min(Math.max(seconds * motion.fps, 0), motion.frames - 1), first = Math.floor(position + 1e-6);
  const second = Math.min(first + 1, motion.frames - 1), share = Math.max(0, position - first);
  const between = (rows) => rows[first].map((value, i) => value + share * (rows[second][i] - value));
  return { index: first, codes: between(motion.codes), upper: between(motion.upper), pose: motion.poses[first], place: motion.places[first] };
}

/**
 * A mouth opened further by a share of what opens it wide, never beyond that nor below the closed one: `opened` in
 * gaussavatar/motion/edit.py.
 * @param {ArrayLike<number>} codes
 * @param {number} opening
 * @param {number[]} closed codes of the closed mouth.
 * @param {number[]} wide what opens it wide.
 */
export function opened(codes, opening, closed, wide) {
  const length = wide.reduce((sum, value) => sum + value * value, 0);
  if (!opening || !length) return codes;
  const before = wide.reduce((sum, value, i) => sum + (codes[i] - closed[i]) * value, 0) / length;
  const after = Math.min(Math.max(before + opening, Math.min(before, 0)), Math.max(before, 1));
  return codes.map((value, i) => value + (after - before) * wide[i]);
}
