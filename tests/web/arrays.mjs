// What Python wrote for a script of this folder: arrays by name in one file, and a header beside it.
import { readFileSync, writeFileSync } from "node:fs";
import { Gsa } from "../../assets/web/gsa.js";

const TYPES = { f32: Float32Array, f16: Uint16Array, i16: Int16Array, i32: Int32Array, u8: Uint8Array };

/** An avatar file's header and sections, without the checks of a real one. */
export function readArrays(path) {
  const { meta, sections } = JSON.parse(readFileSync(`${path}.json`)), bytes = readFileSync(`${path}.bin`);
  const read = ({ name, type, shape, offset, bytes: count }) => {
    const buffer = bytes.buffer.slice(bytes.byteOffset + offset, bytes.byteOffset + offset + count);
    return [name, { type, shape, data: new TYPES[type](buffer) }];
  };
  return new Gsa(meta, new Map(sections.map(read)));
}

/** Hand numbers back to Python. */
export function writeFloats(path, values) {
  writeFileSync(path, Float32Array.from(values));
}
