// Our own rasterizer in plain JavaScript, where the GL is software or lacks float targets: the semantics of
// gaussavatar/render/semantics.py, front to back, and what lies under the head.

import { SPLAT } from "./project.js";

const MAX_ALPHA = 0.999, MIN_TRANSMITTANCE = 1e-4, MIN_ALPHA = 1 / 255;
const TILE = 3; // log2 of a tile's side; tiles in which every pixel has stopped are passed over

/**
 * Draw splats.
 * @param {Float32Array} splats front to back, SPLAT numbers each (project.js).
 * @param {number} count
 * @param {number} width pixels
 * @param {number} height pixels
 * @param {Float64Array=} into 4 width height numbers, if there are some already.
 * @returns {Float64Array} premultiplied r g b and the transmittance of every pixel; a pixel that stopped has it negative.
 */
export function rasterize(splats, count, width, height, into) {
  const size = 4 * width * height, picture = into?.length === size ? into : new Float64Array(size);
  const across = (width >> TILE) + 1, alive = aliveTiles(width, height, across);
  for (let p = 0; p < size; p += 4) (picture[p] = picture[p + 1] = picture[p + 2] = 0), (picture[p + 3] = 1);
  for (let i = 0, s = 0; i < count; i++, s += SPLAT) {
    const x = splats[s], y = splats[s + 1], l00 = splats[s + 2], l10 = splats[s + 3], l11 = splats[s + 4];
    const opacity = splats[s + 5], level = splats[s + 6], red = splats[s + 7], green = splats[s + 8], blue = splats[s + 9];
    // level |L^-1 d|^2 = a dx^2 + 2 b dx dy + c dy^2.
    const ia = 1 / l00, ic = 1 / l11, ib = -l10 * ia * ic;
    const a = level * (ia * ia + ib * ib), b = level * ib * ic, c = level * ic * ic;
    const tall = Math.sqrt(l10 * l10 + l11 * l11);
    const y0 = Math.max(0, Math.ceil(y - tall - 0.5)), y1 = Math.min(height - 1, Math.floor(y + tall - 0.5));
    if (!anyAlive(alive, across, Math.max(0, Math.ceil(x - l00 - 0.5)), Math.min(width - 1, Math.floor(x + l00 - 0.5)), y0, y1)) continue;
    // The exponent is quadratic, so that alpha changes from pixel to pixel by a factor, which itself changes by a constant
    // one, along rows and columns. It is carried along the ellipse's left edge and needs no exponential of its own.
    const bend = Math.exp(-2 * a), lean = Math.exp(-2 * b), drop = Math.exp(-2 * c), unbend = 1 / bend, unlean = 1 / lean;
    const slope = -b / a, reach = level / a, narrowing = (c - (b * b) / a) / a;
    let dy = y0 + 0.5 - y, column = Math.round(x + slope * dy - 0.5);
    const dx = column + 0.5 - x;
    let value = opacity * Math.exp(-(a * dx * dx + 2 * b * dx * dy + c * dy * dy));
    let right = Math.exp(-(a * (2 * dx + 1) + 2 * b * dy)), down = Math.exp(-(c * (2 * dy + 1) + 2 * b * dx));
    for (let row = y0; row <= y1; row++, dy++, value *= down, down *= drop, right *= lean) {
      const square = reach - narrowing * dy * dy;
      if (!(square > 0)) continue;
      const half = Math.sqrt(square), centre = x + slope * dy - 0.5, left = Math.ceil(centre - half);
      for (; column < left; column++) (value *= right), (right *= bend), (down *= lean);
      for (; column > left; column--) (right *= unbend), (value /= right), (down *= unlean);
      let alpha = value, factor = right, x0 = left;
      for (; x0 < 0; x0++) (alpha *= factor), (factor *= bend);
      const x1 = Math.min(width - 1, Math.floor(centre + half));
      for (let p = 4 * (row * width + x0), end = 4 * (row * width + x1); p <= end; p += 4) {
        const through = picture[p + 3];
        if (through > 0) {
          const shown = alpha > MAX_ALPHA ? MAX_ALPHA : alpha, next = through * (1 - shown);
          if (next > MIN_TRANSMITTANCE) {
            const weight = shown * through;
            picture[p] += weight * red, picture[p + 1] += weight * green, picture[p + 2] += weight * blue;
            picture[p + 3] = next;
          } else {
            picture[p + 3] = -through;
            alive[(row >> TILE) * across + (((p >> 2) - row * width) >> TILE)]--;
          }
        }
        alpha *= factor, factor *= bend;
      }
    }
  }
  return picture;
}

/** How many pixels of the picture each tile has. */
function aliveTiles(width, height, across) {
  const down = (height >> TILE) + 1, side = 1 << TILE, within = (tile, most) => Math.max(0, Math.min(side, most - tile * side));
  return Uint8Array.from({ length: across * down }, (_, i) => within(i % across, width) * within(Math.floor(i / across), height));
}

function anyAlive(alive, across, x0, x1, y0, y1) {
  for (let y = y0 >> TILE; y <= y1 >> TILE; y++) for (let x = x0 >> TILE; x <= x1 >> TILE; x++) if (alive[y * across + x]) return true;
  return false;
}

/**
 * The head over what lies under it, as 8-bit straight RGBA for a canvas.
 * @param {Float64Array} picture of rasterize().
 * @param {number} width pixels
 * @param {number} height pixels
 * @param {{torso: Card|null, plate: Card|null, color: number[]|null}} under nearest first; color r g b in 0..1; null
 *   where there is none, and where all are null the picture is transparent.
 * @param {Uint8ClampedArray=} into 4 width height bytes, if there are some already.
 * @typedef {{pixels: Uint8ClampedArray, width: number, height: number, matte: number, map: number[]}} Card RGBA; the
 *   matte lies `matte` rows below the colour (0: opaque); map takes homogeneous pixels of the picture to those of the
 *   colour's part.
 * @returns {Uint8ClampedArray}
 */
export function compose(picture, width, height, { torso, plate, color }, into) {
  const size = 4 * width * height, out = into?.length === size ? into : new Uint8ClampedArray(size);
  const torsoTexel = [0, 0, 0, 0], plateTexel = [0, 0, 0, 0];
  for (let row = 0, p = 0; row < height; row++) {
    for (let column = 0; column < width; column++, p += 4) {
      const through = Math.abs(picture[p + 3]);
      let r = picture[p], g = picture[p + 1], b = picture[p + 2], left = through;
      if (torso && left > 0) {
        sample(torso, column + 0.5, row + 0.5, torsoTexel);
        const weight = left * torsoTexel[3];
        r += weight * torsoTexel[0], g += weight * torsoTexel[1], b += weight * torsoTexel[2], left -= weight;
      }
      if (plate && left > 0) {
        sample(plate, column + 0.5, row + 0.5, plateTexel);
        r += left * plateTexel[0], g += left * plateTexel[1], b += left * plateTexel[2], left = 0;
      } else if (color && left > 0) {
        r += left * color[0], g += left * color[1], b += left * color[2], left = 0;
      }
      const alpha = 1 - left, scale = alpha > MIN_ALPHA / 2 ? 255 / alpha : 0;
      // The array rounds and clamps.
      out[p] = r * scale, out[p + 1] = g * scale, out[p + 2] = b * scale, out[p + 3] = 255 * alpha;
    }
  }
  return out;
}

/** Bilinear colour (0..1) and matte of a card at a pixel of the picture; its edges go on. */
function sample({ pixels, width, height, matte, map }, x, y, texel) {
  const w = 1 / (map[6] * x + map[7] * y + map[8]);
  const u = clamp((map[0] * x + map[1] * y + map[2]) * w - 0.5, width - 1), row = (map[3] * x + map[4] * y + map[5]) * w - 0.5;
  // Away from the seam between colour and matte, across which the video's colours bleed.
  const v = matte ? Math.min(Math.max(row, 1), height - 2) : clamp(row, height - 1);
  const left = u | 0, top = v | 0, fu = u - left, fv = v - top;
  const a = 4 * (top * width + left), b = left < width - 1 ? a + 4 : a, down = top < height - 1 ? 4 * width : 0;
  const wa = (1 - fu) * (1 - fv) / 255, wb = fu * (1 - fv) / 255, wc = (1 - fu) * fv / 255, wd = fu * fv / 255;
  for (let k = 0; k < 3; k++) texel[k] = wa * pixels[a + k] + wb * pixels[b + k] + wc * pixels[a + down + k] + wd * pixels[b + down + k];
  const m = 4 * width * matte;
  texel[3] = matte ? wa * pixels[m + a] + wb * pixels[m + b] + wc * pixels[m + a + down] + wd * pixels[m + b + down] : 1;
}

function clamp(value, most) {
  return value > 0 ? (value < most ? value : most) : 0;
}
