// From Gaussians to ellipses in the picture: EWA splatting (Zwicker et al. 2001) with the blur, the cuts and the culling
// of gaussavatar/render/semantics.py and cuda_ext/include/splat_math.h.

import { ROWS } from "./blend.js";
import { Sorter } from "./sort.js";

/** Numbers per splat: centre x y; L00 L10 L11; opacity; ln(255 opacity); r g b. Pixels; the ellipse where alpha falls to
 * 1/255 is L u for |u| = 1, and alpha within is opacity exp(-ln(255 opacity) |u|^2). */
export const SPLAT = 10;
const BLUR = 0.3, NEAR = 0.01, FAR = 1e10, MIN_ALPHA = 1 / 255, MARGIN = 0.15;

/**
 * A camera from a pose and intrinsics.
 * @param {ArrayLike<number>} pose rows of T_camera_world, 12 numbers.
 * @param {{fx: number, fy: number, cx: number, cy: number}} K pixels.
 * @param {number} width pixels
 * @param {number} height pixels
 */
export function cameraOf(pose, { fx, fy, cx, cy }, width, height) {
  return { pose, fx, fy, cx, cy, width, height, minX: -cx / fx - (MARGIN * width) / fx, maxX: (width - cx) / fx + (MARGIN * width) / fx,
    minY: -cy / fy - (MARGIN * height) / fy, maxY: (height - cy) / fy + (MARGIN * height) / fy };
}

/** Projects and sorts layers of Gaussians; holds the room for it. */
export class Projector {
  constructor() {
    this.sorter = new Sorter();
    this.room = 0;
  }

  /**
   * Splats of several layers, front to back: the first layer lies over the second, whatever their depths.
   * @param {{rows: Float32Array, n: number}[]} layers activated Gaussians, nearest layer first.
   * @param {ReturnType<typeof cameraOf>} camera
   * @param {Float32Array=} into where splats go if it is large enough.
   * @param {boolean=} backToFront the other order, in which "over" draws.
   * @returns {{splats: Float32Array, count: number}}
   */
  run(layers, camera, into, backToFront = false) {
    const total = layers.reduce((sum, { n }) => sum + n, 0);
    if (total > this.room) {
      this.room = total;
      this.found = new Float32Array(total * SPLAT), this.depths = new Float32Array(total);
    }
    const splats = into && into.length >= total * SPLAT ? into : new Float32Array(total * SPLAT);
    const ends = [0];
    for (const layer of layers) ends.push(projectLayer(layer, camera, this.found, this.depths, ends.at(-1)));
    const count = ends.at(-1), { found } = this;
    let to = backToFront ? (count - 1) * SPLAT : 0;
    const step = backToFront ? -SPLAT : SPLAT;
    for (let layer = 0; layer < layers.length; layer++) {
      const order = this.sorter.order(this.depths, ends[layer], ends[layer + 1]);
      for (let i = 0; i < order.length; i++, to += step) {
        for (let j = 0, from = order[i] * SPLAT; j < SPLAT; j++) splats[to + j] = found[from + j];
      }
    }
    return { splats, count };
  }
}

/** Appends the visible splats of a layer at index `at`; returns where the next one would go. */
function projectLayer({ rows, n }, camera, out, depths, at) {
  const [r0, r1, r2, t0, r3, r4, r5, t1, r6, r7, r8, t2] = camera.pose;
  const { fx, fy, cx, cy, minX, maxX, minY, maxY, width, height } = camera;
  for (let i = 0; i < n; i++) {
    const opacity = rows[ROWS.opacity * n + i], x = rows[i], y = rows[n + i], z = rows[2 * n + i];
    const depth = r6 * x + r7 * y + r8 * z + t2;
    // Comparisons with NaN are false: what is no number is left out.
    if (!(opacity > MIN_ALPHA && depth >= NEAR && depth <= FAR)) continue;
    const slopeX = (r0 * x + r1 * y + r2 * z + t0) / depth, slopeY = (r3 * x + r4 * y + r5 * z + t1) / depth;
    let qw = rows[3 * n + i], qx = rows[4 * n + i], qy = rows[5 * n + i], qz = rows[6 * n + i];
    const squared = qw * qw + qx * qx + qy * qy + qz * qz;
    if (!(squared >= 1e-30)) continue;
    const length = 1 / Math.sqrt(squared);
    qw *= length, qx *= length, qy *= length, qz *= length;
    const jx = slopeX < minX ? minX : slopeX > maxX ? maxX : slopeX, jy = slopeY < minY ? minY : slopeY > maxY ? maxY : slopeY;
    // Rows of J R_camera_world: what the picture's x and y do per metre of the world.
    const sx = fx / depth, sy = fy / depth;
    const ux = sx * (r0 - jx * r6), uy = sx * (r1 - jx * r7), uz = sx * (r2 - jx * r8);
    const vx = sy * (r3 - jy * r6), vy = sy * (r4 - jy * r7), vz = sy * (r5 - jy * r8);
    const s0 = rows[7 * n + i], s1 = rows[8 * n + i], s2 = rows[9 * n + i];
    const a00 = s0 * (1 - 2 * (qy * qy + qz * qz)), a10 = s0 * 2 * (qx * qy + qw * qz), a20 = s0 * 2 * (qx * qz - qw * qy);
    const a01 = s1 * 2 * (qx * qy - qw * qz), a11 = s1 * (1 - 2 * (qx * qx + qz * qz)), a21 = s1 * 2 * (qy * qz + qw * qx);
    const a02 = s2 * 2 * (qx * qz + qw * qy), a12 = s2 * 2 * (qy * qz - qw * qx), a22 = s2 * (1 - 2 * (qx * qx + qy * qy));
    const u0 = ux * a00 + uy * a10 + uz * a20, u1 = ux * a01 + uy * a11 + uz * a21, u2 = ux * a02 + uy * a12 + uz * a22;
    const v0 = vx * a00 + vy * a10 + vz * a20, v1 = vx * a01 + vy * a11 + vz * a21, v2 = vx * a02 + vy * a12 + vz * a22;
    const xx = BLUR + u0 * u0 + u1 * u1 + u2 * u2, yy = BLUR + v0 * v0 + v1 * v1 + v2 * v2, xy = u0 * v0 + u1 * v1 + u2 * v2;
    // The determinant as a sum of squares, which does not cancel for long thin Gaussians.
    const m01 = u0 * v1 - u1 * v0, m02 = u0 * v2 - u2 * v0, m12 = u1 * v2 - u2 * v1;
    const determinant = m01 * m01 + m02 * m02 + m12 * m12 + BLUR * (xx + yy - BLUR);
    const level = Math.log(255 * opacity), reach = Math.sqrt(2 * Math.max(level, 0));
    const l00 = reach * Math.sqrt(xx), px = fx * slopeX + cx, py = fy * slopeY + cy, tall = reach * Math.sqrt(yy);
    const seen = px + l00 >= 0.5 && px - l00 <= width - 0.5 && py + tall >= 0.5 && py - tall <= height - 0.5;
    if (!seen || !(determinant < Infinity)) continue;
    const o = at * SPLAT;
    out[o] = px, out[o + 1] = py;
    out[o + 2] = l00, out[o + 3] = (reach * xy) / Math.sqrt(xx), out[o + 4] = reach * Math.sqrt(determinant / xx);
    out[o + 5] = opacity, out[o + 6] = level;
    out[o + 7] = rows[11 * n + i], out[o + 8] = rows[12 * n + i], out[o + 9] = rows[13 * n + i];
    depths[at++] = depth;
  }
  return at;
}
