// What a page hears with hama: hama.mjs AVATAR SOUND OUT SIMD; scores of up to ten seconds, and levels of the whole.
import { Hama } from "../../assets/web/speech/hama.js";
import { readArrays, writeFloats } from "./arrays.mjs";

const [avatar, sound, out, simd] = process.argv.slice(2);
const gsa = readArrays(avatar), samples = readArrays(sound).array("samples"), hama = new Hama(gsa, simd === "true");

function done(steps) {
  let count = 0;
  for (let step; ; count++) if ((step = steps.next()).done) return { value: step.value, count };
}

const scores = done(hama.network.run(samples.subarray(0, 160000))).value;
const rows = Array.from({ length: scores.count }, (_, k) => [...scores.data.subarray(k * scores.width, k * scores.width + hama.tokens)]);
writeFloats(`${out}.scores`, rows.flat());
const started = performance.now(), { value, count } = done(hama.levels(samples)), ms = performance.now() - started;
writeFloats(`${out}.levels`, value.data.subarray(0, value.count * value.width));
console.log(JSON.stringify({ ms, count, simd: hama.network.room.simd }));
