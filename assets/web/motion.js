// How a person moves: as filmed, back and forth, with lips that follow codes; blinks of their own where nothing is said.

import { betweenPoses } from "./rotations.js";

const TURN = 12, BLEND = 0.4;

/** Chance by a seed (mulberry32): numbers of 0 to 1. */
export function chance(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** One period of the way back and forth through a track: a frame of it at each of the frames (motion/timeline.py). */
export function backAndForth(count) {
  if (count < 5) return [0];
  const turn = Math.min(TURN, Math.floor((count - 1) / 2)), slow = [];
  for (let k = 0, sum = 0; k < 2 * turn; k++) slow.push((sum += 0.5 * (1 + Math.cos((Math.PI * (k + 0.5)) / (2 * turn)))));
  const straight = Array.from({ length: count - 2 * turn }, (_, k) => turn + k);
  const sweep = [0, ...slow.map((value) => turn - value).reverse(), ...straight, ...slow.map((value) => count - 1 - turn + value)];
  const nearest = sweep.map((place) => Math.round(Math.min(Math.max(place, 0), count - 1)));
  return [...nearest, ...nearest.slice().reverse()];
}

/** New blinks with a person's own timing and shapes (motion/blinks.py), at any moment of a long time. */
export class Blinks {
  #random;
  #coming = [];
  #until = -1;
  #from = 0;

  /** @param {object|null} habit `meta.blink`; @param {number} seed */
  constructor(habit, seed) {
    this.habit = habit;
    this.#random = chance(seed);
  }

  /** Seconds until the next blink: their logarithm is normal. */
  #interval() {
    const { log_interval: mean, spread, refractory } = this.habit;
    const normal = Math.sqrt(-2 * Math.log(1 - this.#random())) * Math.cos(2 * Math.PI * this.#random());
    return Math.max(refractory, Math.exp(mean + spread * normal));
  }

  /** Moments of blinks until `seconds`, in order; those of long ago are forgotten. */
  moments(seconds) {
    if (!this.habit) return [];
    // The first falls somewhere within an interval, as if the motion began in the middle of life.
    if (this.#until < 0 || seconds < this.#from) {
      this.#coming = [];
      this.#from = seconds;
      this.#until = Math.max(0, seconds) + this.#random() * this.#interval();
    }
    for (; this.#until <= seconds; this.#until += this.#interval()) {
      this.#coming.push({ moment: this.#until, shape: Math.floor(this.#random() * this.habit.shapes.length) });
    }
    if (this.#coming.length > 400) {
      this.#coming.splice(0, 200);
      this.#from = this.#coming[0].moment;
    }
    return this.#coming;
  }

  /** Raise the lids of an upper face to what blinks say; in place. */
  add(upper, seconds) {
    if (!this.habit) return;
    const { shapes, fps, before, after, channels } = this.habit, lead = Math.round(before * fps);
    for (const { moment, shape } of this.moments(seconds + before)) {
      if (seconds > moment + after + 1 / fps) continue;
      const curve = shapes[shape], place = (seconds - moment) * fps + lead, k = Math.floor(place);
      if (place < 0 || place > curve.length - 1) continue;
      const next = curve[Math.min(k + 1, curve.length - 1)];
      channels.forEach((channel, j) => (upper[channel] = Math.max(upper[channel], curve[k][j] + (place - k) * (next[j] - curve[k][j]))));
    }
  }
}

/** A row that changes its target without a jump: what it was off by fades out. */
class Soft {
  constructor(width) {
    this.shown = new Float32Array(width);
    this.off = new Float32Array(width);
    this.since = -Infinity;
  }

  /** Go over to another target from now on. */
  turn(target, seconds) {
    for (let k = 0; k < target.length; k++) this.off[k] = this.shown[k] - target[k];
    this.since = seconds;
  }

  at(target, seconds) {
    const left = Math.min(Math.max(1 - (seconds - this.since) / BLEND, 0), 1), share = left * left * (3 - 2 * left);
    for (let k = 0; k < target.length; k++) this.shown[k] = target[k] + (share ? share * this.off[k] : 0);
    return this.shown;
  }
}

/** A person whose lips follow codes and who moves as they were filmed; who is never still, and blinks where they are silent. */
export class Person {
  #gsa;
  #places;
  #blinks;
  #mode = "";
  #codes;
  #upper;
  #aim;
  #played = null;

  /** @param {Gsa} gsa an avatar file @param {number=} seed of the blinks; chance by default. */
  constructor(gsa, seed = Math.floor(Math.random() * 2 ** 32)) {
    const width = gsa.shape("track.upper")[1];
    this.#gsa = gsa;
    this.#places = gsa.meta.torso?.places ?? backAndForth(gsa.shape("track.upper")[0]);
    this.#blinks = new Blinks(gsa.meta.blink ?? null, seed);
    this.#codes = new Soft(gsa.shape("drive.closed")[0]);
    this.#upper = new Soft(width);
    this.#aim = new Float32Array(width);
  }

  /** Play a motion of `motionOfTable` or of one's own, from the next frame on; null ends it. */
  play(motion) {
    this.#played = motion && { motion, begin: null };
  }

  /** Whether a motion is being played. */
  get playing() {
    return this.#played !== null;
  }

  /**
   * How the person is at a moment.
   * @param {number} seconds of a clock that goes on, or of the torso's loop with its rounds.
   * @param {ArrayLike<number>|null} codes what the mouth says; null where nothing is said.
   * @returns {{codes: Float32Array, upper: Float32Array, pose: Float32Array, place: number, own: boolean}} `pose` are rows
   * of T_camera_world, `place` the frame of the filmed track that torso and pose are of; `own` where the pose is a
   * motion's and not of that place. The arrays are used again.
   */
  frameAt(seconds, codes) {
    const gsa = this.#gsa, places = this.#places, at = Math.max(0, seconds * gsa.meta.fps + 1e-3), frame = Math.floor(at);
    const share = at - frame < 2e-3 ? 0 : at - frame;
    const [place, next] = [frame, frame + 1].map((k) => places[k % places.length]);
    const played = this.#playedAt(seconds), mode = played ? "played" : codes ? "speaking" : "idle";
    const lips = played?.codes ?? codes ?? gsa.array("drive.closed");
    this.#aimAt(mode, played, place, next, share, seconds);
    if (mode !== this.#mode) {
      // Lips that speak are on time from their first frame; only where they fall silent they take theirs.
      if (this.#mode && mode !== "speaking") this.#codes.turn(lips, seconds);
      else this.#codes.since = -Infinity;
      if (this.#mode) this.#upper.turn(this.#aim, seconds);
      this.#mode = mode;
    }
    const pose = played?.pose ?? betweenPoses(this.#row("track.pose", place, 12), this.#row("track.pose", next, 12), share);
    return { codes: this.#codes.at(lips, seconds), upper: this.#lids(mode, seconds), pose, place: played?.place ?? place, own: Boolean(played?.pose) };
  }

  #row(name, place, width) {
    return this.#gsa.array(name).subarray(place * width, (place + 1) * width);
  }

  /** Where the upper face goes: as filmed while something is said, at rest else. */
  #aimAt(mode, played, place, next, share) {
    const aim = this.#aim, n = aim.length;
    if (mode === "idle") return aim.set(this.#gsa.array("drive.rest_upper"));
    if (played?.upper) return aim.set(played.upper);
    const [a, b] = [this.#row("track.upper", place, n), this.#row("track.upper", next, n)];
    for (let k = 0; k < n; k++) aim[k] = a[k] + share * (b[k] - a[k]);
  }

  #lids(mode, seconds) {
    const upper = this.#upper.at(this.#aim, seconds);
    if (mode !== "idle") return upper;
    // Blinks are no part of what fades out.
    const shown = upper.slice();
    this.#blinks.add(shown, seconds);
    return shown;
  }

  #playedAt(seconds) {
    if (!this.#played) return null;
    const { motion } = this.#played;
    this.#played.begin ??= seconds;
    const passed = seconds - this.#played.begin;
    if (passed >= 0 && passed < motion.frames / motion.fps) return motion.at(passed);
    this.#played = null;
    return null;
  }
}
