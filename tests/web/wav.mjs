// Samples of WAV files: wav.mjs OUT FILE...; each file's channels, one after the other, go to OUT.NUMBER.
import { readFileSync } from "node:fs";
import { samplesOfWav } from "../../assets/web/speech/wav.js";
import { writeFloats } from "./arrays.mjs";

const [out, ...files] = process.argv.slice(2);
files.forEach((file, number) => {
  const bytes = readFileSync(file), found = samplesOfWav(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  if (found) writeFloats(`${out}.${number}`, found.channels.flatMap((channel) => [...channel]));
  console.log(JSON.stringify(found && { rate: found.rate, channels: found.channels.length }));
});
