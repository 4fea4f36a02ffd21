// From sound to mouth codes, as `gaussavatar speak --features light` goes (gaussavatar/audio/drive.py).

import { AHEAD, Encoder, EncoderRun, STEP, WINDOW } from "./encoder.js";
import { Features, FEATURE_RATE } from "./features.js";
import { RATE } from "./mel.js";
import { normaliseRow, RunningNormaliser, silenceOf } from "./normalise.js";
import { Rows } from "./rows.js";

const FPS = 25;
/** Sound after the middle of a video frame until its mouth is known, seconds: half a window, and half a frame of sound. */
export const LOOK_AHEAD = (WINDOW >> 1) / FEATURE_RATE + 0.0125;

/** Video frames of a sound: the nearest whole number (of two, the even one), and at least one. */
export function framesOf(samples) {
  const frames = (samples * FPS) / RATE, below = Math.floor(frames);
  const up = frames - below > 0.5 || (frames - below === 0.5 && below % 2 === 1);
  return Math.max(1, below + (up ? 1 : 0));
}

/** Whether a page may go on working, which began at a moment: 8 ms, or as long as it takes where nobody looks. */
export function mayGoOn(begun) {
  return globalThis.document?.hidden || performance.now() - begun < 8;
}

/** Let the page do what waits. Timers that follow on each other wait four milliseconds; messages do not. */
function breath() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => (port1.close(), resolve());
    port2.postMessage(null);
  });
}

/** What an avatar hears with: its light network. */
export class Voice {
  /** @param {Gsa} gsa an avatar file as `readGsa` gives it. @param {string=} name of the network in the file. */
  constructor(gsa, name = "speech") {
    const { features, gate, mouth_gain: gain } = gsa.meta[name];
    this.encoder = new Encoder(gsa, name);
    this.features = new Features(gsa, features);
    this.closed = gsa.array("drive.closed", [this.encoder.codes]);
    if (this.features.width !== this.encoder.width) throw new Error("This avatar's network hears frames of another width.");
    Object.assign(this, { gate, gain, centre: this.encoder.centre });
  }

  /** Numbers per video frame. */
  get width() {
    return this.encoder.codes;
  }

  /**
   * Mouth codes of a whole sound, normalised with its own statistics.
   * @param {Float32Array} samples 16 kHz, mono.
   * @returns {Float32Array} frames of 25 per second x codes.
   */
  codesOf(samples) {
    const steps = this.#steps(samples);
    for (;;) {
      const { done, value } = steps.next();
      if (done) return value;
    }
  }

  /**
   * The same, a little at a time, so that a page goes on meanwhile.
   * @param {() => boolean=} unwanted asked now and then; true ends it with null.
   * @returns {Promise<Float32Array|null>}
   */
  async codesSoon(samples, unwanted = () => false) {
    const steps = this.#steps(samples);
    for (let begun = performance.now(); !unwanted(); ) {
      const { done, value } = steps.next();
      if (done) return value;
      if (!mayGoOn(begun)) {
        await breath();
        begun = performance.now();
      }
    }
    return null;
  }

  *#steps(samples) {
    if (!samples.length) throw new Error("The sound has not a single sample.");
    const run = yield* this.heard(finite(samples)), { range } = this.encoder, frames = framesOf(samples.length);
    return this.spoken(run, frames, range ? range.ofVoice(run.answers.data, run.gates.data, frames, this.centre) : [1, 0]);
  }

  /** Answers and gates of a whole sound's frames, a little at a time. @returns {Generator<void, EncoderRun>} */
  *heard(samples) {
    const raw = yield* this.features.whole(samples);
    const own = this.features.statistics(raw.data, raw.count), silence = silenceOf(own);
    const run = new EncoderRun(this.encoder, this.gate), piece = new Rows(raw.width);
    piece.repeat(silence, AHEAD);
    for (let first = 0; first < raw.count; first += 512) {
      const count = Math.min(512, raw.count - first), begin = piece.grow(count);
      for (let k = 0; k < count * raw.width; k += raw.width) {
        normaliseRow(raw.data, first * raw.width + k, raw.width, own, own, 1, piece.data, begin + k);
      }
      run.push(piece);
      piece.count = 0;
      yield;
    }
    piece.repeat(silence, WINDOW + STEP);
    run.push(piece);
    return run;
  }

  /**
   * Sound that comes in pieces of any length: codes of frames as they become known, `LOOK_AHEAD` after their middle.
   * What comes out does not depend on the pieces.
   * @param {Statistics=} initial `statistics` of an earlier stream of the same voice, to start with.
   * @returns {VoiceStream}
   */
  stream(initial = null) {
    return new VoiceStream(this, initial);
  }

  /** The first `frames` answers in the person's own range, with the gain, closed in silence; forgets them. */
  spoken({ answers, gates }, frames, voice) {
    const { closed, gain, centre } = this, { range, codes } = this.encoder;
    const told = answers.data.slice(0, frames * codes);
    for (let k = 0; k < frames; k++) {
      const at = k * codes;
      range?.match(told, at, centre, voice);
      for (let j = 0; j < codes; j++) {
        told[at + j] = closed[j] + gates.data[k] * (centre[j] + gain * (told[at + j] - centre[j]) - closed[j]);
      }
    }
    answers.drop(frames);
    gates.drop(frames);
    return told;
  }
}

/** The best network, which hears with hama as well, together with the light one (gaussavatar/audio/blend.py): whole sounds. */
export class BestVoice extends Voice {
  /** @param {Gsa} gsa with `meta.best` and the sections `best.*` and `hama.*`. @param {Voice} light of the same file. */
  constructor(gsa, light) {
    super(gsa, "best");
    const { share } = gsa.meta.best;
    if (light.width !== this.width || !(share >= 0 && share <= 1)) throw new Error("This avatar's two networks do not fit together.");
    Object.assign(this, { light, share, centre: this.centre.map((value, k) => (1 - share) * value + share * light.centre[k]) });
  }

  /** See {@link Voice#heard}. */
  *heard(samples) {
    const run = yield* super.heard(samples);
    if (!this.share) return run;
    const own = run.answers.data, { answers } = yield* this.light.heard(samples), count = answers.count * answers.width;
    for (let k = 0; k < count; k++) own[k] = (1 - this.share) * own[k] + this.share * answers.data[k];
    return run;
  }
}

/** See {@link Voice#stream}. */
class VoiceStream {
  #voice;
  #features;
  #normaliser;
  #run;
  #begun = false;
  #early;
  #frames = 0;

  constructor(voice, initial) {
    const { features } = voice;
    this.#voice = voice;
    this.#features = features.stream();
    this.#normaliser = new RunningNormaliser((...rows) => features.statistics(...rows), features.width, FEATURE_RATE, 30, initial);
    this.#run = new EncoderRun(voice.encoder, voice.gate);
    this.#early = new Rows(voice.features.width);
  }

  /** Video frames whose codes were given so far. */
  get frames() {
    return this.#frames;
  }

  /** What the voice is normalised with by now; null before anything was heard. */
  get statistics() {
    return this.#normaliser.statistics;
  }

  /** @param {Float32Array} samples 16 kHz, mono. @returns {Float32Array} frames x codes that became known. */
  push(samples) {
    this.#hear(this.#features.push(finite(samples)));
    return this.#spoken(this.#run.answers.count);
  }

  /** The remaining frames, as if silence followed. @returns {Float32Array} frames x codes. */
  finish() {
    const samples = this.#features.samples;
    if (!samples) return new Float32Array(0);
    this.#hear(this.#features.finish());
    const after = new Rows(this.#voice.features.width), silence = silenceOf(this.#normaliser.statistics);
    if (!this.#begun) this.#begin();
    after.repeat(silence, WINDOW + STEP);
    this.#run.push(after);
    return this.#spoken(framesOf(samples) - this.#frames);
  }

  #hear(raw) {
    // Row by row until what lies before the sound is known: then nothing depends on the pieces.
    const first = AHEAD + STEP + 1, row = new Rows(raw.width);
    let k = 0;
    for (; !this.#begun && k < raw.count; k++) {
      row.count = 0;
      row.append(raw.data.subarray(k * raw.width, (k + 1) * raw.width));
      this.#early.append(this.#normaliser.push(row).data, 1);
      if (this.#early.count === first) this.#begin();
    }
    if (k === raw.count) return;
    row.count = 0;
    row.append(raw.data.subarray(k * raw.width, raw.count * raw.width));
    this.#run.push(this.#normaliser.push(row));
  }

  /** Before the sound lies silence, as the first complete window knows it. */
  #begin() {
    const before = new Rows(this.#early.width);
    before.repeat(silenceOf(this.#normaliser.statistics), AHEAD);
    before.append(this.#early.data, this.#early.count);
    this.#run.push(before);
    this.#begun = true;
  }

  #spoken(frames) {
    this.#frames += frames;
    return this.#voice.spoken(this.#run, frames, [1, 0]);
  }
}

function finite(samples) {
  if (!samples.every(Number.isFinite)) throw new Error("The sound holds numbers that are none.");
  return samples;
}
