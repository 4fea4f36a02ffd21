// What the visitor lets the avatar say: a microphone, or a sound file.

const RATE = 24000, PIECE = RATE / 2, AHEAD = 3;

/**
 * Open a microphone.
 * @returns {Promise<MediaStreamTrack>} rejected with one sentence.
 */
export async function microphone() {
  const media = navigator.mediaDevices;
  if (!media) throw new Error("This page may use no microphone: it was not opened by https, nor on the machine that serves it.");
  try {
    const stream = await media.getUserMedia({ audio: { echoCancellation: true, noiseSuppression: true } });
    return stream.getAudioTracks()[0];
  } catch (error) {
    const why = { NotAllowedError: "it was not allowed", NotFoundError: "there is none", NotReadableError: "another program has it" };
    throw new Error(`No microphone: ${why[error.name] ?? error.message}.`);
  }
}

/** One channel of samples in -1..1 as 16 bits. @param {Float32Array} samples @returns {Int16Array} */
export function pcm16(samples) {
  return Int16Array.from(samples, (value) => Math.max(-32768, Math.min(32767, Math.round(32767 * value))));
}

/** The mean of all channels. @param {AudioBuffer} buffer @returns {Float32Array} */
export function mono(buffer) {
  const sum = new Float32Array(buffer.length), count = buffer.numberOfChannels;
  for (let k = 0; k < count; k++) buffer.getChannelData(k).forEach((value, i) => (sum[i] += value / count));
  return sum;
}

/** Sends one sound file at a time, a few seconds ahead of what is spoken. */
export class Player {
  #round = 0;

  /** @param {(message: object|ArrayBuffer) => void} send */
  constructor(send) {
    this.send = send;
  }

  /** @param {Blob} file @returns {Promise<number>} seconds that are spoken; rejected with one sentence. */
  async play(file) {
    const round = ++this.#round;
    const context = new OfflineAudioContext(1, 1, RATE);
    const buffer = await context.decodeAudioData(await file.arrayBuffer()).catch(() => {
      throw new Error(`${file.name ?? "This file"} is no sound that this browser can read.`);
    });
    if (round === this.#round) this.#stream(pcm16(mono(buffer)), round);
    return buffer.duration;
  }

  /** Send no more. */
  stop() {
    this.#round++;
  }

  async #stream(samples, round) {
    const began = performance.now();
    this.send({ kind: "hello", rate: RATE });
    for (let at = 0; at < samples.length; at += PIECE) {
      const early = at / RATE - AHEAD - (performance.now() - began) / 1e3;
      if (early > 0) await new Promise((done) => setTimeout(done, 1e3 * early));
      if (round !== this.#round) return;
      this.send(samples.slice(at, at + PIECE).buffer);
    }
    this.send({ kind: "flush" });
  }
}
