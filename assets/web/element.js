// The custom element <gauss-avatar>: an avatar file that moves, speaks and is looked at.

import { readGsa } from "./gsa.js";
import { Person } from "./motion.js";
import { Orbit } from "./orbit.js";
import { Torso } from "./scene.js";
import { Speaker } from "./sound.js";
import { Stage } from "./stage.js";
import { motionOfTable } from "./tables.js";

// Where the processor draws, the page's other work gets what is left of so many pictures a second.
const MOST_RATE = { gl: 1e3, cpu: 41 };
// Milliseconds after which an element that left the page is taken for gone: what draws it is freed until it comes back.
const GONE = 1e3;
const STYLE = `
:host { display: inline-block; position: relative; width: 20rem; aspect-ratio: 1; overflow: hidden; contain: content; }
:host([hidden]) { display: none; }
canvas { display: block; width: 100%; height: 100%; }
:host([orbit]) canvas { cursor: grab; touch-action: pan-y; }
:host([orbit]) canvas:active { cursor: grabbing; }
p { position: absolute; inset: auto 0 0; margin: 0; padding: .6em .8em; font: 14px/1.4 system-ui, sans-serif; color: #fff; background: #401818e6; }
p:empty { display: none; }`;

/**
 * `<gauss-avatar src="anna.gsa" background="plate|none|#rrggbb|URL" torso="none" renderer="gl|cpu" orbit
 * resolution="256">`: everything but `src` may be left out. `resolution` is the longer side in pixels.
 * Events: `ready` {renderer, why}, `error` {message}; of speech and motions `start`, `end` {cleared}, `lag` {ms}, and
 * `blocked` where the browser plays nothing before a click.
 */
export class GaussAvatar extends HTMLElement {
  static observedAttributes = ["src", "background", "torso", "renderer", "orbit", "resolution"];

  #gsa = null;
  #stage = null;
  #person = null;
  #speaker = null;
  #playing = false;
  #torso = null;
  #orbit;
  #box = [0, 0];
  #seen = false;
  #stopped = false;
  #busy = false;
  #raf = 0;
  #soon = false;
  #leaving = 0;
  #kept = null;
  #timer = 0;
  #drawn = "";
  #last = 0;
  #clock = 0;
  #own = {};
  #round = 0;
  #frames = 0;
  #began = 0;
  #watchers = [];

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.innerHTML = `<style>${STYLE}</style><canvas part="canvas" role="img"></canvas><p part="message" role="alert"></p>`;
    this.#orbit = new Orbit(this, () => this.#wake());
  }

  connectedCallback() {
    clearTimeout(this.#leaving);
    this.#watch();
    if (this.#kept) this.#begin(this.#kept).catch((error) => this.#fail(error));
    else if (this.hasAttribute("src") && !this.#gsa) this.#fetch(this.getAttribute("src"));
  }

  disconnectedCallback() {
    this.#watchers.forEach((stop) => stop());
    this.#seen = false;
    this.#speaker?.clear();
    this.#settle();
    clearTimeout(this.#leaving);
    this.#leaving = setTimeout(() => this.#release(), GONE);
  }

  attributeChangedCallback(name, before, value) {
    if (before === value) return;
    if (name === "src" && this.isConnected && value) this.#fetch(value);
    if (name === "background") this.#setBackground(value);
    if (name === "renderer") this.#stage?.open(value);
    if (name === "torso") this.#drawn = "";
    if (name === "orbit") {
      this.#orbit.enabled = value !== null;
      if (value !== null && !this.hasAttribute("tabindex")) this.tabIndex = 0;
    }
    this.#wake();
  }

  /** The avatar's header, or null before there is one. */
  get meta() {
    return this.#gsa?.meta ?? null;
  }

  /** What draws: gl, cpu, or "" before anything does. */
  get drawnBy() {
    return this.#stage?.kind ?? "";
  }

  /** How many pictures it has drawn. */
  get frames() {
    return this.#frames;
  }

  /** Mouth codes of a driver of the page's own; null gives them back to the avatar. */
  set codes(values) {
    this.#drive("codes", values, "drive.closed");
  }

  /** Upper-face channels of the page's own, in the order of meta.upper_names; null gives them back. */
  set upper(values) {
    this.#drive("upper", values, "drive.rest_upper");
  }

  /** The head's pose of the page's own: rows of T_camera_head, 12 numbers; null gives it back. */
  set pose(values) {
    this.#drive("pose", values, null);
  }

  /**
   * Let the torso follow a track of the page's own.
   * @param {number} place frame of the filmed track @param {number=} speed of the track; 0 stands still.
   */
  follow(place, speed = 0) {
    this.#own.place = place;
    this.#torso?.follow(place, this.#active ? speed : 0);
    this.#wake();
  }

  /**
   * Show an avatar.
   * @param {ArrayBuffer|Blob} file the whole `.gsa` file.
   * @returns {Promise<void>} when the first picture is there; rejected with one sentence that the element shows too.
   */
  async load(file) {
    const round = ++this.#round;
    this.#close();
    this.#say("");
    try {
      const gsa = await readGsa(file instanceof Blob ? await file.arrayBuffer() : file);
      if (round !== this.#round) return;
      await this.#begin(gsa);
    } catch (error) {
      if (round === this.#round) this.#fail(error);
      throw error;
    }
  }

  /**
   * Speak a sound.
   * @param {ArrayBuffer|Blob|AudioBuffer} sound of any kind that the browser decodes.
   * @returns {Promise<number>} its length in seconds, when it begins; rejected with one sentence that the element shows.
   */
  speak(sound) {
    return this.#heard((speaker) => speaker.speak(sound));
  }

  /** Follow a microphone or the voice of a call; `options` as of Speaker.listen(). @param {MediaStream} stream */
  listen(stream, options) {
    return this.#heard((speaker) => speaker.listen(stream, options));
  }

  /** Speak sound that comes in pieces. @param {Int16Array} pcm16 one channel @param {number} rate samples per second */
  push(pcm16, rate) {
    if (this.#gsa) this.#voice().push(pcm16, rate), this.#wake();
  }

  /** Be silent at once, and end a motion that plays. */
  clear() {
    this.#speaker?.clear();
    this.#person?.play(null);
    this.#tellEnd(true);
    this.#wake();
  }

  /** Say nothing and follow no driver: the person as they are between sentences. */
  idle() {
    this.clear();
    this.#own = {};
    this.resume();
  }

  /**
   * Play a motion, once.
   * @param {string|Blob|{fps?: number, codes?: number[][], upper?: number[][], pose?: number[][]}} motion CSV of a saved
   *   motion track or of ARKit's curves; or a row per frame: mouth codes, upper-face channels, rows of T_camera_head (12).
   *   What it lacks is the person's own.
   */
  async play(motion) {
    try {
      const gsa = this.#gsa;
      if (!gsa) throw new Error("There is no avatar to move yet.");
      const text = motion instanceof Blob ? await motion.text() : motion;
      const played = typeof text === "string" ? motionOfTable(text, gsa) : motionOfRows(text, gsa);
      this.#say("");
      this.clear();
      this.#person.play(played);
      this.#playing = true;
      this.#emit("start", {});
      this.resume();
    } catch (error) {
      this.#fail(error);
      throw error;
    }
  }

  /** Stand still; nothing is drawn until something changes. */
  pause() {
    this.#stopped = true;
    this.#settle();
  }

  /** Go on. */
  resume() {
    this.#stopped = false;
    this.#settle();
  }

  /**
   * Look from elsewhere, softly limited to what was filmed.
   * @param {number} yaw degrees; positive goes to the picture's right.
   * @param {number} pitch degrees; positive goes up.
   * @param {number=} zoom
   */
  look(yaw, pitch, zoom) {
    this.#orbit.go(yaw, pitch, zoom);
  }

  /** The picture as it is now. @returns {Promise<ImageData>} straight RGBA, in the pixels that are drawn. */
  async picture() {
    if (!this.drawnBy) throw new Error("There is no picture yet.");
    while (this.#busy) await new Promise((done) => setTimeout(done, 5));
    this.#orbit.step(1e3);
    const copy = document.createElement("canvas");
    return this.#draw(this.#wanted(), () => {
      const { canvas } = this.#stage;
      const context = Object.assign(copy, { width: canvas.width, height: canvas.height }).getContext("2d");
      context.drawImage(canvas, 0, 0);
      return context.getImageData(0, 0, copy.width, copy.height);
    });
  }

  #voice() {
    return (this.#speaker ??= new Speaker(this.#gsa, (state, detail) => this.#emit(state, detail)));
  }

  async #heard(begin) {
    try {
      if (!this.#gsa) throw new Error("There is no avatar to speak yet.");
      this.#say("");
      return await begin(this.#voice());
    } catch (error) {
      this.#fail(error);
      throw error;
    } finally {
      this.#wake();
    }
  }

  #tellEnd(cleared) {
    if (!this.#playing || this.#person?.playing) return;
    this.#playing = false;
    this.#emit("end", { cleared });
  }

  async #fetch(url) {
    const round = ++this.#round;
    try {
      const answer = await fetch(url).catch(() => null);
      if (round !== this.#round) return;
      if (!answer?.ok) throw new Error(`The avatar file ${url} cannot be fetched${answer ? ` (${answer.status})` : ""}.`);
      await this.load(await answer.arrayBuffer()).catch(() => {});
    } catch (error) {
      this.#fail(error);
    }
  }

  async #begin(gsa) {
    const stage = new Stage(this.shadowRoot, gsa, () => ((this.#drawn = ""), this.#wake()));
    this.#gsa = gsa, this.#kept = null, this.#stage = stage, this.#person = new Person(gsa);
    const { yaw, pitch } = gsa.meta.orbit ?? {}, limits = (pair) => (Array.isArray(pair) && pair.length === 2 ? pair : [0, 0]);
    this.#orbit.limits = { yaw: limits(yaw), pitch: limits(pitch) };
    this.#clock = 0;
    let lacking = "";
    if (gsa.meta.torso && gsa.has("torso.video")) {
      this.#torso = new Torso(gsa, () => this.#wake());
      const { loaded } = this.#torso;
      if (!(await loaded)) this.#torso?.close(), (this.#torso = null), (lacking = "This browser cannot play H.264, and so the head is shown without its torso.");
    }
    await this.#setBackground(this.getAttribute("background"));
    if (this.#stage !== stage) throw new Error("Another avatar was loaded meanwhile.");
    this.#measure();
    const why = stage.open(this.getAttribute("renderer"));
    await this.#draw(this.#wanted());
    this.#settle();
    this.#emit("ready", { renderer: this.drawnBy, why });
    if (lacking) this.#fail(lacking);
  }

  async #setBackground(text) {
    await this.#stage?.setBackground(text).catch((error) => this.#fail(error));
  }

  /** Everything that the next picture depends on. */
  #wanted() {
    const torso = this.#torso, size = this.#stage.size(this.#box, Number(this.getAttribute("resolution"))), { fps } = this.#gsa.meta, own = this.#own;
    const seconds = torso ? torso.seconds() : this.#clock, spoken = this.#speaker?.now().codes ?? null;
    const moved = this.#person.frameAt(Math.floor(seconds * fps + 1e-3) / fps, own.codes ?? spoken);
    this.#tellEnd(false);
    // The head belongs to the torso that is on screen.
    const filmed = torso?.ready && !moved.own;
    const pose = own.pose ?? (filmed ? this.#gsa.array("track.pose").subarray(12 * torso.place(), 12 * torso.place() + 12) : moved.pose);
    const frame = { codes: own.codes ?? moved.codes, upper: own.upper ?? moved.upper, pose };
    const { yaw, pitch, zoom } = this.#orbit.shown;
    return { ...frame, torso: torso?.index ?? -1, ...size, orbit: { yaw, pitch, zoom } };
  }

  #key(wanted) {
    return [...wanted.codes, ...wanted.upper, ...wanted.pose, wanted.torso, wanted.width, wanted.height, ...Object.values(wanted.orbit)].join();
  }

  async #draw(wanted, then) {
    const torso = this.#torso?.ready && this.getAttribute("torso") !== "none" ? this.#torso : null;
    this.#busy = true;
    try {
      return await this.#stage.draw(wanted, torso, () => {
        this.#frames++;
        this.#drawn = this.#key(wanted);
        return then?.();
      });
    } finally {
      this.#busy = false;
    }
  }

  #watch() {
    const size = new ResizeObserver((entries) => {
      const [exact] = entries.at(-1).devicePixelContentBoxSize ?? [];
      this.#measure(exact);
    });
    // A window that goes to another screen keeps its size and changes its pixels.
    let sharpness = null;
    const sharpen = () => {
      sharpness?.removeEventListener("change", sharpen);
      sharpness = matchMedia(`(resolution: ${devicePixelRatio}dppx)`);
      sharpness.addEventListener("change", sharpen);
      this.#measure();
    };
    sharpen();
    try {
      size.observe(this, { box: "device-pixel-content-box" });
    } catch {
      size.observe(this);
    }
    const sight = new IntersectionObserver((entries) => ((this.#seen = entries.at(-1).isIntersecting), this.#settle()));
    sight.observe(this);
    const settle = () => this.#settle();
    document.addEventListener("visibilitychange", settle);
    const blur = () => sharpness.removeEventListener("change", sharpen);
    this.#watchers = [blur, () => size.disconnect(), () => sight.disconnect(), () => document.removeEventListener("visibilitychange", settle)];
  }

  /** How many pixels of the screen it has: as the browser counts them, else to the nearest. */
  #measure(exact) {
    const { width, height } = this.getBoundingClientRect();
    this.#box = exact ? [exact.inlineSize, exact.blockSize] : [width, height].map((side) => Math.round(side * devicePixelRatio));
    this.#wake();
  }

  get #active() {
    return this.drawnBy !== "" && this.#seen && !document.hidden;
  }

  /** Run or rest, as what is seen and wished for says. */
  #settle() {
    const moving = this.#active && !this.#stopped;
    if (this.#own.place === undefined) this.#torso?.run(moving);
    this.#wake();
  }

  /** Something may have changed. What changed it may change more before this is looked at, and need not wait for a beat. */
  #wake() {
    this.#beat();
    if (!this.#soon) queueMicrotask(() => ((this.#soon = false), this.#attempt(performance.now())));
    this.#soon = true;
  }

  /** Look again at the screen's next beat. */
  #beat() {
    if (!this.#raf && this.#active) this.#raf = requestAnimationFrame((now) => this.#tick(now));
  }

  #tick(now) {
    this.#raf = 0;
    if (!this.#active) return void (this.#last = 0);
    const passed = this.#last ? Math.min((now - this.#last) / 1e3, 0.2) : 0;
    this.#last = now;
    if (!this.#stopped) this.#clock += passed;
    const turning = this.#orbit.step(passed || 1 / 60);
    const early = !this.#attempt(now);
    // While it stands still only an event wakes it.
    if (early || turning || !this.#stopped || this.#speaker?.now().speaking) this.#beat();
    else this.#last = 0;
  }

  /**
   * Draw if there is something new to be seen; where the processor draws, again as soon as that is done: its pictures take
   * longer than the screen's own beat, and would else wait for the next one.
   * @returns {boolean} whether it was time to.
   */
  #attempt(now) {
    if (this.#busy || !this.#active) return true;
    const early = this.#began + 1e3 / MOST_RATE[this.drawnBy] - now;
    if (early > 0) {
      if (this.drawnBy === "cpu") this.#timer ||= setTimeout(() => ((this.#timer = 0), this.#attempt(performance.now())), Math.ceil(early));
      return false;
    }
    const wanted = this.#wanted();
    if (this.#key(wanted) === this.#drawn) return true;
    this.#began = now;
    const next = () => {
      if (this.drawnBy === "cpu") this.#attempt(performance.now());
      this.#beat();
    };
    this.#draw(wanted).then(next, (error) => this.#broken(error));
    return true;
  }

  #drive(name, values, section) {
    const length = section && this.#gsa ? this.#gsa.shape(section)[0] : name === "pose" ? 12 : null;
    const given = values === null || values === undefined ? null : Float32Array.from(values);
    if (given && ((length !== null && given.length !== length) || !given.every(Number.isFinite))) throw new RangeError(`${name}: ${length ?? "some"} finite numbers are wanted, or null.`);
    this.#own[name] = given;
    this.#wake();
  }

  #say(message) {
    this.shadowRoot.querySelector("p").textContent = message;
  }

  #fail(error) {
    const message = error instanceof Error ? error.message : String(error);
    this.#say(message);
    this.#emit("error", { message });
  }

  /** Nothing more can be drawn. */
  #broken(error) {
    this.#close();
    this.#fail(error);
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  /** Free everything but the avatar itself. */
  #release() {
    const gsa = this.#gsa, own = this.#own;
    if (this.isConnected || !gsa) return;
    this.#close();
    this.#kept = gsa, this.#own = own;
  }

  #close() {
    cancelAnimationFrame(this.#raf), clearTimeout(this.#timer);
    this.#raf = this.#timer = 0;
    this.#stage?.close();
    this.#speaker?.close();
    this.#torso?.close();
    this.#gsa = this.#kept = this.#stage = this.#torso = this.#person = this.#speaker = null, this.#playing = false;
    this.#own = {}, this.#drawn = "", this.#busy = false;
  }
}

/** A motion of Person.play() from rows per frame. */
function motionOfRows({ fps, ...rows }, gsa) {
  const widths = { codes: gsa.shape("drive.closed")[0], upper: gsa.shape("drive.rest_upper")[0], pose: 12 }, rate = fps ?? gsa.meta.fps;
  const names = Object.keys(widths).filter((name) => rows[name]), frames = names.length ? rows[names[0]].length : 0;
  const fits = (row, width) => row?.length === width && Array.from(row).every(Number.isFinite);
  const sane = names.every((name) => rows[name].length === frames && Array.from(rows[name]).every((row) => fits(row, widths[name])));
  if (!frames || !sane || !(rate > 0)) throw new RangeError("A motion has rows of finite numbers, as many of each kind, as wide as this avatar's.");
  const at = (seconds) => Object.fromEntries(names.map((name) => [name, rows[name][Math.min(Math.floor(seconds * rate), frames - 1)]]));
  return { fps: rate, frames, at };
}

if (!customElements.get("gauss-avatar")) customElements.define("gauss-avatar", GaussAvatar);
