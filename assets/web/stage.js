// The picture on the page: its canvas and what draws on it, and what lies under the head.

import { branchOf } from "./blend.js";
import { GlCanvas } from "./gl.js";
import { coverMap, parseBackground, PixelReader, scaledMap, View } from "./scene.js";
import { PixelCanvas, Studio } from "./studio.js";

const MOST_SIDE = { gl: 2048, cpu: 512 }, MOST_WISHED = 4096;

/** Where an avatar is drawn. */
export class Stage {
  #gsa;
  #root;
  #onchange;
  #studio;
  #view;
  #screen = null;
  #backdrop = { kind: "plate" };
  #cards = { torso: { taken: null }, plate: null };
  #readers = { torso: new PixelReader(), plate: new PixelReader() };
  // Of the last answer; handed over with the next request.
  #room = {};

  /**
   * @param {ShadowRoot} root has the canvas.
   * @param {Gsa} gsa
   * @param {() => void} onchange called when there is something to draw anew.
   */
  constructor(root, gsa, onchange) {
    const branch = (name) => (gsa.meta.branches[name] ? branchOf(gsa, name) : null);
    this.#gsa = gsa, this.#root = root, this.#onchange = onchange;
    this.#studio = new Studio({ face: branch("face"), mouth: branch("mouth") });
    this.#view = new View(gsa);
  }

  /** What draws: gl or cpu. */
  get kind() {
    return this.#screen?.kind ?? "";
  }

  get canvas() {
    return this.#screen.painter.canvas;
  }

  /**
   * Choose what draws, on a new canvas: one that had a context of one kind takes no other.
   * @param {string|null} wish gl, cpu, or what is better here.
   * @returns {string} why it is not GL, or "".
   */
  open(wish) {
    const old = this.#root.querySelector("canvas"), fresh = old.cloneNode();
    let why = "", painter = null;
    if (wish !== "cpu") {
      try {
        painter = new GlCanvas(fresh.cloneNode(), wish === "gl");
        painter.canvas.addEventListener("webglcontextlost", () => this.#screen?.painter === painter && this.open("cpu"));
      } catch (error) {
        why = error.message;
      }
    }
    this.#screen?.painter.close();
    this.#screen = painter ? { kind: "gl", painter } : { kind: "cpu", painter: new PixelCanvas(fresh) };
    old.replaceWith(this.canvas);
    for (const card of Object.values(this.#cards)) if (card) card.taken = null;
    this.#onchange();
    return why;
  }

  /**
   * Put something behind the person: see parseBackground().
   * @throws {Error} it cannot be read; what was there stays.
   */
  async setBackground(text) {
    const wish = parseBackground(text), gsa = this.#gsa;
    let bitmap = null;
    if (wish.kind === "picture") bitmap = await decoded(wish.url, `The background ${wish.url} cannot be read.`);
    if (wish.kind === "plate" && gsa.has("plate.image")) {
      const url = URL.createObjectURL(new Blob([gsa.array("plate.image")], { type: gsa.meta.plate }));
      bitmap = await decoded(url, "The filmed background in this file cannot be read.").finally(() => URL.revokeObjectURL(url));
    }
    this.#cards.plate = bitmap && { source: bitmap, fixed: wish.kind === "picture", taken: null };
    this.#backdrop = wish;
    this.#onchange();
  }

  /**
   * Pixels to draw.
   * @param {number[]} box width and height of the element in pixels of the screen.
   * @param {number} wish longer side, pixels; 0 or NaN: what the screen shows and this machine can draw.
   */
  size([w, h], wish) {
    const longest = Math.max(w, h, 1), most = Math.min(MOST_SIDE[this.kind], this.kind === "cpu" ? this.#gsa.meta.size : longest, longest);
    const scale = (wish > 0 ? Math.min(wish, MOST_WISHED) : most) / longest, side = (length) => Math.max(1, Math.round((length || longest) * scale));
    return { width: side(w), height: side(h) };
  }

  /**
   * Draw a frame.
   * @param {object} wanted codes, upper, pose (12 numbers), width, height, orbit {yaw, pitch, zoom}.
   * @param {Torso|null} torso
   * @param {() => T} then called right after drawing, before the browser may take the canvas's picture away.
   * @returns {Promise<T|null>} what it gives; null where another canvas came between, or nothing was drawn.
   */
  async draw({ codes, upper, pose, width, height, orbit }, torso, then) {
    const { kind, painter } = this.#screen, maps = this.#view.seen(pose, orbit, width, height, this.#backdrop.kind === "plate");
    const under = this.#under(torso, width, height, maps), room = this.#room;
    const frame = { codes: Float32Array.from([...codes, ...upper]), pose: [...pose], view: maps.view, K: maps.K, width, height };
    // It is handed over, and may never come back.
    this.#room = {};
    const answer = await this.#studio.paint({ ...frame, ...(kind === "gl" ? { splats: room.splats } : { pixels: room.pixels, under }) });
    if (this.#screen?.painter !== painter) return null;
    painter.draw(answer, width, height, under);
    this.#room = answer;
    return then();
  }

  close() {
    this.#studio.close();
    this.#screen?.painter.close();
    this.#screen = null;
  }

  /** What lies under the head; pictures that are new are handed over now, so that they belong to this frame's pose. */
  #under(torso, width, height, maps) {
    const under = { torso: null, plate: null, color: this.#backdrop.color ?? null }, { plate } = this.#cards;
    if (torso) under.torso = this.#card("torso", torso.video, torso.seconds(), maps.torso);
    if (torso && !torso.matte) under.torso.matte = 0;
    if (plate) under.plate = this.#card("plate", plate.source, 0, maps.plate);
    if (plate?.fixed) under.plate.map = coverMap(plate.source, width, height);
    return under;
  }

  /** A card of a source, which is taken where its mark is a new one; colour lies above the matte in the torso's. */
  #card(name, source, mark, map) {
    const { kind, painter } = this.#screen, state = this.#cards[name], stacked = name === "torso";
    const width = source.videoWidth || source.width, height = (source.videoHeight || source.height) / (stacked ? 2 : 1), { size } = this.#view;
    const card = { map: scaledMap(map, width / size, height / size), width, height, matte: stacked ? height : 0 };
    if (state.taken !== mark && kind === "gl") painter.upload(name, source);
    else if (state.taken !== mark) card.pixels = this.#readers[name].read(source).pixels;
    state.taken = mark;
    return card;
  }
}

async function decoded(url, sentence) {
  const picture = Object.assign(new Image(), { crossOrigin: "anonymous", src: url });
  try {
    await picture.decode();
    return await createImageBitmap(picture);
  } catch {
    throw new Error(sentence);
  }
}
