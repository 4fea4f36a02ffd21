// The page's connection: a socket for what is said and asked, WebRTC for what is heard and seen.

const TRY_AGAIN = [500, 1000, 2000, 4000, 8000], GREETING = 12000;

// Milliseconds for which a frame is worth being sent again: as long as the sound may be held up.
const LIFE = 3000;

/**
 * Keeps a connection, and makes a new one where it is lost.
 * Events: `state` {text, ok}, `message` (what the server says), `motion` (ArrayBuffer), `stream` (MediaStream), `clock`.
 */
export class Link extends EventTarget {
  #socket = null;
  #peer = null;
  #tries = 0;
  #timer = 0;
  #wanted = false;
  #session;
  #microphone = null;

  /** @param {string} session its name, or "" for one of the page's own. */
  constructor(session) {
    super();
    this.#session = session;
  }

  /** Connect, and stay connected. */
  open() {
    this.#wanted = true;
    this.#connect();
  }

  /** Leave. */
  close() {
    this.#wanted = false;
    clearTimeout(this.#timer);
    this.#part();
    this.#socket?.close();
    this.#say("Not connected", false);
  }

  /** @param {object|ArrayBuffer} message an object goes as JSON, sound as it is. */
  send(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(message instanceof ArrayBuffer ? message : JSON.stringify(message));
  }

  /** Bytes that wait to be sent. */
  get unsent() {
    return this.#socket?.bufferedAmount ?? 0;
  }

  /** The receiver of the avatar's voice, or null. @returns {RTCRtpReceiver|null} */
  get receiver() {
    return this.#peer?.getReceivers().find(({ track }) => track.kind === "audio") ?? null;
  }

  /** @returns {Promise<object[]>} what the browser counts of the connection. */
  async stats() {
    return this.#peer ? [...(await this.#peer.getStats()).values()] : [];
  }

  /** Let the server hear a microphone; null takes it away. @param {MediaStreamTrack|null} track */
  async speak(track) {
    this.#microphone = track;
    await this.#peer?.getSenders().find((sender) => sender === this.#peer.voice.sender)?.replaceTrack(track);
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  #say(text, ok) {
    this.#emit("state", { text, ok });
  }

  #connect() {
    this.#say("Connecting …", false);
    const place = new URL("/live", location.href);
    place.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    if (this.#session) place.searchParams.set("session", this.#session);
    const socket = (this.#socket = new WebSocket(place));
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => this.#hear(JSON.parse(data));
    socket.onclose = ({ code }) => socket === this.#socket && this.#lost(code);
  }

  #lost(code) {
    this.#part();
    if (!this.#wanted) return;
    // Full, or not let in: asking again at once helps nobody.
    if (code === 1013 || code === 1008) return void (this.#wanted = false, this.#emit("refused", { code }));
    const wait = TRY_AGAIN[Math.min(this.#tries++, TRY_AGAIN.length - 1)];
    this.#say(`The connection is lost; trying again …`, false);
    this.#timer = setTimeout(() => this.#connect(), wait);
  }

  async #hear(message) {
    if (message.kind === "welcome") {
      this.#session = message.session, this.#tries = 0;
      this.#emit("message", message);
      await this.#meet(message).catch((error) => this.#say(`This browser cannot connect: ${error.message}`, false));
    } else if (message.kind === "answer") {
      await this.#peer?.setRemoteDescription({ type: "answer", sdp: message.sdp }).catch(() => this.#again());
    } else if (message.kind === "clock") {
      this.#emit("clock", message);
    } else if (message.kind === "lost") {
      this.#again();
    } else {
      this.#emit("message", message);
    }
  }

  async #meet({ render, stun }) {
    this.#part();
    const peer = (this.#peer = new RTCPeerConnection({ iceServers: stun ? [{ urls: stun }] : [] }));
    const stream = new MediaStream();
    peer.ontrack = ({ track }) => (stream.addTrack(track), this.#emit("stream", stream));
    // A microphone may come later without asking for anything anew.
    peer.voice = peer.addTransceiver("audio", { direction: "sendrecv" });
    if (this.#microphone) await peer.voice.sender.replaceTrack(this.#microphone);
    if (render === "server") peer.addTransceiver("video", { direction: "recvonly" });
    else {
      // No frame waits for another one. After a stall the sound goes on where it stood, and needs the frames of that time.
      const channel = peer.createDataChannel("motion", { ordered: false, maxPacketLifeTime: LIFE });
      channel.binaryType = "arraybuffer";
      channel.onmessage = ({ data }) => this.#emit("motion", data);
    }
    peer.onconnectionstatechange = () => {
      if (peer !== this.#peer) return;
      if (peer.connectionState === "connected") this.#say("Connected", true);
      if (peer.connectionState === "disconnected") this.#say("The network is slow …", false);
      if (peer.connectionState === "failed") this.#again();
    };
    await peer.setLocalDescription(await peer.createOffer());
    await gathered(peer);
    if (peer === this.#peer) this.send({ kind: "offer", sdp: peer.localDescription.sdp });
    setTimeout(() => peer === this.#peer && peer.connectionState !== "connected" && this.#again(), GREETING);
  }

  #again() {
    this.#say("The connection is lost; trying again …", false);
    this.#socket?.close();
  }

  #part() {
    const peer = this.#peer;
    this.#peer = null;
    peer?.close();
  }
}

/** Wait until the page's own addresses are known; not longer than a second. */
function gathered(peer) {
  return new Promise((done) => {
    if (peer.iceGatheringState === "complete") return done();
    peer.addEventListener("icegatheringstatechange", () => peer.iceGatheringState === "complete" && done());
    setTimeout(done, 1000);
  });
}
