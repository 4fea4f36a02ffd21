// What draws besides the page's thread: blending, projecting, sorting and the CPU's picture. One request at a time;
// buffers go to and fro, so that nothing is allocated per frame.

import { Blender } from "./blend.js";
import { compose, rasterize } from "./cpu.js";
import { Easel } from "./easel.js";
import { cameraOf, Projector } from "./project.js";

/** Draws frames of an avatar. */
export class Painter {
  /**
   * @param {{face: object, mouth: object|null}} branches of branchOf().
   */
  constructor(branches) {
    // Nearest first: the face lies over the mouth, whatever their depths.
    this.blenders = [branches.face, branches.mouth].filter(Boolean).map((branch) => new Blender(branch));
    this.projector = new Projector();
    this.cards = {}, this.easel = null;
  }

  /**
   * Splats of a frame, or its picture.
   * @param {object} frame
   * @param {Float32Array} frame.codes mouth codes, then upper-face channels.
   * @param {ArrayLike<number>} frame.pose rows of T_camera_head as filmed (12): what light depends on.
   * @param {ArrayLike<number>} frame.view rows of T_camera_head as seen (12).
   * @param {{fx: number, fy: number, cx: number, cy: number}} frame.K pixels.
   * @param {number} frame.width pixels
   * @param {number} frame.height pixels
   * @param {Float32Array=} frame.splats room to use again: the answer is splats, farthest first.
   * @param {object=} frame.under what compose() takes: the answer is pixels. A card without pixels is the last one of its name.
   * @param {Uint8ClampedArray=} frame.pixels room to use again.
   * @returns {{splats: Float32Array, count: number}|{pixels: Uint8ClampedArray}}
   */
  paint({ codes, pose, view, K, width, height, splats, under, pixels }) {
    for (const blender of this.blenders) blender.update(codes.subarray(0, blender.branch.codes), pose, view);
    const camera = cameraOf(view, K, width, height);
    if (!under) return this.projector.run(this.blenders, camera, splats, true);
    const filled = this.#filled(under), total = this.blenders.reduce((sum, { n }) => sum + n, 0);
    this.easel = Easel.for(this.easel, total, width, height, filled);
    const { splats: found, count } = this.projector.run(this.blenders, camera, this.easel?.splats ?? this.found);
    if (this.easel) return { pixels: this.easel.paint(count, filled, pixels) };
    this.found = found;
    this.picture = rasterize(found, count, width, height, this.picture);
    return { pixels: compose(this.picture, width, height, filled, pixels) };
  }

  #filled(under) {
    const filled = { color: under.color };
    for (const name of ["torso", "plate"]) {
      const card = under[name];
      if (card?.pixels) this.cards[name] = card;
      filled[name] = card && this.cards[name] ? { ...this.cards[name], map: card.map } : null;
    }
    return filled;
  }
}

/** Answer the messages of a page: first {branches}, then frames; errors come back as a sentence. */
export function serve(scope) {
  let painter = null;
  scope.onmessage = ({ data }) => {
    try {
      if (data.branches) return void (painter = new Painter(data.branches));
      const answer = painter.paint(data);
      scope.postMessage(answer, [(answer.pixels ?? answer.splats).buffer]);
    } catch (error) {
      scope.postMessage({ error: error.message });
    }
  };
}

if (typeof WorkerGlobalScope !== "undefined" && self instanceof WorkerGlobalScope) serve(self);
