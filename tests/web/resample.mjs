// Sound at another rate: resample.mjs SOUND RATE OUT PIECE; in pieces of so many samples.
import { at16k, Resampler } from "../../assets/web/speech/resample.js";
import { readArrays, writeFloats } from "./arrays.mjs";

const [sound, rate, out, piece] = process.argv.slice(2);
const samples = readArrays(sound).array("samples"), resampler = new Resampler(Number(rate)), parts = [];
const started = performance.now();
for (let at = 0; at < samples.length; at += Number(piece)) parts.push(...resampler.push(samples.subarray(at, at + Number(piece))));
parts.push(...resampler.finish());
writeFloats(out, parts);
const whole = at16k([samples, samples], Number(rate));
console.log(JSON.stringify({ same: whole.length === parts.length && whole.every((value, k) => value === parts[k]), ms: performance.now() - started }));
