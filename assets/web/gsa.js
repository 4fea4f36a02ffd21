// Strict reader of avatar files (.gsa, docs/gsa.md). Whatever comes in may be hostile: everything is checked before
// anything is allocated for it, and what is wrong ends in an Error of one sentence.

const VERSION = 1, HEADER = 16, MIB = 2 ** 20;
const MOST_JSON = MIB, MOST_SECTIONS = 256, MOST_DECODED = 256 * MIB, MOST_AXES = 8;
// Deflate makes no more than this many bytes of one, so that a small section cannot claim a large array.
const MOST_RATIO = 1032;
// Some browsers inflate all of what they are given before anything can be read of it.
const SLICE = 16384;
const TYPES = { f32: Float32Array, f16: Uint16Array, i8: Int8Array, u8: Uint8Array, u16: Uint16Array, i32: Int32Array };
const WIDTHS = { position: 3, rotation: 4, scale: 3, color: 3, opacity: 1 };

const damaged = (what) => new Error(`This avatar file is damaged: ${what}.`);
const isCount = (value, most = MOST_DECODED) => Number.isInteger(value) && value >= 0 && value <= most;
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** An avatar file in memory: its header and its arrays. */
export class Gsa {
  /** @param {object} meta header; @param {Map<string, {type: string, shape: number[], data: ArrayBufferView}>} sections */
  constructor(meta, sections) {
    this.meta = meta;
    this.sections = sections;
  }

  /** Whether there is a section of that name. */
  has(name) {
    return this.sections.has(name);
  }

  /** Shape of a section. */
  shape(name) {
    return this.#section(name).shape;
  }

  /**
   * Elements of a section, row by row; halves come as Float32Array, everything else in its own type.
   * @param {string} name
   * @param {(number|null)[]=} shape what it has to be; null is any length.
   */
  array(name, shape) {
    const section = this.#section(name);
    const fits = !shape || (shape.length === section.shape.length && shape.every((n, i) => n === null || n === section.shape[i]));
    if (!fits) throw damaged(`${name} has the shape ${section.shape.join(" x ")}`);
    return section.type === "f16" ? floatsOfHalves(section.data) : section.data;
  }

  #section(name) {
    const section = this.sections.get(name);
    if (!section) throw damaged(`${name} is missing`);
    return section;
  }
}

/**
 * Read an avatar file.
 * @param {ArrayBuffer} buffer the whole file.
 * @returns {Promise<Gsa>}
 */
export async function readGsa(buffer) {
  const { header, start } = readHeader(buffer);
  const entries = header.sections.map((entry) => checkedEntry(entry, start, buffer.byteLength));
  if (new Set(entries.map((entry) => entry.name)).size < entries.length) throw damaged("two sections have one name");
  if (entries.reduce((sum, entry) => sum + entry.decoded, 0) > MOST_DECODED) throw damaged("it decodes to more than 256 MiB");
  const sections = new Map();
  for (const entry of entries) sections.set(entry.name, await decoded(entry, buffer));
  const gsa = new Gsa(header.meta, sections);
  checkAvatar(gsa);
  return gsa;
}

function readHeader(buffer) {
  const view = new DataView(buffer);
  const magic = buffer.byteLength >= HEADER ? String.fromCharCode(...new Uint8Array(buffer, 0, 4)) : "";
  if (magic !== "GSAV") throw new Error("This is no avatar file (.gsa).");
  const [version, length, whole] = [4, 8, 12].map((at) => view.getUint32(at, true));
  if (version > VERSION) throw new Error(`This avatar file is of version ${version}, this player reads version ${VERSION}: update the player.`);
  if (version < 1) throw damaged("version 0");
  if (whole > buffer.byteLength) throw new Error(`This avatar file is cut short: ${buffer.byteLength} of ${whole} bytes.`);
  const start = HEADER + length;
  if (whole < buffer.byteLength || length > MOST_JSON || start > whole) throw damaged("its header says another length");
  let header;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(new Uint8Array(buffer, HEADER, length)));
  } catch {
    throw damaged("its header is no JSON");
  }
  if (!isObject(header) || !isObject(header.meta) || !Array.isArray(header.sections)) throw damaged("its header lacks meta or sections");
  if (header.sections.length > MOST_SECTIONS) throw damaged("it has too many sections");
  return { header, start };
}

function checkedEntry(entry, start, whole) {
  if (!isObject(entry) || typeof entry.name !== "string") throw damaged("a section has no name");
  const { type, shape, offset, bytes, coding } = entry, name = entry.name.slice(0, 40);
  if (!Object.hasOwn(TYPES, type) || !["raw", "deflate"].includes(coding)) throw damaged(`${name} is of an unknown kind`);
  const sane = Array.isArray(shape) && shape.length <= MOST_AXES && [offset, bytes, ...shape].every((n) => isCount(n));
  if (!sane) throw damaged(`${name} has an absurd size`);
  const decoded = shape.reduce((product, n) => product * n, TYPES[type].BYTES_PER_ELEMENT);
  if (!(decoded <= MOST_DECODED)) throw damaged(`${name} has an absurd size`);
  if (offset < start || offset % 4 || offset + bytes > whole) throw damaged(`${name} lies outside the file`);
  const possible = coding === "raw" ? decoded === bytes : decoded <= bytes * MOST_RATIO;
  if (!possible) throw damaged(`${name} has another size than its shape`);
  return { name: entry.name, type, shape, offset, bytes, coding, decoded };
}

async function decoded({ name, type, shape, offset, bytes, coding, decoded: size }, buffer) {
  // A copy: an array has to begin at a multiple of its element, and must not keep the whole file in memory.
  const stored = new Uint8Array(buffer, offset, bytes);
  const plain = coding === "raw" ? stored.slice() : await inflated(stored, size, name);
  const data = new TYPES[type](plain.buffer, 0, size / TYPES[type].BYTES_PER_ELEMENT);
  if (type === "f32" && !data.every(Number.isFinite)) throw damaged(`${name} holds numbers that are none`);
  return { type, shape, data };
}

async function inflated(stored, size, name) {
  const { readable, writable } = new DecompressionStream("deflate");
  const reader = readable.getReader(), out = new Uint8Array(size);
  // What goes wrong on the way in shows on the way out as well.
  feed(writable.getWriter(), stored).catch(() => {});
  let at = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (at + value.length > size) throw new RangeError();
      out.set(value, at);
      at += value.length;
    }
  } catch (error) {
    reader.cancel().catch(() => {});
    throw damaged(`${name.slice(0, 40)} ${error instanceof RangeError ? "is larger than its shape" : "cannot be inflated"}`);
  }
  if (at < size) throw damaged(`${name.slice(0, 40)} is smaller than its shape`);
  return out;
}

async function feed(writer, bytes) {
  for (let at = 0; at < bytes.length; at += SLICE) {
    await writer.ready;
    await writer.write(bytes.subarray(at, at + SLICE));
  }
  await writer.close();
}

const POWERS = Float64Array.from({ length: 32 }, (_, exponent) => 2 ** ((exponent || 1) - 25));

/** Numbers of half precision, given as their bits. */
export function floatsOfHalves(bits) {
  const out = new Float32Array(bits.length);
  for (let k = 0; k < bits.length; k++) {
    const h = bits[k], exponent = (h >> 10) & 31, fraction = h & 1023;
    const size = exponent === 31 ? (fraction ? NaN : Infinity) : POWERS[exponent] * (exponent ? 1024 + fraction : fraction);
    out[k] = h & 0x8000 ? -size : size;
  }
  return out;
}

/** Numbers per Gaussian of channels that move. */
export function motionWidth(moves) {
  return moves.reduce((sum, channel) => sum + WIDTHS[channel], 0);
}

const square3 = (value) => Array.isArray(value) && value.length === 3 && value.every(triple);
const triple = (value) => Array.isArray(value) && value.length === 3 && value.every(Number.isFinite);

function checkAvatar(gsa) {
  const { meta } = gsa, { branches } = meta;
  if (!isCount(meta.size, 8192) || meta.size < 16 || !(meta.fps >= 1 && meta.fps <= 1000)) throw damaged("its size or frame rate cannot be");
  if (!isObject(branches) || !isObject(branches.face) || !Array.isArray(meta.upper_names)) throw damaged("it has no face");
  const m = gsa.array("drive.closed", [null]).length, u = meta.upper_names.length;
  gsa.array("drive.rest_upper", [u]);
  gsa.array("camera.K", [3, 3]);
  const frames = gsa.array("track.codes", [null, m]).length / Math.max(m, 1);
  if (!(frames >= 1)) throw damaged("its filmed track is empty");
  gsa.array("track.upper", [frames, u]);
  gsa.array("track.pose", [frames, 3, 4]);
  const codes = { face: m + u, mouth: m, torso: 0 };
  for (const [name, facts] of Object.entries(branches)) {
    if (!Object.hasOwn(codes, name)) throw damaged(`the branch ${name.slice(0, 40)} is unknown`);
    checkBranch(gsa, name, facts, codes[name]);
  }
  if (meta.torso) checkTorso(meta.torso, frames);
}

function checkBranch(gsa, name, facts, codes) {
  const { n, moving, free, moves, shading, aside } = isObject(facts) ? facts : {};
  const sane = isCount(n) && n > 0 && isCount(moving, n) && isCount(free, 64) && facts.codes === codes && Array.isArray(moves);
  if (!sane || !moves.every((channel) => Object.hasOwn(WIDTHS, channel)) || new Set(moves).size < moves.length) {
    throw damaged(`${name} has counts that cannot be`);
  }
  typed(gsa, `${name}.base`, "u16", [14, n]);
  typed(gsa, `${name}.base.range`, "f32", [14, 2]);
  if (moving && codes + free) {
    typed(gsa, `${name}.basis`, "i8", [codes + free, motionWidth(moves), moving]);
    typed(gsa, `${name}.basis.scale`, "f32", [codes + free, motionWidth(moves)]);
  }
  if (free) {
    const hidden = typed(gsa, `${name}.free.w0`, "f32", [null, codes]).length / codes;
    typed(gsa, `${name}.free.b0`, "f32", [hidden]);
    typed(gsa, `${name}.free.w1`, "f32", [free, hidden]);
    typed(gsa, `${name}.free.b1`, "f32", [free]);
  }
  if (shading) {
    if (!square3(shading.R_camera_rest) || !triple(shading.spread) || !shading.spread.every((s) => s > 0)) throw damaged(`the light of ${name} cannot be`);
    typed(gsa, `${name}.shading`, "i8", [9, n]);
    typed(gsa, `${name}.shading.scale`, "f32", [9]);
  }
  if (aside) {
    if (!triple(aside.ahead) || !(aside.reach >= 0) || !(aside.width > 0)) throw damaged(`the views of ${name} cannot be`);
    typed(gsa, `${name}.aside`, "i8", [3, n]);
    typed(gsa, `${name}.aside.scale`, "f32", [3]);
  }
}

function typed(gsa, name, type, shape) {
  const array = gsa.array(name, shape);
  if (gsa.sections.get(name).type !== type) throw damaged(`${name} is of another type`);
  return array;
}

function checkTorso({ frames, fps, places }, filmed) {
  const sane = isCount(frames, 1e6) && frames > 0 && fps >= 1 && fps <= 1000 && Array.isArray(places) && places.length === frames;
  if (!sane || !places.every((place) => isCount(place, filmed - 1))) throw damaged("its torso cannot be");
}
