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
 * @param {Float32Array=} into 4 width height numbers, if there are some already.
 * @returns {Float32Array} premultiplied r g b and the transmittance of every pixel; a pixel that stopped has it negative.
 */
export function rasterize(splats, count, width, height, into) {
  const size = 4 * width * height, picture = into?.length === size ? into : new Float32Array(size);
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
 * @param {Float32Array} picture of rasterize().
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
  const line = new Float32Array(4 * width), end = line.length;
  for (let row = 0, first = 0; row < height; row++, first += end) {
    for (let p = 0; p < end; p += 4) {
      line[p] = picture[first + p], line[p + 1] = picture[first + p + 1], line[p + 2] = picture[first + p + 2];
      line[p + 3] = Math.abs(picture[first + p + 3]);
    }
    if (torso) layUnder(line, torso, row + 0.5);
    if (plate) layUnder(line, plate, row + 0.5);
    else if (color) colorUnder(line, color);
    for (let p = 0; p < end; p += 4) {
      const alpha = 1 - line[p + 3], scale = alpha > MIN_ALPHA / 2 ? 255 / alpha : 0, to = first + p;
      // The array rounds and clamps.
      out[to] = line[p] * scale, out[to + 1] = line[p + 1] * scale, out[to + 2] = line[p + 2] * scale, out[to + 3] = 255 * alpha;
    }
  }
  return out;
}

/** Lay a card under a row of pixels, bilinear to the 256th of a texel, as GPUs are; its edges go on. */
function layUnder(line, { pixels, width, height, matte, map }, y) {
  const texels = new Uint32Array(pixels.buffer, pixels.byteOffset, pixels.length >> 2);
  const [m0, m1, m2, m3, m4, m5, m6, m7, m8] = new Float64Array(map), right = 256 * (width - 1), last = 256 * (height - 1);
  // Away from the seam between colour and matte, across which the video's colours bleed.
  const top = matte ? 256 : 0, bottom = matte ? last - 256 : last, under = width * matte;
  for (let p = 0, x = 0.5; p < line.length; p += 4, x++) {
    const through = line[p + 3];
    if (!(through > 0)) continue;
    const w = 256 / (m6 * x + m7 * y + m8), u = (m0 * x + m1 * y + m2) * w - 127.5, v = (m3 * x + m4 * y + m5) * w - 127.5;
    const across = u > 0 ? (u < right ? u | 0 : right) : 0, down = v > top ? (v < bottom ? v | 0 : bottom) : top;
    const fu = across & 255, fv = down & 255, a = width * (down >> 8) + (across >> 8), wd = (fu * fv + 128) >> 8, wb = fu - wd, wc = fv - wd, wa = 256 - fu - wc;
    const b = fu ? a + 1 : a, c = fv ? a + width : a, d = fv ? b + width : b;
    let weight = through / 65280;
    if (matte) {
      const opaque = wa * (texels[a + under] & 255) + wb * (texels[b + under] & 255) + wc * (texels[c + under] & 255) + wd * (texels[d + under] & 255);
      if (!opaque) continue;
      weight *= opaque / 65280;
      line[p + 3] = through * (1 - opaque / 65280);
    } else line[p + 3] = 0;
    // Red and blue in one number: sixteen bits are enough for each.
    const ta = texels[a], tb = texels[b], tc = texels[c], td = texels[d], both = 0xff00ff;
    const mixed = Math.imul(wa, ta & both) + Math.imul(wb, tb & both) + Math.imul(wc, tc & both) + Math.imul(wd, td & both);
    line[p] += weight * (mixed & 0xffff), line[p + 2] += weight * ((mixed >>> 16) & 0xffff);
    line[p + 1] += weight * (wa * ((ta >> 8) & 255) + wb * ((tb >> 8) & 255) + wc * ((tc >> 8) & 255) + wd * ((td >> 8) & 255));
  }
}

function colorUnder(line, [red, green, blue]) {
  for (let p = 0; p < line.length; p += 4) {
    const through = line[p + 3];
    line[p] += through * red, line[p + 1] += through * green, line[p + 2] += through * blue, line[p + 3] = 0;
  }
}
