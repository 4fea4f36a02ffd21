// Draws frames of an avatar file in node: draw.mjs FILE JOBS [plain], where JOBS is JSON of {codes, upper, pose, view?, side,
// color, out}; the picture goes to `out` as 8-bit RGBA. Prints what drew it; `plain` is without WebAssembly.
import { readFileSync, writeFileSync } from "node:fs";
import { branchOf } from "../../assets/web/blend.js";
import { readGsa } from "../../assets/web/gsa.js";
import { Painter } from "../../assets/web/worker.js";

const [file, jobs, plain] = process.argv.slice(2), bytes = readFileSync(file);
if (plain) globalThis.WebAssembly = undefined;
const gsa = await readGsa(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
const branch = (name) => (gsa.meta.branches[name] ? branchOf(gsa, name) : null);
const painter = new Painter({ face: branch("face"), mouth: branch("mouth") });
const [fx, , cx, , fy, cy] = gsa.array("camera.K");
for (const job of JSON.parse(readFileSync(jobs, "utf-8"))) {
  const scale = job.side / gsa.meta.size, K = { fx: fx * scale, fy: fy * scale, cx: cx * scale, cy: cy * scale };
  const codes = Float32Array.from([...job.codes, ...job.upper]);
  const frame = { codes, pose: job.pose, view: job.view ?? job.pose, K, width: job.side, height: job.side };
  const { pixels } = painter.paint({ ...frame, under: { torso: null, plate: null, color: job.color } });
  console.log(JSON.stringify({ kernels: Boolean(painter.easel && painter.blenders[0].sums) }));
  if (job.out) writeFileSync(job.out, pixels);
}
