// Draws an avatar over a torso's card and a plate, with the kernels and without: cards.mjs FILE; prints how far apart the
// two are, in dB and at most, and how much the pixels of the first differ among each other.
import { readFileSync } from "node:fs";
import { branchOf } from "../../assets/web/blend.js";
import { readGsa } from "../../assets/web/gsa.js";
import { Painter } from "../../assets/web/worker.js";

const bytes = readFileSync(process.argv[2]), gsa = await readGsa(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
const branch = (name) => (gsa.meta.branches[name] ? branchOf(gsa, name) : null), branches = { face: branch("face"), mouth: branch("mouth") };
const { WebAssembly } = globalThis, both = [WebAssembly, undefined].map((has) => ((globalThis.WebAssembly = has), { has, painter: new Painter(branches) }));
const size = 120, wave = (height, kind) => {
  const pixels = new Uint8ClampedArray(4 * size * height);
  for (let i = 0; i < pixels.length; i++) pixels[i] = 128 + 127 * Math.sin((i % 4) + (i >> 2) * 0.11 + kind * Math.sin(i / 4000));
  return { pixels, width: size, height: size, matte: height - size };
};
const torso = wave(2 * size, 3), plate = wave(size, 5), [fx, , cx, , fy, cy] = gsa.array("camera.K"), codes = new Float32Array(64);
// Above the chest there is no torso; below it hides everything.
for (let i = 0; i < 4 * size * size; i++) torso.pixels[4 * size * size + i] = Math.min(Math.max((i / (4 * size) - 60) * 20, 0), 255);
const maps = { same: [1, 0, 0, 0, 1, 0, 0, 0, 1], half: [0.5, 0, 3, 0, 0.5, -7, 0, 0, 1], turned: [1.3, 0.1, -30, -0.05, 1.2, 9, 1e-4, -2e-4, 1.02] };
for (const [width, height] of [[120, 120], [97, 64]]) {
  for (const map of Object.values(maps)) {
    for (const under of [{ torso, plate }, { torso, plate: null, color: [0.9, 0.3, 0.1] }, { torso: { ...torso, matte: 0 }, plate }, { torso, plate: null }]) {
      const pictures = both.map(({ has, painter }) => {
        globalThis.WebAssembly = has;
        const cards = Object.fromEntries(["torso", "plate"].map((name) => [name, under[name] && { ...under[name], map }]));
        const scale = width / gsa.meta.size, K = { fx: fx * scale, fy: fy * scale, cx: cx * scale, cy: cy * scale }, pose = gsa.array("track.pose").subarray(0, 12);
        return painter.paint({ codes, pose, view: pose, K, width, height, under: { color: null, ...under, ...cards } }).pixels;
      });
      let most = 0, square = 0, low = 255, high = 0;
      pictures[0].forEach((value, i) => {
        const off = Math.abs(value - pictures[1][i]);
        // Colours of a pixel that is hardly there mean nothing.
        if (pictures[0][i | 3] < 8) return;
        most = Math.max(most, off), square += off * off, low = Math.min(low, value), high = Math.max(high, value);
      });
      console.log(JSON.stringify({ most, psnr: 10 * Math.log10(65025 / Math.max(square / pictures[0].length, 1e-9)), spread: high - low, kernels: Boolean(both[0].painter.easel) }));
    }
  }
}
