// What visitors of an exported page do: drop a sound, choose one, or speak into the microphone. The avatar itself is the
// custom element; everything here goes through its public methods.

const HEADER = 16;
// The page's own folder may hold the avatar instead of the page itself.
const BESIDE = "avatar.gsa";
const HEARING = "Listening to";
const BLOCKED = "Click anywhere to hear it: browsers play no sound before, nor without a loudspeaker.";

const part = (id) => document.getElementById(id);
const avatar = part("avatar"), status = part("status");
let stream = null;

/** Bytes of base64. @param {string} text @returns {ArrayBuffer} */
function bytesOf(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
}

/**
 * The sound inside an avatar file, if it has one.
 * @param {ArrayBuffer} buffer a whole file that the player has checked.
 * @param {{name: string, type: string}|undefined} facts `meta.audio`.
 * @returns {Blob|null}
 */
function soundOf(buffer, facts) {
  const length = new DataView(buffer).getUint32(8, true);
  const { sections } = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, HEADER, length)));
  const found = sections.find(({ name, coding }) => name === "audio.file" && coding === "raw");
  return found && facts ? new Blob([new Uint8Array(buffer, found.offset, found.bytes)], { type: facts.type }) : null;
}

function say(text, wrong = false) {
  status.textContent = text;
  status.classList.toggle("wrong", wrong);
}

function complain(error) {
  say(error instanceof Error ? error.message : String(error), true);
}

function hush() {
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = null;
  part("microphone").setAttribute("aria-pressed", "false");
}

function stop() {
  hush();
  avatar.clear();
  part("stop").disabled = true;
  say("");
}

/** @param {Blob} sound @param {string} name what to call it. */
async function speak(sound, name) {
  stop();
  say(`${HEARING} ${name} ...`);
  part("stop").disabled = false;
  // What goes wrong the element itself shows.
  await avatar.speak(sound).catch(stop);
}

async function listen() {
  if (stream) return stop();
  stop();
  if (!navigator.mediaDevices?.getUserMedia) {
    return complain(new Error("This browser gives a page like this no microphone: open it from https or from this machine."));
  }
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  } catch {
    return complain(new Error("There is no microphone, or it was not allowed."));
  }
  part("microphone").setAttribute("aria-pressed", "true");
  part("stop").disabled = false;
  say("Speak: the avatar says it with you, a moment later.");
  await avatar.listen(stream).catch(stop);
}

function offerDrop() {
  const over = (event, shown) => {
    if (![...(event.dataTransfer?.types ?? [])].includes("Files")) return;
    event.preventDefault();
    part("drop").hidden = !shown;
  };
  addEventListener("dragover", (event) => over(event, true));
  addEventListener("dragleave", (event) => event.relatedTarget ?? over(event, false));
  addEventListener("drop", (event) => {
    over(event, false);
    const [file] = event.dataTransfer?.files ?? [];
    if (file) speak(file, file.name);
  });
}

function offerControls() {
  part("choose").addEventListener("click", () => part("file").click());
  part("file").addEventListener("change", ({ target }) => {
    const [file] = target.files;
    target.value = "";
    if (file) speak(file, file.name);
  });
  part("microphone").addEventListener("click", listen);
  part("stop").addEventListener("click", stop);
  avatar.addEventListener("start", () => status.textContent.startsWith(HEARING) && say(""));
  avatar.addEventListener("end", () => (stream ? null : ((part("stop").disabled = true), say(""))));
  // A browser that still waits for a click has begun as far as the element knows, so that this stays until there is one.
  avatar.addEventListener("blocked", () => say(BLOCKED));
  addEventListener("pointerdown", () => status.textContent === BLOCKED && say(""));
  part("controls").hidden = false;
}

function offerSound(buffer) {
  const sound = soundOf(buffer, avatar.meta?.audio);
  if (!sound) return;
  const { name } = avatar.meta.audio, play = part("play");
  play.textContent = `Play ${name}`;
  play.hidden = false;
  play.addEventListener("click", () => speak(sound, name));
}

async function file() {
  const inside = part("avatar-file");
  if (inside) return bytesOf(inside.textContent.trim());
  const answer = await fetch(BESIDE).catch(() => null);
  if (!answer?.ok) throw new Error(`${BESIDE} beside this page cannot be read; from disk a browser refuses that: serve the folder, or export without --split.`);
  return answer.arrayBuffer();
}

async function begin() {
  const buffer = await file();
  await avatar.load(buffer).catch(() => Promise.reject(new Error("There is no avatar to show.")));
  offerSound(buffer);
  offerControls();
  offerDrop();
  say("Drop a sound here, or choose one. Drag to look around.");
}

begin().catch(complain);
