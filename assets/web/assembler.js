// WebAssembly from text that can be read: functions in a short form of its own text format, so that the page holds no
// bytes that nobody can check. `$x` reads a local, `(= $x ...)` sets it; operands are nested; `(i32 1)`, `(f32 .5)`,
// `(f32x4 .5)` and `(f32x4 0 1 2 3)` are constants; memory is `m` of the module `js`. Everything else has the names of the standard.

const SIMD = "fd";
const OPS = table(`
  i32.load 28m f32.load 2am i32.lt_s 48 i32.gt_s 4a i32.le_s 4c i32.lt_u 49 i32.add 6a i32.sub 6b i32.mul 6c i32.and 71
  i32.shl 74 i32.shr_s 75 i32.trunc_sat_f32_s fc00 f32.convert_i32_s b2 select 1b
  f32.lt 5d f32.gt 5e f32.le 5f f32.abs 8b f32.neg 8c f32.ceil 8d f32.floor 8e f32.sqrt 91 f32.add 92 f32.sub 93 f32.mul 94 f32.div 95
  f32.min 96 f32.max 97
  v128.load ${SIMD}00m v128.load32_splat ${SIMD}09m v128.store ${SIMD}0bm v128.load32_zero ${SIMD}5cm i8x16.shuffle ${SIMD}0d*
  f32x4.splat ${SIMD}13 f32x4.extract_lane ${SIMD}1fl f32x4.replace_lane ${SIMD}20l f32x4.gt ${SIMD}44 f32x4.le ${SIMD}45
  v128.not ${SIMD}4d v128.and ${SIMD}4e v128.andnot ${SIMD}4f v128.or ${SIMD}50 v128.any_true ${SIMD}53 f32x4.ceil ${SIMD}67 f32x4.floor ${SIMD}68
  f32x4.nearest ${SIMD}6a f32x4.abs ${SIMD}e0 f32x4.sqrt ${SIMD}e3
  f32x4.add ${SIMD}e4 f32x4.sub ${SIMD}e5 f32x4.mul ${SIMD}e6 f32x4.div ${SIMD}e7 f32x4.max ${SIMD}e9 f32x4.min ${SIMD}e8 f32x4.pmin ${SIMD}ea i8x16.narrow_i16x8_u ${SIMD}66
  i16x8.narrow_i32x4_s ${SIMD}85 i16x8.extend_low_i8x16_s ${SIMD}87 i16x8.extend_high_i8x16_s ${SIMD}88
  i16x8.extend_low_i8x16_u ${SIMD}89 i32x4.extend_low_i16x8_s ${SIMD}a7 i32x4.extend_high_i16x8_s ${SIMD}a8
  i32x4.extend_low_i16x8_u ${SIMD}a9 i32x4.shl ${SIMD}ab i32x4.shr_s ${SIMD}ac i32x4.add ${SIMD}ae i32x4.mul ${SIMD}b5 i32x4.splat ${SIMD}11 i32x4.trunc_sat_f32x4_s ${SIMD}f8
  f32x4.convert_i32x4_s ${SIMD}fa`);
const TYPES = { i32: 0x7f, f32: 0x7d, v128: 0x7b }, VOID = 0x40, END = 0x0b;

/**
 * @param {string} text functions: `(func name (param i32 $a $b) (result f32) (local v128 $c) ...)`; all are exported.
 * @returns {Uint8Array} a module.
 */
export function assemble(text) {
  const functions = parse(text), names = functions.map(([, name]) => name), heads = functions.map(headOf);
  const section = (id, items) => [id, ...sized([...unsigned(items.length), ...items.flat()])];
  return Uint8Array.from([
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    ...section(1, heads.map(({ param, result }) => [0x60, ...types(param), ...types(result)])),
    ...section(2, [[...named("js"), ...named("m"), 2, 0, 1]]),
    ...section(3, heads.map((_, i) => unsigned(i))),
    ...section(7, names.map((name, i) => [...named(name), 0, ...unsigned(i)])),
    ...section(10, heads.map((head) => codeOf(head, names))),
  ]);
}

function table(text) {
  const words = text.trim().split(/\s+/), ops = new Map();
  for (let i = 0; i < words.length; i += 2) {
    const [, hex, kind] = /^((?:[0-9a-f]{2})+)([ml*]?)$/.exec(words[i + 1]), bytes = hex.match(/../g).map((byte) => parseInt(byte, 16));
    ops.set(words[i], { code: [bytes[0], ...bytes.slice(1).flatMap(unsigned)], kind });
  }
  return ops;
}

/** Nested lists of words; what follows `;;` on a line is left out. */
function parse(text) {
  const open = [[]];
  for (const word of text.replace(/;;.*/g, "").match(/[()]|[^\s()]+/g)) {
    if (word === "(") open.push([]);
    else if (word === ")") open.at(-2).push(open.pop());
    else open.at(-1).push(word);
  }
  return open[0];
}

function headOf([, , ...parts]) {
  const head = { param: [], result: [], local: [], body: parts.filter(([first]) => !["param", "result", "local"].includes(first)) };
  for (const [kind, type, ...names] of parts) head[kind]?.push(...(kind === "result" ? [{ type }] : names.map((name) => ({ name, type }))));
  return head;
}

function codeOf({ param, local, body }, names) {
  const places = new Map([...param, ...local].map(({ name }, i) => [name, unsigned(i)])), labels = [];
  const place = (name) => places.get(name) ?? wrong(name), depth = (label) => unsigned(labels.length - 1 - labels.lastIndexOf(label));
  const block = (code, label, parts) => {
    labels.push(label);
    const inner = parts.flatMap(emit);
    labels.pop();
    return [code, VOID, ...inner, END];
  };
  const forms = {
    "=": (name, value) => [...emit(value), 0x21, ...place(name)],
    i32: (value) => [0x41, ...signed(Number(value))],
    f32: (value) => [0x43, ...float(value)],
    f32x4: (...values) => [0xfd, 0x0c, ...[0, 1, 2, 3].flatMap((i) => [...float(values[i] ?? values[0])])],
    block: (label, ...parts) => block(0x02, label, parts),
    loop: (label, ...parts) => block(0x03, label, parts),
    if: (condition, ...parts) => [...emit(condition), ...block(0x04, "", parts)],
    br: (label) => [0x0c, ...depth(label)],
    return: (...values) => [...values.flatMap(emit), 0x0f],
    call: (name, ...values) => [...values.flatMap(emit), 0x10, ...unsigned(names.indexOf(name))],
  };
  function emit(node) {
    if (typeof node === "string") return [0x20, ...place(node)];
    const [name, ...rest] = node;
    if (Object.hasOwn(forms, name)) return forms[name](...rest);
    const { code, kind } = OPS.get(name) ?? wrong(name), count = { m: 1, l: 1, "*": 16 }[kind] ?? 0, numbers = rest.slice(0, count).map(Number);
    return [...rest.slice(count).flatMap(emit), ...code, ...(kind === "m" ? [0] : []), ...numbers.flatMap(unsigned)];
  }
  return sized([...unsigned(local.length), ...local.flatMap(({ type }) => [1, TYPES[type]]), ...body.flatMap(emit), END]);
}

function wrong(name) {
  throw new Error(`The assembler does not know ${name}.`);
}

const types = (list) => [...unsigned(list.length), ...list.map(({ type }) => TYPES[type])];
const sized = (bytes) => [...unsigned(bytes.length), ...bytes];
const named = (name) => sized(Array.from(name, (letter) => letter.charCodeAt(0)));
const float = (value) => new Uint8Array(Float32Array.of(Number(value)).buffer);

function unsigned(value) {
  return value < 128 ? [value] : [(value & 127) | 128, ...unsigned(value >>> 7)];
}

function signed(value) {
  return value >= -64 && value < 64 ? [value & 127] : [(value & 127) | 128, ...signed(value >> 7)];
}
