// The viewer's page: avatars drawn here, motions and panels from the server (gaussavatar/view/pages.py).

import "../element.js";
import { Clock } from "./clock.js";
import { frameAt, opened, readMotion } from "./motion_block.js";

const $ = (id) => document.getElementById(id);
const clock = new Clock();
const seen = new Map();
const socket = new WebSocket(location.href.replace(/^http/, "ws"));
let filmed = true, failed = "";

const tell = (text, problem = false) => (($("told").textContent = text), $("told").classList.toggle("problem", problem));
const ask = (message) => socket.send(message instanceof ArrayBuffer ? message : JSON.stringify(message));
const fetched = async (url) => {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`The server has no ${url} any more.`);
  return answer.arrayBuffer();
};

/** An avatar on the stage, and what moves it. */
class Seen {
  constructor(index, name) {
    this.index = index, this.places = new Set(), this.motion = null, this.face = null, this.shown = -1, this.real = new Map();
    this.figure = document.createElement("figure");
    this.figure.innerHTML = `<gauss-avatar orbit background="${$("background").value}"></gauss-avatar><canvas class="real"></canvas><figcaption></figcaption><ul></ul>`;
    [this.avatar, this.canvas, this.caption, this.legend] = this.figure.children;
    this.caption.textContent = name;
    this.avatar.addEventListener("error", (event) => tell(event.detail?.message ?? "This avatar cannot be drawn.", true));
    this.avatar.addEventListener("ready", () => ($("waiting").hidden = true));
    $("stage").append(this.figure);
  }

  async load(url) {
    if (this.url === url) return;
    this.url = url;
    await this.avatar.load(await fetched(url));
    this.places = new Set(this.avatar.meta.torso?.places ?? []);
  }

  async follow(url) {
    this.motion = readMotion(await fetched(url));
    this.avatar.pause();
    this.shown = -1;
  }

  /** Put the face at a moment of its motion on the stage. */
  show(seconds) {
    if (!this.motion || !this.avatar.meta) return;
    const { face } = this, at = frameAt(this.motion, face && !face.driven ? 0 : seconds);
    const add = (row, extra) => (extra ? row.map((value, i) => value + extra[i]) : row);
    const codes = face && !face.driven ? face.closed : at.codes;
    this.avatar.codes = face ? opened(codes, face.opening, face.closed, face.wide) : codes;
    this.avatar.upper = add(at.upper, face?.upper);
    // A head that moves as filmed is drawn where the torso on the screen has it, if that is among the torso's frames.
    this.avatar.pose = this.headFilmed && this.places.has(at.place) ? null : at.pose;
    this.avatar.follow(at.place, clock.playing ? clock.speed : 0);
    this.place = at.place;
  }

  /** @param {[string, string][] | null} masks names and colours of what is told apart in the real frames. */
  set masks(masks) {
    this.hasMasks = Boolean(masks);
    this.legend.replaceChildren(...(masks ?? []).map(([name, colour]) => {
      const line = Object.assign(document.createElement("li"), { textContent: name });
      line.style.setProperty("--colour", colour);
      return line;
    }));
  }

  /** The real frame beside, over, or against the avatar; or over it, with its masks. */
  async compare(mode) {
    if (mode === "off" || this.place === undefined || this.comparing) return;
    this.comparing = true;
    try {
      const place = this.place, image = await this.#frame(`/real/${this.index}/${place}.jpg`), { canvas } = this;
      const mask = mode === "masks" && this.hasMasks ? await this.#frame(`/mask/${this.index}/${place}.png`) : null;
      Object.assign(canvas, { width: image.width, height: image.height });
      const context = canvas.getContext("2d");
      context.drawImage(image, 0, 0);
      if (mask) context.drawImage(mask, 0, 0, image.width, image.height);
      if (mode === "difference") await this.#subtract(context, image);
    } catch (error) {
      tell(error.message, true);
    } finally {
      this.comparing = false;
    }
  }

  async #frame(url) {
    if (!this.real.has(url)) {
      if (this.real.size > 200) this.real.delete(this.real.keys().next().value);
      this.real.set(url, await createImageBitmap(new Blob([await fetched(url)])));
    }
    return this.real.get(url);
  }

  async #subtract(context, { width, height }) {
    const drawn = await this.avatar.picture(), own = document.createElement("canvas");
    own.width = drawn.width, own.height = drawn.height;
    own.getContext("2d").putImageData(drawn, 0, 0);
    context.globalCompositeOperation = "difference";
    context.drawImage(own, 0, 0, width, height);
    context.globalCompositeOperation = "color-dodge";
    context.fillStyle = "#c0c0c0";
    context.fillRect(0, 0, width, height);
    context.globalCompositeOperation = "source-over";
  }
}

const waiting = new Map();
function later(message) {
  if (!waiting.has(message.avatar)) waiting.set(message.avatar, new Map());
  waiting.get(message.avatar).set(message.kind, message);
}

const heard = {
  avatars({ list }) {
    $("stage").style.setProperty("--across", Math.max(1, Math.ceil(Math.sqrt(list.length))));
    list.forEach(({ name, url, problem, real, masks, busy }, index) => {
      if (problem) tell(problem, true);
      if (busy) $("waiting").textContent = `${name}: ${busy}`;
      if (!url) return;
      const fresh = !seen.has(index);
      if (fresh) seen.set(index, new Seen(index, name));
      Object.assign(seen.get(index), { hasReal: real, masks });
      seen.get(index).load(url).catch((error) => tell(error.message, true));
      // What was told of an avatar before there was anything to draw it from.
      if (fresh) for (const message of waiting.get(index)?.values() ?? []) queue(message);
    });
  },
  panels({ url }) {
    $("panels").src = url;
  },
  async motion(message) {
    if (!seen.has(message.avatar)) return later(message);
    const { avatar, url, seconds, sound, name, filmed: own, head } = message;
    seen.get(avatar).headFilmed = head === "filmed";
    await seen.get(avatar).follow(url);
    filmed = own;
    if (sound !== heard.sound) await listen(sound, name);
    heard.sound = sound;
    clock.length = seconds;
    $("seek").max = seconds;
  },
  face(message) {
    if (!seen.has(message.avatar)) return later(message);
    seen.get(message.avatar).face = message;
    wake();
  },
  presets({ names }) {
    $("presets").replaceChildren(...names.map((name) => Object.assign(document.createElement("option"), { value: name })));
  },
  command: ({ text }) => navigator.clipboard.writeText(text).then(() => tell(`copied: ${text}`), () => tell(text)),
  recorded({ url, name }) {
    tell(`recorded: ${name}`);
    Object.assign(document.createElement("a"), { href: url, download: name }).click();
  },
  told: ({ text }) => tell(text),
  problem: ({ text }) => tell(text, true),
};

async function listen(url, name) {
  const playing = clock.playing;
  clock.pause();
  if (clock.audio) URL.revokeObjectURL(clock.audio.src);
  clock.audio = url ? new Audio(URL.createObjectURL(new Blob([await fetched(url)]))) : null;
  if (clock.audio) clock.audio.playbackRate = clock.speed;
  clock.loop(0);
  clock.seek(0);
  if (url) tell(`speaks ${name}`);
  if (playing) start();
}

async function start() {
  try {
    await clock.play();
  } catch {
    tell("The browser lets no sound begin before you click: press Play.", true);
    clock.pause();
  }
  $("play").textContent = clock.playing ? "Pause" : "Play";
  wake();
}

function stop() {
  clock.pause();
  $("play").textContent = "Play";
}

// Where the page looks while viser shows what the avatar is made of: it is told at most ten times a second.
const inside = {
  on: false, told: null, at: 0, timer: 0,
  turn(on) {
    this.on = on, this.told = null;
    clearTimeout(this.timer);
    document.body.classList.toggle("inside", on);
    $("inside").setAttribute("aria-pressed", on);
    if (on) for (const { avatar } of seen.values()) avatar.pause();
    else ask({ kind: "inside", on: false });
    wake();
  },
  go(seconds) {
    const wait = this.at + 100 - performance.now();
    clearTimeout(this.timer);
    if (seconds === this.told) return;
    if (wait > 0) return void (this.timer = setTimeout(wake, wait));
    this.told = seconds, this.at = performance.now();
    ask({ kind: "inside", on: true, seconds });
  },
};

let waking = 0, drawn = 0, since = performance.now();
function wake() {
  waking ||= requestAnimationFrame(() => {
    waking = 0;
    const { seconds } = clock, mode = $("compare").value;
    if (inside.on) inside.go(seconds);
    else for (const one of seen.values()) {
      one.show(seconds);
      if (mode !== "off" && one.hasReal) one.compare(mode);
    }
    if (document.activeElement !== $("seek") || clock.playing) $("seek").value = seconds;
    $("time").textContent = `${seconds.toFixed(2)} / ${clock.length.toFixed(2)} s`;
    drawn += 1;
    const passed = performance.now() - since;
    if (passed > 500) ($("rate").textContent = clock.playing ? `${((1000 * drawn) / passed).toFixed(0)} fps (${[...seen.values()][0]?.avatar.drawnBy ?? ""})` : ""), (drawn = 0), (since += passed);
    if (clock.playing) wake();
  });
}

const frame = () => 1 / ([...seen.values()][0]?.motion?.fps ?? 25);
const step = (frames) => (stop(), clock.seek((Math.round(clock.seconds / frame()) + frames) * frame()), wake());
const actions = {
  play: () => (clock.playing ? stop() : start()),
  back: () => step(-1),
  forth: () => step(1),
  from: () => (clock.loop(clock.seconds, clock.to), tell(`repeats from ${clock.from.toFixed(2)} s`)),
  to: () => (clock.loop(clock.from, clock.seconds), tell(`repeats ${clock.from.toFixed(2)} to ${clock.end.toFixed(2)} s`)),
  whole: () => (clock.loop(0), tell("repeats all of it")),
  inside: () => inside.turn(!inside.on),
  front: () => seen.forEach(({ avatar }) => avatar.look(0, 0, 1)),
  own: () => ask({ kind: "own motion" }),
  record: () => (tell("recording …"), ask({ kind: "record", background: $("background").value })),
  command: () => ask({ kind: "command" }),
  save: () => ask({ kind: "save preset", name: $("name").value }),
  recall: () => ask({ kind: "recall preset", name: $("name").value }),
  async shot() {
    for (const one of seen.values()) {
      const picture = await one.avatar.picture(), canvas = Object.assign(document.createElement("canvas"), { width: picture.width, height: picture.height });
      canvas.getContext("2d").putImageData(picture, 0, 0);
      Object.assign(document.createElement("a"), { href: canvas.toDataURL(), download: `${one.caption.textContent}.png` }).click();
    }
  },
  async mic() {
    if (actions.recorder) return actions.recorder.stop();
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: true }), parts = [];
      const recorder = (actions.recorder = new MediaRecorder(stream));
      recorder.ondataavailable = ({ data }) => parts.push(data);
      recorder.onstop = async () => {
        stream.getTracks().forEach((track) => track.stop());
        actions.recorder = null, $("mic").textContent = "microphone";
        ask(await new Blob(parts).arrayBuffer());
      };
      recorder.start();
      $("mic").textContent = "stop and speak";
    } catch (error) {
      tell(`No microphone: ${error.message}`, true);
    }
  },
};
for (const [name, action] of Object.entries(actions)) $(name)?.addEventListener("click", () => action());
$("seek").addEventListener("input", () => (clock.seek(Number($("seek").value)), wake()));
$("speed").addEventListener("change", () => (clock.rate = Number($("speed").value)));
$("background").addEventListener("change", () => seen.forEach(({ avatar }) => avatar.setAttribute("background", $("background").value)));
$("sound").addEventListener("change", async () => $("sound").files[0] && (tell("listening …"), ask(await $("sound").files[0].arrayBuffer())));
$("wipe").addEventListener("input", () => $("stage").style.setProperty("--wipe", `${100 * $("wipe").value}%`));
$("compare").addEventListener("change", () => {
  const mode = $("compare").value;
  $("stage").className = mode, $("wipe").hidden = mode !== "wipe";
  $("stage").style.setProperty("--wipe", `${100 * $("wipe").value}%`);
  if (mode !== "off") actions.front();
  if (mode !== "off" && ![...seen.values()].some(({ hasReal }) => hasReal)) tell("The clip's frames are not beside this avatar any more.", true);
  else if (mode === "masks" && ![...seen.values()].some(({ hasMasks }) => hasMasks)) tell("There are no masks of the clip's frames beside this avatar.", true);
  wake();
});
addEventListener("keydown", (event) => {
  if (event.target.closest("input, select, button")) return;
  const keys = { " ": "play", ",": "back", ".": "forth", "[": "from", "]": "to", 0: "front" };
  if (keys[event.key]) event.preventDefault(), actions[keys[event.key]]();
});
addEventListener("dragover", (event) => (event.preventDefault(), document.body.classList.add("dropping")));
addEventListener("dragleave", () => document.body.classList.remove("dropping"));
addEventListener("drop", async (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  if (event.dataTransfer.files[0]) tell("listening …"), ask(await event.dataTransfer.files[0].arrayBuffer());
});

let order = Promise.resolve();
function queue(message) {
  // One after the other: a motion that is being fetched must not overtake the avatar that it is for.
  order = order.then(() => heard[message.kind]?.(message)).then(wake).catch((error) => tell(error.message, true));
}
socket.addEventListener("message", ({ data }) => queue(JSON.parse(data)));
socket.addEventListener("close", () => tell("The viewer has ended. Start it again and load this page anew.", true));
export const page = { clock, seen, actions, say: ask };
window.gaussavatarViewer = page;
