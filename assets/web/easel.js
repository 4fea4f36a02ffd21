// The processor's pictures by the kernels: what cpu.js does, where there is WebAssembly.

import { opened, ROOM } from "./kernels.js";
import { SPLAT } from "./project.js";

const CARD = 64;

/** Draws pictures of one size, with room for so many splats. */
export class Easel {
  #kernels;
  #size;
  #at = {};
  #taken = { torso: null, plate: null };

  /** @param {Easel|null} old @returns {Easel|null} the old one if it fits; null where there is no WebAssembly. */
  static for(old, total, width, height, under) {
    // A row more than a card has is read, and counts nothing.
    const bytes = (card) => (card ? card.pixels.length + 4 * card.width : 0), size = [total, width, height, bytes(under.torso), bytes(under.plate)];
    if (old && size.every((value, i) => value === old.#size[i])) return old;
    const easel = new Easel(size);
    return easel.#kernels && easel;
  }

  constructor(size) {
    const [total, width, height, torso, plate] = size, stride = CARD * Math.ceil(width / 4);
    let bytes = 3 * CARD;
    const room = (length) => {
      const begin = bytes;
      bytes += (length + 2 * ROOM - 1) & -ROOM;
      return begin;
    };
    this.#at = { splats: room(total * SPLAT * 4), picture: room(stride * height), out: room(4 * width * height), stride };
    Object.assign(this.#at, { spans: room(8 * height), four: room(2 * CARD), torso: room(torso), plate: room(plate) });
    this.#size = size, this.#kernels = opened(bytes);
    /** Where splats go, front to back. */
    this.splats = this.#kernels && new Float32Array(this.#kernels.memory, this.#at.splats, total * SPLAT);
  }

  /**
   * The splats over what lies under them.
   * @param {number} count @param {object} under as compose() of cpu.js takes it @param {Uint8ClampedArray=} into
   * @returns {Uint8ClampedArray} straight RGBA.
   */
  paint(count, under, into) {
    const { clear, draw, compose, memory } = this.#kernels, { splats, picture, out, spans, four, stride } = this.#at;
    const [, width, height] = this.#size, size = 4 * width * height;
    clear(picture, picture + stride * height);
    draw(splats, splats + 4 * SPLAT * count, picture, stride, spans, width - 1, height - 1);
    const card = (name, at) => (under[name] ? this.#card(name, at, under[name]) : 0), color = under.plate ? null : under.color;
    if (color) new Float32Array(memory, 2 * CARD, 4).set([...color, -1]);
    // The first card lies at CARD, for nothing is what 0 says.
    compose(picture, stride, out, 4 * width, height, four, card("torso", CARD), card("plate", 2 * CARD), color ? 2 * CARD : 0);
    const pixels = into?.length === size ? into : new Uint8ClampedArray(size);
    pixels.set(new Uint8ClampedArray(memory, out, size));
    return pixels;
  }

  #card(name, at, { pixels, width, height, matte, map }) {
    const { memory } = this.#kernels, start = this.#at[name], last = 256 * (height - 1), edge = matte ? 256 : 0;
    new Float32Array(memory, at).set([...map, 256 * (width - 1), edge, last - edge]);
    new Int32Array(memory, at + 48).set([4 * width, start, 4 * width * matte]);
    if (this.#taken[name] !== pixels) new Uint8ClampedArray(memory, start).set(pixels);
    this.#taken[name] = pixels;
    return at;
  }
}
