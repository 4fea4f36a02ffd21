// Order of the floats in a file: sort.mjs FILE BEGIN END.
import { readFileSync } from "node:fs";
import { Sorter } from "../../assets/web/sort.js";

const [file, begin, end] = process.argv.slice(2);
const bytes = readFileSync(file);
const copied = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
const sorter = new Sorter();
sorter.order(copied, 0, copied.length);
console.log(JSON.stringify([...sorter.order(copied, Number(begin), Number(end))]));
