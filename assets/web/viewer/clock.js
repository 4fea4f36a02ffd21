// Where the motion is: the sound's own place where one is heard, the wall clock elsewhere.

/** Plays, pauses, seeks and repeats a stretch. */
export class Clock {
  /** @param {() => number} now seconds of a steady clock. */
  constructor(now = () => performance.now() / 1000) {
    this.now = now, this.length = 1, this.speed = 1, this.playing = false, this.audio = null;
    this.held = 0, this.begun = 0, this.from = 0, this.to = null;
  }

  /** End of the stretch that repeats, seconds. */
  get end() {
    return Math.min(this.to ?? this.length, this.length);
  }

  /** Place in the motion, seconds; at the stretch's end it goes on at its beginning. */
  get seconds() {
    if (!this.playing) return this.held;
    const place = this.audio ? this.audio.currentTime : this.held + (this.now() - this.begun) * this.speed;
    if (place < this.end && !(this.audio?.ended)) return Math.max(place, 0);
    this.seek(this.from);
    this.audio?.play().catch(() => {});
    return this.from;
  }

  /** Begin or go on. @returns {Promise<void>} rejected where the browser lets no sound begin. */
  async play() {
    this.begun = this.now(), this.playing = true;
    if (this.held >= this.end - 1e-3) this.seek(this.from);
    if (this.audio) this.audio.currentTime = this.held;
    await this.audio?.play();
  }

  pause() {
    this.held = this.seconds, this.playing = false;
    this.audio?.pause();
  }

  seek(seconds) {
    this.held = Math.min(Math.max(seconds, 0), this.length), this.begun = this.now();
    if (this.audio) this.audio.currentTime = this.held;
  }

  /** Faster or slower; 1 is as it is. */
  set rate(speed) {
    const place = this.seconds;
    this.speed = speed;
    if (this.audio) this.audio.playbackRate = speed;
    else this.seek(place);
  }

  /** Repeat from here to there only; without an end, to the motion's. */
  loop(from, to = null) {
    this.from = from, this.to = to !== null && to > from + 0.04 ? to : null;
  }
}
