// From codes to Gaussians: weights, motion, activation and light, as gaussavatar/model/gaussians.py, its native
// activation and model/shading.py have them. Everything is kept channel by channel: row r of n Gaussians begins at r n.

import { motionWidth } from "./gsa.js";
import { openSums } from "./kernels.js";

/** Rows of activated Gaussians: mean, quaternion (wxyz, any length), scale, opacity, colour. */
export const ROWS = { position: 0, rotation: 3, scale: 7, opacity: 10, color: 11, count: 14 };
const WIDTH = { position: 3, rotation: 4, scale: 3, opacity: 1, color: 3 };
const FARTHEST = 2.5;

/**
 * One branch as stored, taken out of a file; plain data that can be posted to a worker.
 * @param {Gsa} gsa
 * @param {string} name face, mouth or torso.
 */
export function branchOf(gsa, name) {
  const facts = gsa.meta.branches[name], { n } = facts;
  const get = (part) => (gsa.has(`${name}.${part}`) ? gsa.array(`${name}.${part}`) : null);
  const steps = get("base"), range = get("base.range"), base = new Float32Array(ROWS.count * n);
  for (let row = 0; row < ROWS.count; row++) {
    const low = range[2 * row], step = (range[2 * row + 1] - low) / 65535;
    for (let i = row * n; i < (row + 1) * n; i++) base[i] = low + step * steps[i];
  }
  const free = facts.free ? { w0: get("free.w0"), b0: get("free.b0"), w1: get("free.w1"), b1: get("free.b1") } : null;
  const shading = facts.shading && {
    rest: facts.shading.R_camera_rest.flat(), spread: facts.shading.spread, farthest: facts.shading.farthest ?? FARTHEST,
    steps: get("shading"), scale: get("shading.scale"),
  };
  const aside = facts.aside && { ...facts.aside, steps: get("aside"), scale: get("aside.scale") };
  const { moving, codes, moves } = facts;
  return { n, moving, codes, moves, base, basis: get("basis"), scale: get("basis.scale"), free, shading, aside };
}

/**
 * Weights of all bases: the codes, and those of the free shapes, in -1..1.
 * @param {{codes: number, free: object|null}} branch
 * @param {ArrayLike<number>} codes of the branch.
 * @returns {Float64Array}
 */
export function weightsOf({ free }, codes) {
  if (!free) return Float64Array.from(codes);
  const layer = (weights, bias, input) =>
    Float64Array.from(bias, (b, row) => {
      let sum = b;
      for (let i = 0; i < input.length; i++) sum += weights[row * input.length + i] * input[i];
      return Math.tanh(sum);
    });
  const shapes = layer(free.w1, free.b1, layer(free.w0, free.b0, codes));
  return Float64Array.from([...codes, ...shapes]);
}

/**
 * The head's turn away from the clip's mean about the camera's axes, in standard deviations of the clip, bounded.
 * @param {{rest: number[], spread: number[], farthest: number}} light
 * @param {ArrayLike<number>} pose rows of T_camera_head, 12 numbers.
 * @returns {number[]} three numbers.
 */
export function turnOf({ rest, spread, farthest }, pose) {
  const R = [];
  for (let i = 0; i < 3; i++) for (let j = 0; j < 3; j++) R.push(pose[4 * i] * rest[3 * j] + pose[4 * i + 1] * rest[3 * j + 1] + pose[4 * i + 2] * rest[3 * j + 2]);
  const turn = rotationVector(R).map((value, i) => value / spread[i]);
  const length = Math.hypot(...turn);
  return turn.map((value) => value * (farthest / Math.max(length, farthest)));
}

/**
 * How far a view lies aside of those that were filmed: 0 as filmed, 1 from `width` beyond them on.
 * @param {{ahead: number[], reach: number, width: number}} aside angles in radians
 * @param {ArrayLike<number>} view rows of T_camera_head as seen, 12 numbers.
 */
export function asideOf({ ahead: [x, y, z], reach, width }, view) {
  const [a, b, c] = [view[8], view[9], view[10]], across = Math.hypot(b * z - c * y, c * x - a * z, a * y - b * x);
  const beyond = Math.min(1, Math.max(0, (Math.atan2(across, a * x + b * y + c * z) - reach) / width));
  return beyond * beyond * (3 - 2 * beyond);
}

/** Axis times angle (radians) of a rotation matrix, 9 numbers row by row. */
export function rotationVector(R) {
  const axis = [R[7] - R[5], R[2] - R[6], R[3] - R[1]], sine = Math.hypot(...axis) / 2;
  const cosine = (R[0] + R[4] + R[8] - 1) / 2, angle = Math.atan2(sine, cosine);
  if (sine > 1e-6) return axis.map((value) => (value / (2 * sine)) * angle);
  if (cosine > 0) return axis.map((value) => value / 2);
  // Half a turn: the axis is in the symmetric part, up to its sign.
  const square = [0, 4, 8].map((i) => Math.sqrt(Math.max(0, (R[i] + 1) / 2))), k = square.indexOf(Math.max(...square));
  return square.map((_, i) => (i === k ? square[k] : (R[3 * i + k] + R[3 * k + i]) / (4 * square[k])) * angle);
}

/** A branch that moves: keeps its activated Gaussians and does again only what changed. */
export class Blender {
  /** @param {ReturnType<typeof branchOf>} branch */
  constructor(branch) {
    this.branch = branch;
    this.n = branch.n;
    /** Activated Gaussians, rows as in ROWS. */
    this.rows = new Float32Array(branch.base);
    const width = motionWidth(branch.moves);
    this.sums = branch.moving && branch.basis ? openSums(branch, width) : null;
    this.motion = this.sums?.motion ?? new Float32Array(width * branch.moving);
    this.colors = branch.base.slice(ROWS.color * branch.n);
    this.codes = this.turn = null, this.share = 0;
    activateRange(this.rows, branch.base, branch.n, 0, branch.n);
  }

  /**
   * Move the Gaussians.
   * @param {ArrayLike<number>} codes of the branch.
   * @param {ArrayLike<number>|null} pose rows of T_camera_head as the light sees it, 12 numbers; null: no light.
   * @param {ArrayLike<number>|null} view the same as it is seen; null: as it was filmed.
   * @returns {boolean} whether anything changed.
   */
  update(codes, pose, view = null) {
    const { branch } = this, moved = !same(this.codes, codes);
    if (moved && branch.moving && branch.basis) {
      sumBases(this.motion, branch, weightsOf(branch, codes), this.sums);
      this.#activate();
    }
    this.codes = Float32Array.from(codes);
    const turn = branch.shading && pose ? turnOf(branch.shading, pose) : null;
    const lit = turn !== null && !same(this.turn, turn);
    const share = branch.aside && view ? asideOf(branch.aside, view) : 0, went = share !== this.share;
    if (moved || lit || went) this.#light(turn, share);
    this.turn = turn, this.share = share;
    return moved || lit || went;
  }

  #activate() {
    const { branch, rows, motion, n, colors } = this, { base, moving, moves } = branch;
    let from = 0;
    for (const channel of moves) {
      const first = ROWS[channel], target = channel === "color" ? colors : rows, shift = channel === "color" ? ROWS.color : 0;
      for (let row = first; row < first + WIDTH[channel]; row++, from += moving) {
        const at = row * n, to = (row - shift) * n;
        for (let i = 0; i < moving; i++) target[to + i] = base[at + i] + motion[from + i];
      }
      if (channel === "scale" || channel === "opacity") activateRange(rows, rows, n, 0, moving, channel);
    }
  }

  #light(turn, share) {
    const { branch, rows, colors, n } = this;
    rows.set(colors, ROWS.color * n);
    if (share > 0) {
      const { steps, scale } = branch.aside, to = ROWS.color * n;
      for (let i = 0; i < 3 * n; i++) rows[to + i] += share * scale[Math.floor(i / n)] * steps[i];
    }
    if (!turn) return;
    const { steps, scale } = branch.shading;
    for (let c = 0; c < 3; c++) {
      const [x, y, z] = [0, 1, 2].map((axis) => turn[axis] * scale[3 * axis + c]), to = (ROWS.color + c) * n;
      const a = c * n, b = (3 + c) * n, d = (6 + c) * n;
      for (let i = 0; i < n; i++) rows[to + i] += x * steps[a + i] + y * steps[b + i] + z * steps[d + i];
    }
  }
}

/** Log scales to scales and logits to opacities, for Gaussians begin to end of n. */
function activateRange(rows, raw, n, begin, end, only) {
  if (only !== "opacity") {
    for (let row = ROWS.scale; row < ROWS.scale + 3; row++) for (let i = row * n + begin; i < row * n + end; i++) rows[i] = Math.exp(raw[i]);
  }
  if (only !== "scale") {
    for (let i = ROWS.opacity * n + begin; i < ROWS.opacity * n + end; i++) rows[i] = 1 / (1 + Math.exp(-raw[i]));
  }
}

/** Sum of all bases times their weights, row by row; four bases at a time where there are no kernels. */
function sumBases(motion, { basis, scale, moving }, weights, kernels) {
  const width = motion.length / moving;
  const used = new Int32Array(weights.length + 3), factors = new Float64Array(weights.length + 3);
  for (let row = 0; row < width; row++) {
    let count = 0;
    for (let k = 0; k < weights.length; k++) {
      const factor = weights[k] * scale[k * width + row];
      if (factor !== 0) (used[count] = (k * width + row) * moving), (factors[count++] = factor);
    }
    if (kernels) {
      kernels.row(row, used, factors, count);
      continue;
    }
    // The last group of four is filled up with nothing times the first basis.
    used.fill(0, count), factors.fill(0, count);
    const to = row * moving;
    motion.fill(0, to, to + moving);
    for (let g = 0; g < count; g += 4) {
      const a = used[g], b = used[g + 1], c = used[g + 2], d = used[g + 3];
      const fa = factors[g], fb = factors[g + 1], fc = factors[g + 2], fd = factors[g + 3];
      for (let i = 0; i < moving; i++) motion[to + i] += fa * basis[a + i] + fb * basis[b + i] + fc * basis[c + i] + fd * basis[d + i];
    }
  }
}

function same(a, b) {
  if (a === null || b === null || a.length !== b.length) return a === b;
  for (let i = 0; i < a.length; i++) if (a[i] !== Math.fround(b[i]) && a[i] !== b[i]) return false;
  return true;
}
