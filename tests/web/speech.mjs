// Mouth codes of sounds as a page has them: speech.mjs AVATAR SOUND OUT [PIECE...]; whole, then in pieces of so many samples,
// then again by a stream that knows the voice. Where the avatar has a best network, the whole is spoken by that.
import { BestVoice, Voice } from "../../assets/web/speech/voice.js";
import { readArrays, writeFloats } from "./arrays.mjs";

const [avatar, sound, out, ...pieces] = process.argv.slice(2);
const gsa = readArrays(avatar), voice = new Voice(gsa), whole = gsa.meta.best ? new BestVoice(gsa, voice) : voice;
const samples = readArrays(sound).array("samples");
let started = performance.now();
writeFloats(`${out}.whole`, whole.codesOf(samples));
console.log(JSON.stringify({ whole: performance.now() - started }));
let known = null;
for (const piece of pieces.map(Number)) {
  const stream = voice.stream(), parts = [], late = [];
  started = performance.now();
  for (let at = 0; at < samples.length; at += piece) {
    parts.push(...stream.push(samples.subarray(at, at + piece)));
    late.push(Math.min(samples.length, at + piece) / 16000 - stream.frames / 25);
  }
  const ms = performance.now() - started;
  parts.push(...stream.finish());
  known = stream.statistics;
  writeFloats(`${out}.${piece}`, parts);
  console.log(JSON.stringify({ piece, ms, late: Math.max(...late) }));
}
if (known) {
  const stream = voice.stream(known);
  writeFloats(`${out}.again`, [...stream.push(samples), ...stream.finish()]);
}
