// Samples of a WAV file as they are: what a browser decodes was brought to another rate, by each browser in its own way.

const PCM = 1, FLOAT = 3, EXTENSIBLE = 0xfffe;

const READERS = {
  "1:8": (view, at) => (view.getUint8(at) - 128) / 128,
  "1:16": (view, at) => view.getInt16(at, true) / 32768,
  "1:24": (view, at) => (view.getUint16(at, true) + view.getInt8(at + 2) * 65536) / 8388608,
  "1:32": (view, at) => view.getInt32(at, true) / 2147483648,
  "3:32": (view, at) => view.getFloat32(at, true),
};

/**
 * @param {ArrayBuffer} buffer a file of any kind.
 * @returns {{channels: Float32Array[], rate: number}|null} null where it is no WAV file of plain samples.
 */
export function samplesOfWav(buffer) {
  const view = new DataView(buffer), word = (at) => String.fromCharCode(...new Uint8Array(buffer, at, 4));
  if (buffer.byteLength < 44 || word(0) !== "RIFF" || word(8) !== "WAVE") return null;
  let format = null;
  for (let at = 12; at + 8 <= buffer.byteLength; ) {
    const size = view.getUint32(at + 4, true), body = at + 8;
    if (word(at) === "fmt " && body + 16 <= buffer.byteLength) {
      const told = view.getUint16(body, true), kind = told === EXTENSIBLE && size >= 26 ? view.getUint16(body + 24, true) : told;
      format = { kind, count: view.getUint16(body + 2, true), rate: view.getUint32(body + 4, true), bits: view.getUint16(body + 14, true) };
    }
    if (word(at) === "data") return format && samplesOf(view, body, Math.min(size, buffer.byteLength - body), format);
    at = body + size + (size % 2);
  }
  return null;
}

function samplesOf(view, begin, size, { kind, count, rate, bits }) {
  const read = [PCM, FLOAT].includes(kind) && READERS[`${kind}:${bits}`], step = bits / 8;
  if (!read || count < 1 || count > 64 || rate < 1000 || rate > 1e6) return null;
  const length = Math.floor(size / (step * count));
  const channels = Array.from({ length: count }, (_, c) => (
    Float32Array.from({ length }, (_, k) => read(view, begin + (k * count + c) * step))
  ));
  return { channels, rate };
}
