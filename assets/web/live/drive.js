// Draws frames when their sound is heard.

import { Waiting, unpack } from "./frames.js";
import { Heard } from "./heard.js";

const LATE = 150, SMOOTH = 0.1, LONGEST = 100;

// Frames in which the mouth of who is interrupted closes.
const CLOSING = 4;

/** What the browser says of the last packet that left the jitter buffer, or null. */
function source(receiver) {
  const [found] = receiver?.getSynchronizationSources?.() ?? [];
  if (found?.rtpTimestamp === undefined) return null;
  // Some browsers count from 1970, and some from when the page was opened.
  return { rtp: found.rtpTimestamp, at: found.timestamp > 1e11 ? found.timestamp - performance.timeOrigin : found.timestamp };
}

/** Moves an avatar by the frames that come, in step with the sound that is heard. */
export class Drive {
  #avatar;
  #waiting = new Waiting();
  #heard = new Heard();
  #came = new Map();
  #events = [];
  #told;
  #alone = false;
  #hurry = null;
  #place = 0;
  #pace = 0;
  #stepped = 0;
  #stands = 16;

  /**
   * @param {GaussAvatar|null} avatar none where pictures come as video.
   * @param {(event: object) => void} told called with what happened, in the moment in which it is heard and seen.
   */
  constructor(avatar, told) {
    this.#avatar = avatar, this.#told = told;
    // Milliseconds: from the buffer to the ear, from here to the eye, and how long frames waited.
    this.latency = 0, this.lead = 20, this.waited = 0, this.position = null;
    this.log = null;
  }

  /** A message with motion. @param {ArrayBuffer} data */
  motion(data) {
    // What is sent ahead counts as come when it would have come by itself.
    for (const [k, frame] of unpack(data).entries()) {
      this.#waiting.put(frame);
      this.#came.set(frame.index, performance.now() + 40 * k);
    }
    while (this.#came.size > 250) this.#came.delete(this.#came.keys().next().value);
  }

  /** What happened in a frame, which is told when it is heard. @param {{frame: number}} event */
  event(event) {
    this.#events.push({ ...event, came: performance.now() });
    // Who is interrupted is silent at once, and the mouth waits for no sound any more.
    if (event.event === "finished" && event.interrupted) this.#hurry = event.frame + CLOSING;
  }

  /** Where a frame is in the sound. @param {{frame: number, rtp: number}} message */
  clock({ frame, rtp }) {
    this.#heard.anchor(frame, rtp);
  }

  /** Begin anew, with another connection. */
  clear() {
    this.#waiting.clear(), this.#heard = new Heard(), this.#came.clear();
    this.#events.length = 0, this.position = null, this.#hurry = null;
  }

  /** Show what is due. @param {RTCRtpReceiver|null} receiver of the sound */
  step(receiver) {
    const now = performance.now(), said = source(receiver);
    if (said) this.#heard.note(said.rtp, said.at);
    this.#stands += SMOOTH * (Math.min(now - this.#stepped, LONGEST) - this.#stands), this.#stepped = now;
    // What is put on the stage now is seen a little later, and stands there until the next one: its middle is what counts.
    const place = this.#heard.at(now + this.lead + this.#stands / 2, this.latency);
    this.#tell(now, place);
    if (!this.#avatar) return;
    if (this.#hurry !== null) {
      this.#show(this.#waiting.take(this.#waiting.newest), now);
      if (this.#waiting.shown >= this.#hurry) this.#hurry = null;
      return;
    }
    if (!place) return this.#show(this.#waiting.take(this.#oldest(now)), now);
    this.position = place.frame;
    if (place.halted) return this.#rest();
    this.#show(this.#waiting.take(place.frame), now);
  }

  #tell(now, place) {
    const due = this.#events.filter(({ frame, came }) => (place ? frame <= place.frame : true) || now - came > 1000);
    this.#events = this.#events.filter((event) => !due.includes(event));
    due.forEach(this.#told);
  }

  /** Where no sound is heard yet, what came a moment ago is due. */
  #oldest(now) {
    let last = -Infinity;
    for (const [index, came] of this.#came) if (now - came >= LATE) last = Math.max(last, index);
    return last;
  }

  #show(frame, now) {
    const avatar = this.#avatar;
    if (!frame || !avatar.meta) return;
    this.#alone = false;
    avatar.codes = frame.codes, avatar.upper = frame.upper, avatar.pose = frame.pose;
    // The torso's film runs while its track does; where the head only sways it stands, and is sought.
    const step = Math.abs(frame.place - this.#place);
    this.#place = frame.place, this.#pace += 0.3 * (Math.min(step, 2) - this.#pace);
    avatar.follow(frame.place, this.#pace > 0.5 ? this.#pace : 0);
    const came = this.#came.get(frame.index);
    if (came !== undefined) this.waited += SMOOTH * (now - came - this.waited);
    this.log?.push([now, frame.index]);
  }

  /** The sound has halted: nobody stands there with an open mouth, waiting for the network. */
  #rest() {
    if (this.#alone || !this.#avatar.meta) return;
    this.#alone = true;
    this.#avatar.codes = null, this.#avatar.upper = null;
  }
}
