// Which frame is heard now. The browser's jitter buffer stretches, shortens and stops the sound as the network needs it, and
// says of each packet when it left the buffer: picture follows that, and never a clock of its own.

const RATE = 48000, FRAME = RATE / 25, TURN = 2 ** 32;

/** Milliseconds of sound that a packet holds at most: speech 20, silence 40. */
export const PACKET = 40;

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
    this.#packets.push({ rtp, at, frame });
    if (this.#packets.length > 64) this.#packets.shift();
  }

  /**
   * The place in the sound that is heard at a moment.
   * @param {number} at milliseconds of the page's clock @param {number} latency milliseconds from the buffer to the ear
   * @returns {{frame: number, halted: number}|null} frames, and for how many milliseconds no sound has come; null before
   *   there is any.
   */
  at(at, latency) {
    const left = at - latency;
    let found = this.#packets[0];
    for (const packet of this.#packets) if (packet.at <= left) found = packet;
    if (!found) return null;
    const passed = left - found.at, halted = at - this.#packets.at(-1).at;
    // What is beyond a packet's own sound was not heard: the next one begins where it begins.
    return { frame: found.frame + (Math.min(Math.max(passed, -PACKET), PACKET) * (RATE / 1e3)) / FRAME, halted: halted > HALTED ? halted : 0 };
  }
}
