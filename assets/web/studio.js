// Where pictures are made, a worker or this thread, and the canvas that takes those of the processor.

import { Painter } from "./worker.js";

/** Paints in a worker, or here where there can be none. */
export class Studio {
  /** @param {{face: object, mouth: object|null}} branches of branchOf(). */
  constructor(branches) {
    this.branches = branches;
    try {
      this.worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
      this.worker.onmessage = ({ data }) => this.#answer(data);
      this.worker.onerror = (event) => (event.preventDefault(), this.#stay());
      this.worker.postMessage({ branches });
    } catch {
      this.#stay();
    }
  }

  /** @returns {Promise<object>} what Painter.paint() gives. One request at a time. */
  paint(frame) {
    return new Promise((resolve, reject) => {
      this.waiting = { frame, resolve, reject };
      if (this.painter) return this.#paintHere();
      // The room to use again is handed over, and comes back with the answer.
      this.worker.postMessage(frame, [frame.splats, frame.pixels].filter(Boolean).map((array) => array.buffer));
    });
  }

  close() {
    this.worker?.terminate();
  }

  #answer(data) {
    const { resolve, reject } = this.waiting;
    if (data.error) return reject(new Error(`This avatar cannot be drawn: ${data.error}`));
    this.branches = null;
    resolve(data);
  }

  #paintHere() {
    const { frame, resolve, reject } = this.waiting;
    try {
      resolve(this.painter.paint(frame));
    } catch (error) {
      reject(error);
    }
  }

  #stay() {
    this.worker?.terminate();
    this.worker = null;
    if (!this.branches) return this.waiting?.reject(new Error("The worker that draws this avatar has died."));
    this.painter = new Painter(this.branches);
    if (this.waiting) Object.assign(this.waiting.frame, { splats: undefined, pixels: undefined }), this.#paintHere();
  }
}

/** Draws pictures of the processor's on a canvas. */
export class PixelCanvas {
  constructor(canvas) {
    this.canvas = canvas, this.context = canvas.getContext("2d");
  }

  draw({ pixels }, width, height) {
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    this.context.putImageData(new ImageData(pixels, width, height), 0, 0);
  }

  close() {}
}
