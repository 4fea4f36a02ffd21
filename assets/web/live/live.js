// The live page: an avatar that answers (gaussavatar/live).

import "../element.js";
import { Drive } from "./drive.js";
import { Link } from "./link.js";
import { Player, microphone } from "./sources.js";

const $ = (id) => document.getElementById(id);
const avatar = $("avatar"), sound = $("sound"), video = $("video");
const link = new Link(new URLSearchParams(location.search).get("session") ?? "");
const player = new Player((message) => link.send(message));
let drive = null, welcome = null, context = null, track = null, trip = 0, connected = false;

const tell = (text, problem = false) => (($("told").textContent = text), $("told").classList.toggle("problem", problem));
const press = (button, on) => button.setAttribute("aria-pressed", on);

// What is on its way is not heard any more; the volume comes back where the interruption would have been heard.
let hushed = 0;
const volume = (value) => (clearTimeout(hushed), (sound.volume = video.volume = value));
const hush = () => (volume(0), (hushed = setTimeout(() => volume(1), 1500)));

const happened = (event) => {
  if (event.event === "start") tell("");
  $("stage").classList.toggle("speaking", event.event === "start" || (event.event === "late" && $("stage").classList.contains("speaking")));
  if (event.event === "finished" && event.interrupted) tell(`Interrupted after ${event.position.toFixed(1)} s.`), volume(1);
  page.events.push({ ...event, at: performance.now() });
  if (page.events.length > 500) page.events.shift();
};

const heard = {
  async welcome(message) {
    const fresh = !welcome;
    welcome = message;
    drive?.clear();
    document.title = `${message.name}, live`;
    $("name").textContent = message.name;
    for (const id of ["mic", "hears", "file", "stop"]) $(id).closest("label, button").hidden = !message.may_speak && id !== "stop";
    $("say").hidden = !message.text;
    if (!fresh) return;
    const drawn = message.render === "client";
    avatar.hidden = !drawn, video.hidden = drawn;
    drive = new Drive(drawn ? avatar : null, happened);
    page.drive = drive;
    if (drawn) avatar.setAttribute("src", "/avatar.gsa");
    requestAnimationFrame(tick);
  },
  problem: ({ text }) => tell(text, true),
  full: ({ text }) => tell(text, true),
  pong: ({ at }) => (trip = performance.now() - at),
};

function tick() {
  // Firefox stands still for ever where it is asked for this while it opens the loudspeakers.
  const device = context?.currentTime > 0.3 ? 1e3 * (context.outputLatency || context.baseLatency || 0) : 0;
  drive.latency = device;
  drive.step(link.receiver);
  requestAnimationFrame(tick);
}

link.addEventListener("state", ({ detail: { text, ok } }) => {
  connected = ok;
  $("state").textContent = text, $("state").classList.toggle("ok", ok);
  if (ok && track) setMicrophone(track);
});
link.addEventListener("refused", ({ detail: { code } }) => {
  $("state").textContent = code === 1013 ? "Full" : "Not let in";
  press($("connect"), false), ($("connect").textContent = "Connect");
});
link.addEventListener("message", ({ detail }) => {
  if (detail.event === "finished" && detail.interrupted) hush();
  return detail.event ? drive.event(detail) : heard[detail.kind]?.(detail);
});
link.addEventListener("motion", ({ detail }) => drive.motion(detail));
link.addEventListener("clock", ({ detail }) => drive.clock(detail));
link.addEventListener("stream", ({ detail }) => {
  const element = welcome.render === "server" ? video : sound;
  element.srcObject = detail;
  element.play().catch(() => tell("The browser lets no sound begin before you click.", true));
});

async function setMicrophone(opened) {
  track = opened;
  await link.speak(track);
  link.send({ kind: "microphone", mode: track ? $("hears").value : "off" });
  press($("mic"), Boolean(track));
}

const actions = {
  connect() {
    const open = $("connect").getAttribute("aria-pressed") !== "true";
    press($("connect"), open), ($("connect").textContent = open ? "Leave" : "Connect");
    context ??= new AudioContext({ latencyHint: "interactive" });
    context.resume();
    if (open) link.open();
    else player.stop(), link.close();
  },
  mute() {
    const muted = $("mute").getAttribute("aria-pressed") !== "true";
    press($("mute"), muted), (sound.muted = video.muted = muted);
  },
  async mic() {
    if (track) return track.stop(), setMicrophone(null);
    try {
      await setMicrophone(await microphone());
      tell($("hears").value === "mirror" ? "It says what you say." : "It listens to you.");
    } catch (error) {
      tell(error.message, true);
    }
  },
  stop() {
    player.stop();
    hush();
    link.send({ kind: "clear" });
  },
};
for (const [id, action] of Object.entries(actions)) $(id).addEventListener("click", action);
$("hears").addEventListener("change", () => track && setMicrophone(track));

async function play(file) {
  if (!file) return;
  if (!connected) return tell("Connect first, then drop a sound.", true);
  if (!welcome.may_speak) return tell("Here only a program lets it speak.", true);
  try {
    const seconds = await player.play(file);
    tell(`Says ${file.name ?? "a sound"} (${seconds.toFixed(1)} s).`);
  } catch (error) {
    tell(error.message, true);
  }
}
$("file").addEventListener("change", () => (play($("file").files[0]), ($("file").value = "")));
$("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (text) link.send({ kind: "text", text }), tell("Says what you wrote."), ($("text").value = "");
});
addEventListener("dragover", (event) => (event.preventDefault(), document.body.classList.add("dropping")));
addEventListener("dragleave", () => document.body.classList.remove("dropping"));
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  play(event.dataTransfer.files[0]);
});
addEventListener("pagehide", () => link.close());

setInterval(() => {
  if (!connected || !drive) return void ($("delay").textContent = "");
  link.send({ kind: "ping", at: performance.now() });
  const shown = Math.round(drive.waited + drive.latency);
  $("delay").textContent = `voice ${Math.round(1e3 * welcome.delay)} ms · network ${Math.round(trip / 2)} ms · buffer ${shown} ms`;
}, 1000);

export const page = { link, actions, play, tell, events: [], drive: null };
window.gaussavatarLive = page;
