// Sound that is spoken, and the clock that the lips follow: what is heard now, not what was handed over.

import { at16k, Resampler } from "./speech/resample.js";
import { Rows } from "./speech/rows.js";
import { BestVoice, LOOK_AHEAD, mayGoOn, Voice } from "./speech/voice.js";
import { samplesOfWav } from "./speech/wav.js";

const FPS = 25, SHUT = 0.12;
/** Sound after a moment that its lips depend on: the look-ahead, and up to the middle of the frame after next. */
const NEED = LOOK_AHEAD + 0.04;
/** Pushed sound plays so long after its first piece: late pieces are made up for. Listening waits less. */
const WAIT = NEED + 0.09, LISTEN_WAIT = NEED + 0.05;
/** So long after the end of what was pushed, nothing more is waited for. */
const REST = 0.25;
/** Seconds of sound that are heard at once, and the lag from which on one is told of. */
const SLICE = 0.25, LAG = 0.06;
const KEPT = 500;
/** Seconds of its clock after which a browser is asked how late it is heard: Firefox asked before, while it opens the
 * loudspeakers, may stand still for ever. */
const OPENED = 0.3;

const CAPTURE = `registerProcessor("capture", class extends AudioWorkletProcessor {
  constructor() { super(); this.room = new Float32Array(1024); this.at = 0; this.port.onmessage = () => (this.over = true); }
  process([channels]) {
    const n = channels.length;
    for (let k = 0; n && k < channels[0].length; k++) {
      let sum = 0;
      for (let c = 0; c < n; c++) sum += channels[c][k];
      this.room[this.at++] = sum / n;
      if (this.at < this.room.length) continue;
      this.port.postMessage({ samples: this.room.slice(), end: currentTime + (k + 1) / sampleRate });
      this.at = 0;
    }
    return !this.over;
  }
});`;

/** Codes of one sound over time; those of long streams are forgotten once they were shown. */
class Motion {
  #rows;
  #forgotten = 0;

  constructor(width) {
    this.#rows = new Rows(width);
    this.out = new Float32Array(width);
  }

  get frames() {
    return this.#forgotten + this.#rows.count;
  }

  add(codes) {
    this.#rows.append(codes);
  }

  /** Codes at a moment, linear between the middles of frames; null before there are any. The array is used again. */
  at(seconds) {
    const rows = this.#rows, { width, data } = rows;
    if (!rows.count) return null;
    const place = Math.min(Math.max(seconds * FPS - 0.5 - this.#forgotten, 0), rows.count - 1), before = Math.floor(place);
    const a = before * width, b = Math.min(before + 1, rows.count - 1) * width, share = place - before;
    for (let k = 0; k < width; k++) this.out[k] = (1 - share) * data[a + k] + share * data[b + k];
    return this.out;
  }

  /** Forget what lies well before a moment. */
  forget(seconds) {
    const old = Math.floor(seconds * FPS) - this.#forgotten - KEPT;
    if (old < KEPT) return;
    this.#rows.drop(old);
    this.#forgotten += old;
  }
}

/**
 * Plays sound and knows the mouth codes of what is heard.
 *
 * `onstate(state, detail)` is told of `start`, `end` ({cleared}), `lag` ({ms}: how far the lips are behind the sound) and
 * `blocked` (the browser plays nothing before the visitor has clicked; what was asked for begins then).
 */
export class Speaker {
  #voice;
  #best;
  #onstate;
  #context = null;
  #now = null;
  #closing = null;
  #turn = 0;
  #told = 0;
  #known = null;
  #timer = 0;
  #asked = 0;
  #stopEarly = null;

  /** @param {Gsa} gsa an avatar file @param {(state: string, detail: object) => void=} onstate */
  constructor(gsa, onstate = () => {}) {
    this.#voice = new Voice(gsa);
    // Whole sounds only: of live sound the best network would have to hear half a second more before it answers.
    this.#best = gsa.meta.best ? new BestVoice(gsa, this.#voice) : this.#voice;
    this.#onstate = onstate;
  }

  /** The clock and the loudspeakers; made when it is first needed, for browsers want a click before. */
  get context() {
    return (this.#context ??= new AudioContext({ latencyHint: "interactive" }));
  }

  /** The same, running where the browser allows it. */
  #opened() {
    const { context } = this, silent = () => context.state !== "running" && context.state !== "closed";
    if (!silent()) return context;
    context.resume().catch(() => {});
    clearTimeout(this.#asked);
    this.#asked = setTimeout(() => silent() && this.#onstate("blocked", {}), 800);
    return context;
  }

  /**
   * Speak a whole sound.
   * @param {ArrayBuffer|Blob|AudioBuffer} sound of any kind that the browser decodes.
   * @returns {Promise<number>} its length in seconds, when it begins; 0 where another came between.
   */
  async speak(sound) {
    this.clear();
    const turn = this.#turn, context = this.#opened();
    const { buffer, channels, rate } = await decoded(sound, context), unwanted = () => turn !== this.#turn;
    const codes = await this.#best.codesSoon(at16k(channels, rate), unwanted);
    if (unwanted() || !codes) return 0;
    const node = Object.assign(context.createBufferSource(), { buffer }), zero = context.currentTime + 0.05;
    node.connect(context.destination);
    node.start(zero);
    this.#begin({ zero, length: buffer.duration, stop: () => node.stop() });
    this.#now.motion.add(codes);
    return buffer.duration;
  }

  /**
   * Speak sound that comes in pieces, one after the other without a gap, from .3 s after the first one on.
   * @param {Int16Array} pcm16 one channel. @param {number} rate samples per second.
   */
  push(pcm16, rate) {
    const samples = Float32Array.from(pcm16, (value) => value / 32768);
    if (this.#stopEarly) this.clear();
    if (this.#now && (!this.#now.hear || this.#position() > this.#now.length + REST)) this.#end(false);
    if (!this.#now) this.#beginStream(rate);
    if (this.#now.rate !== rate) this.#now.change(rate);
    // What comes too late to be played in time is played after a pause.
    const played = this.context.currentTime - this.#now.zero + 0.02;
    if (this.#now.length) this.#silence(played, played + WAIT);
    this.#now.hear(samples);
    this.#now.length = this.#now.seconds;
  }

  /**
   * Follow a microphone, or the voice of a call.
   * @param {MediaStream} stream
   * @param {{delay?: boolean}=} options `delay` plays the sound, late enough for its lips; else it is for the page to play,
   * and the lips are behind it.
   */
  async listen(stream, { delay = false } = {}) {
    this.clear();
    if (!stream.getAudioTracks().length) throw new Error("This stream has no sound.");
    const turn = this.#turn, context = this.#opened();
    const capture = await captureNode(context);
    if (turn !== this.#turn) return;
    const source = context.createMediaStreamSource(stream), late = context.createDelay(1);
    // A browser hears the far end of a call only where an element plays it, be it muted.
    const sink = Object.assign(new Audio(), { muted: true, srcObject: stream });
    sink.play().catch(() => {});
    source.connect(capture.node);
    capture.node.connect(context.destination);
    late.delayTime.value = LISTEN_WAIT;
    if (delay) source.connect(late).connect(context.destination);
    const stop = () => {
      for (const node of [source, capture.node, late]) node.disconnect();
      capture.listen(null);
      sink.srcObject = null;
    };
    const ear = this.#ear(context.sampleRate);
    capture.listen((samples, end) => {
      const zero = end - samples.length / context.sampleRate + LISTEN_WAIT;
      if (!this.#now) this.#begin({ zero, length: Infinity, stop, heard: delay });
      this.#now.motion.add(ear(samples));
      this.#now.motion.forget(this.#position());
    });
    for (const track of stream.getAudioTracks()) track.addEventListener("ended", () => turn === this.#turn && this.clear());
    this.#stopEarly = stop;
    if (!delay) this.#onstate("lag", { ms: Math.round(1000 * LISTEN_WAIT) });
  }

  /** Be silent at once: what was not heard yet is dropped, and the mouth closes within .12 s. */
  clear() {
    this.#turn++;
    this.#stopEarly?.();
    this.#stopEarly = null;
    if (this.#now) this.#end(true);
  }

  /**
   * What is heard at this moment.
   * @returns {{seconds: number, codes: Float32Array|null, speaking: boolean}} `codes` is used again by the next call; null
   * where nothing is said.
   */
  now() {
    const closed = this.#closed();
    if (!this.#now) return { seconds: 0, codes: closed, speaking: false };
    const now = this.#now, seconds = this.#position();
    if (now.hear) this.#silence(seconds + NEED, seconds + NEED + 0.01);
    if (seconds > now.length + (now.hear ? REST : 0)) {
      this.#end(false);
      return this.now();
    }
    if (seconds < 0) return { seconds: 0, codes: closed, speaking: false };
    const codes = now.motion.at(seconds);
    this.#tellLag(seconds - (now.motion.frames - 0.5) / FPS, now);
    return { seconds, codes, speaking: true };
  }

  /** Free the loudspeakers. */
  close() {
    this.clear();
    this.#context?.close();
    this.#context = null;
  }

  #position() {
    const { context } = this, { currentTime } = context, asked = this.#now.heard && currentTime > OPENED;
    return currentTime - (asked ? context.outputLatency || context.baseLatency || 0 : 0) - this.#now.zero;
  }

  #begin({ zero, length, stop, heard = true, ...more }) {
    this.#now = { zero, length, stop, heard, motion: new Motion(this.#voice.width), ...more };
    this.#closing = null;
    // Pages that are not seen draw nothing, but the end is told of all the same.
    this.#timer = setInterval(() => this.now(), 100);
    this.#onstate("start", {});
  }

  #end(cleared) {
    if (cleared || this.#now.hear) {
      const codes = this.#now.motion.at(this.#position());
      this.#closing = codes && { codes: codes.slice(), since: this.context.currentTime, out: codes };
    }
    this.#now.stop();
    this.#now = null;
    clearInterval(this.#timer);
    this.#onstate("end", { cleared });
  }

  /** Codes on the way to the closed mouth; null once it is. */
  #closed() {
    if (!this.#closing) return null;
    const { codes, since, out } = this.#closing, share = (this.context.currentTime - since) / SHUT;
    if (share >= 1) return (this.#closing = null);
    for (let k = 0; k < out.length; k++) out[k] = codes[k] + share * (this.#voice.closed[k] - codes[k]);
    return out;
  }

  /** From samples of a rate to the codes that became known; silence where it is asked for more than it has. */
  #ear(rate) {
    const resampler = new Resampler(rate), stream = this.#voice.stream(this.#known);
    return (samples) => {
      const codes = stream.push(resampler.push(samples));
      this.#known = stream.statistics;
      return codes;
    };
  }

  #beginStream(rate) {
    const context = this.#opened(), stream = this.#voice.stream(this.#known), nodes = new Set(), waiting = [];
    // A piece that begins on a sample joins the one before it without a click.
    const zero = Math.ceil((context.currentTime + WAIT) * context.sampleRate) / context.sampleRate;
    let written = 0, ear, mouth, timer = 0;
    const work = () => {
      const begun = performance.now();
      do {
        const [samples] = waiting, piece = samples.subarray(0, SLICE * 16000);
        if (piece.length < samples.length) waiting[0] = samples.subarray(piece.length);
        else waiting.shift();
        now.motion.add(stream.push(piece));
      } while (waiting.length && mayGoOn(begun));
      now.motion.forget(this.#now === now ? this.#position() : 0);
      this.#known = stream.statistics;
      timer = waiting.length ? setTimeout(work) : 0;
    };
    const schedule = (samples) => {
      if (!samples.length) return;
      const buffer = context.createBuffer(1, samples.length, context.sampleRate);
      buffer.copyToChannel(samples, 0);
      const node = Object.assign(context.createBufferSource(), { buffer, onended: () => nodes.delete(node) });
      node.connect(context.destination);
      node.start(zero + written / context.sampleRate);
      nodes.add(node);
      written += samples.length;
    };
    const take = (heard, played) => {
      schedule(played);
      if (heard.length) waiting.push(heard);
      if (!timer && waiting.length) work();
    };
    const change = (next) => {
      if (ear) take(ear.finish(), mouth.finish());
      now.rate = next;
      [ear, mouth] = [new Resampler(next), new Resampler(next, context.sampleRate)];
    };
    const hear = (samples) => {
      take(ear.push(samples), mouth.push(samples));
      now.seconds += samples.length / now.rate;
    };
    const stop = () => {
      clearTimeout(timer);
      waiting.length = 0;
      for (const node of nodes) node.stop();
    };
    this.#begin({ zero, length: 0, stop, seconds: 0, change, hear });
    const now = this.#now;
    change(rate);
  }

  /** Where pushed sound ends before `least`, silence follows until `until`: lips depend on what comes after them. */
  #silence(least, until) {
    const now = this.#now;
    if (now.seconds < least) now.hear(new Float32Array(Math.ceil((until - now.seconds) * now.rate)));
  }

  #tellLag(behind, now) {
    if (behind < LAG || now.length === Infinity || now.zero === this.#told) return;
    this.#told = now.zero;
    this.#onstate("lag", { ms: Math.round(1000 * behind) });
  }
}

/** A sound to play, and its samples, of a WAV file as they are there. */
async function decoded(sound, context) {
  const ready = typeof AudioBuffer !== "undefined" && sound instanceof AudioBuffer;
  const bytes = ready ? null : sound instanceof Blob ? await sound.arrayBuffer() : sound.slice(0);
  const plain = bytes && samplesOfWav(bytes);
  let buffer = sound;
  try {
    if (!ready) buffer = await context.decodeAudioData(bytes);
  } catch {
    throw new Error("This sound cannot be decoded by this browser.");
  }
  const channels = Array.from({ length: buffer.numberOfChannels }, (_, k) => buffer.getChannelData(k));
  return { buffer, ...(plain ?? { channels, rate: buffer.sampleRate }) };
}

/** A node that hands over what it hears as one channel. */
async function captureNode(context) {
  if (context.audioWorklet) {
    // Of all URLs only this kind works in a page that was opened from disk.
    await context.audioWorklet.addModule(`data:text/javascript,${encodeURIComponent(CAPTURE)}`);
    const node = new AudioWorkletNode(context, "capture", { numberOfOutputs: 1 });
    return { node, listen(take) {
      node.port.onmessage = take && (({ data }) => take(data.samples, data.end));
      if (!take) node.port.postMessage("over");
    } };
  }
  // Pages of plain http have no worklets.
  const node = context.createScriptProcessor(1024, 1, 1);
  const hear = (take) => ({ inputBuffer }) => take(inputBuffer.getChannelData(0).slice(), context.currentTime);
  return { node, listen: (take) => (node.onaudioprocess = take && hear(take)) };
}
