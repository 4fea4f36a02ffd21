// Which frame is heard now. The browser's jitter buffer stretches, shortens and stops the sound as the network needs it, and
// says of each packet when it left the buffer: picture follows that, and never a clock of its own.

const RATE = 48000, FRAME = RATE / 25, MILLISECONDS = 40, TURN = 2 ** 32;

/** Milliseconds of sound that a packet holds at most: speech 20, silence 40. */
export const PACKET = 40;

/**
 * Milliseconds from when a packet leaves the buffer until its first sample does, at the mean: sound goes out in pieces of 10, and
 * a packet is taken when less than a piece is left of the one before.
 */
export const EARLY = 5;

// Where sound is hurried or stretched, packets are taken up to 30 ms early: of a few, the one that was taken latest knows
// best. One that is off by more than that belongs to another place in the sound.
const FEW = 3, RECENT = 80, ELSEWHERE = 60;

// A page that draws slowly hears of few packets; between two that are as far apart in the sound as in time it all was heard.
const SLOWEST = 0.7, FASTEST = 1.5;

/** Milliseconds without a packet after which the sound counts as halted. */
export const HALTED = 200;

/** The way from a moment of an RTP clock to another one, in ticks, the short way round. */
export const ticks = (from, to) => ((((to - from) % TURN) + 1.5 * TURN) % TURN) - TURN / 2;

/** Where the sound is, in frames, from what the receiver of its track says (getSynchronizationSources). */
export class Heard {
  #anchor = null;
  #packets = [];

  /** What the server says: this frame's sound begins at that moment of the RTP clock. */
  anchor(frame, rtp) {
    this.#anchor = { frame, rtp }, this.#packets = [];
  }

  /**
   * Take what the receiver says.
   * @param {number} rtp of the packet that left the buffer last @param {number} at when, in milliseconds of the page's clock
   */
  note(rtp, at) {
    const last = this.#packets.at(-1);
    // A packet is told of twice, for each 10 ms that are taken from it: it is heard from the first on.
    if (!this.#anchor || (last && (last.rtp === rtp || at <= last.at))) return;
    const frame = this.#anchor.frame + ticks(this.#anchor.rtp, rtp) / FRAME;
    this.#anchor = { frame: Math.floor(frame), rtp: (rtp - Math.round((frame - Math.floor(frame)) * FRAME) + TURN) % TURN };
    const apart = last ? Math.abs(frame - last.frame) * MILLISECONDS : PACKET;
    this.#packets.push({ rtp, at, frame, begins: this.#begins(frame, at), length: Math.min(apart, PACKET) });
    if (this.#packets.length > 64) this.#packets.shift();
  }

  /**
   * The place in the sound that is heard at a moment.
   * @param {number} at milliseconds of the page's clock @param {number} latency milliseconds from the buffer to the ear
   * @returns {{frame: number, halted: number}|null} frames, and for how many milliseconds no sound has come; null before
   *   there is any.
   */
  at(at, latency) {
    const left = at - latency, packets = this.#packets;
    if (!packets.length) return null;
    const k = Math.max(0, packets.findLastIndex((packet) => packet.at <= left)), found = packets[k], next = packets[k + 1];
    const passed = left - found.begins;
    const rate = next ? ((next.frame - found.frame) * MILLISECONDS) / (next.begins - found.begins) : 0;
    // What is beyond a packet's own sound was not heard: the next one begins where it begins. Of one that may still come
    // nothing is known.
    const heard = rate > SLOWEST && rate < FASTEST ? passed * rate : Math.min(passed, next ? found.length : PACKET);
    const halted = at - packets.at(-1).at;
    return { frame: found.frame + Math.max(heard, -PACKET) / MILLISECONDS, halted: halted > HALTED ? halted : 0 };
  }

  /** When a packet's sound begins to leave the buffer, by when it and those shortly before it were taken. */
  #begins(frame, at) {
    const near = this.#packets.slice(1 - FEW).filter((packet) => at - packet.at < RECENT);
    const lates = near.map((packet) => packet.at + (frame - packet.frame) * MILLISECONDS - at).filter((late) => late < ELSEWHERE);
    return at + EARLY + Math.max(0, ...lates);
  }
}
