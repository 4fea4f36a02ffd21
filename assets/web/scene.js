// What is seen besides the head: the filmed torso as a video loop on a card, and the place, a colour, a picture or
// nothing behind it. And from where it all is seen.

import { orbitMotion, times } from "./orbit.js";

// The torso's card stands so far behind the middle of the head, metres; the place is twice as far as the head.
const BEHIND = 0.06, FAR = 2;

/**
 * Intrinsics of a view: the square picture as filmed, cut to cover it or whole within it.
 * @param {Float32Array} K nine numbers, pixels of the filmed picture.
 * @param {number} size its side, pixels.
 * @param {number} width of the view, pixels.
 * @param {number} height
 * @param {number} zoom
 * @param {boolean} cover
 */
export function intrinsics(K, size, width, height, zoom, cover) {
  const side = cover ? Math.max(width, height) : Math.min(width, height), scale = side / size;
  return { fx: K[0] * scale * zoom, fy: K[4] * scale * zoom, cx: K[2] * scale + (width - side) / 2, cy: K[5] * scale + (height - side) / 2 };
}

/**
 * Where a plane that faces the filming camera is seen from elsewhere.
 * @param {number[]} motion of orbitMotion(): from the filming camera's space to the seeing one's.
 * @param {number} depth of the plane before the filming camera, metres.
 * @param {Float32Array} K of the filming camera.
 * @param {object} seen intrinsics of the view.
 * @returns {number[]} 3 x 3: pixels of the view, homogeneous, to pixels of the filmed picture.
 */
export function cardMap(motion, depth, K, seen) {
  const column = (j) => [motion[j], motion[4 + j], motion[8 + j]], dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
  // In the filming camera's space: the eye, and the ray of a pixel as a matrix of its homogeneous coordinates.
  const eye = [0, 1, 2].map((j) => -dot(column(j), [motion[3], motion[7], motion[11]]));
  const rays = [0, 1, 2].map((j) => {
    const [x, y, z] = column(j);
    return [x / seen.fx, y / seen.fy, z - (x * seen.cx) / seen.fx - (y * seen.cy) / seen.fy];
  });
  const reach = depth - eye[2], along = (i, k) => reach * rays[i][k] + eye[i] * rays[2][k];
  return [0, 1, 2].flatMap((row) => [0, 1, 2].map((k) => {
    if (row === 2) return depth * rays[2][k];
    return K[3 * row + row] * along(row, k) + K[3 * row + 2] * depth * rays[2][k];
  }));
}

/** A map that leads to pixels of a card of another size than the filmed picture's. */
export function scaledMap(map, x, y) {
  return map.map((value, i) => value * (i < 3 ? x : i < 6 ? y : 1));
}

/** A map by which a picture covers the view, whatever the camera does. */
export function coverMap(picture, width, height) {
  const scale = Math.min(picture.width / width, picture.height / height);
  return [scale, 0, (picture.width - width * scale) / 2, 0, scale, (picture.height - height * scale) / 2, 0, 0, 1];
}

/** What a view is made of. */
export class View {
  /** @param {Gsa} gsa */
  constructor(gsa) {
    this.K = gsa.array("camera.K"), this.size = gsa.meta.size;
    const pose = gsa.array("track.pose"), [x, y, z] = gsa.meta.orbit?.centre ?? [0, 0, 0];
    this.middle = [0, 4, 8].map((i) => pose[i] * x + pose[i + 1] * y + pose[i + 2] * z + pose[i + 3]);
  }

  /**
   * A head seen by a camera.
   * @param {ArrayLike<number>} pose rows of T_camera_head as filmed, 12 numbers.
   * @param {{yaw: number, pitch: number, zoom: number}} orbit degrees.
   * @param {number} width pixels
   * @param {number} height pixels
   * @param {boolean} cover see intrinsics().
   * @returns {{view: number[], K: object, torso: number[], plate: number[]}} the pose as seen and maps of the cards.
   */
  seen(pose, { yaw, pitch, zoom }, width, height, cover) {
    const K = intrinsics(this.K, this.size, width, height, zoom, cover), motion = orbitMotion(yaw, pitch, this.middle);
    const card = (depth) => cardMap(motion, depth, this.K, K);
    return { view: times(motion, pose), K, torso: card(this.middle[2] + BEHIND), plate: card(FAR * this.middle[2]) };
  }
}

/** The torso's video: which frame of the loop is on screen is what says where the head is. */
export class Torso {
  /** @param {Gsa} gsa; @param {() => void} onframe called for every new frame. */
  constructor(gsa, onframe) {
    const { frames, fps, places, matte } = gsa.meta.torso;
    Object.assign(this, { frames, fps, places, matte: matte !== false, index: 0, rounds: 0, shown: -1, ready: false });
    this.video = Object.assign(document.createElement("video"), { muted: true, loop: true, playsInline: true, preload: "auto" });
    this.url = URL.createObjectURL(new Blob([gsa.array("torso.video")], { type: "video/mp4" }));
    const follow = (_, { mediaTime }) => (this.#at(mediaTime), onframe(), this.video.requestVideoFrameCallback(follow));
    this.follows = "requestVideoFrameCallback" in this.video;
    if (this.follows) this.video.requestVideoFrameCallback(follow);
    this.loaded = new Promise((resolve) => {
      this.video.addEventListener("loadeddata", () => (this.#at(0), resolve(true)), { once: true });
      this.video.addEventListener("error", () => resolve(false), { once: true });
    });
    this.video.src = this.url;
  }

  /** Play or stand still. */
  run(on) {
    if (on) this.video.play().catch(() => {});
    else this.video.pause();
  }

  /**
   * Show a frame of the filmed track: run towards it while a track runs on, sought where it jumps.
   * @param {number} place @param {number} speed of the track; 0 stands still.
   */
  follow(place, speed) {
    const { frames, fps, places, video } = this;
    let least = frames;
    places.forEach((other, index) => {
      // A frame or two behind is no reason to run the whole round.
      const ahead = ((index - this.index + frames + 2) % frames) - 2;
      if (other === place && Math.abs(ahead) < Math.abs(least)) least = ahead;
    });
    if (least === frames) return;
    if (speed > 0) video.playbackRate = Math.min(Math.max(speed, 0.1), 4);
    this.run(speed > 0);
    if (Math.abs(least) > (speed > 0 ? 3 : 0) && !video.seeking) video.currentTime = (((this.index + least + frames) % frames) + 0.5) / fps;
  }

  /** Seconds of the loop's clock, rounds counted; without frame callbacks, asked of the video. */
  seconds() {
    if (!this.follows) this.#at(this.video.currentTime);
    return (this.rounds * this.frames + this.index) / this.fps;
  }

  /** The frame of the filmed track that is on screen. */
  place() {
    return this.places[this.index];
  }

  close() {
    this.run(false);
    this.video.removeAttribute("src");
    this.video.load();
    URL.revokeObjectURL(this.url);
  }

  #at(time) {
    const index = Math.min(Math.floor(time * this.fps + 0.25), this.frames - 1);
    if (index < this.index - this.frames / 2) this.rounds++;
    this.index = index, this.ready = true;
  }
}

/**
 * Read the attribute `background`.
 * @returns {{kind: "plate"|"none"|"color"|"picture", color?: number[], url?: string}} colour in 0..1.
 */
export function parseBackground(text) {
  const word = (text ?? "").trim();
  if (word === "" || word === "plate") return { kind: "plate" };
  if (word === "none" || word === "transparent") return { kind: "none" };
  if (!word.startsWith("#")) return { kind: "picture", url: word };
  const digits = /^#([0-9a-f]{3}){1,2}$/i.test(word) ? word.slice(1) : null;
  if (!digits) throw new Error(`${word.slice(0, 20)} is no colour such as #1e90ff.`);
  const wide = digits.length === 3 ? [...digits].map((d) => d + d).join("") : digits;
  return { kind: "color", color: [0, 2, 4].map((i) => parseInt(wide.slice(i, i + 2), 16) / 255) };
}

/** The RGBA pixels of a video, bitmap or canvas; keeps the canvas that it takes. */
export class PixelReader {
  /** @returns {{pixels: Uint8ClampedArray, width: number, height: number}} */
  read(source) {
    const width = source.videoWidth || source.width, height = source.videoHeight || source.height;
    this.canvas ??= document.createElement("canvas");
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    const context = this.canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(source, 0, 0);
    return { pixels: context.getImageData(0, 0, width, height).data, width, height };
  }
}
