// What a blender does when nothing changes, when the light does, and when the codes do: blend.mjs FILE.
import { readFileSync } from "node:fs";
import { Blender, branchOf, ROWS } from "../../assets/web/blend.js";
import { readGsa } from "../../assets/web/gsa.js";

const bytes = readFileSync(process.argv[2]);
const gsa = await readGsa(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
const poses = gsa.array("track.pose"), pose = (i) => poses.subarray(12 * i, 12 * i + 12);
const blender = new Blender(branchOf(gsa, "mouth")), codes = new Float32Array(blender.branch.codes).fill(0.3);
const same = [blender.update(codes, pose(0)), blender.update(codes, pose(0))];
const before = blender.rows.slice(), light = blender.update(codes, pose(20));
const shared = (row) => before.subarray(0, row * blender.n).every((value, i) => value === blender.rows[i]);
const lightLeftMeans = shared(ROWS.color) && !shared(ROWS.count), mouthOfCodes = blender.update(codes.map((c) => -c), pose(20)) && !shared(3);
console.log(JSON.stringify({ same, light, lightLeftMeans, mouthOfCodes }));
