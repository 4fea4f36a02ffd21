// What the live page does with what comes: live.mjs unpack FILE..., or live.mjs heard FILE (JSON of calls), a line for each;
// live.mjs drive FILE: under a pretended clock, what the page shows when.
import { readFileSync } from "node:fs";
import { Waiting, unpack } from "../../assets/web/live/frames.js";
import { Drive } from "../../assets/web/live/drive.js";
import { Heard } from "../../assets/web/live/heard.js";

const [what, ...files] = process.argv.slice(2);
const said = (value) => console.log(JSON.stringify(value, (_, one) => (one instanceof Float32Array ? [...one] : one)));
const bytes = (file) => { const data = readFileSync(file); return data.buffer.slice(data.byteOffset, data.byteOffset + data.length); };
const tried = (work) => { try { return work(); } catch (error) { return error instanceof RangeError ? error.message : String(error.stack); } };

if (what === "unpack") files.forEach((file) => said(tried(() => unpack(bytes(file)))));
if (what === "heard") {
  const heard = new Heard();
  for (const [call, ...values] of JSON.parse(readFileSync(files[0]))) said(heard[call](...values) ?? null);
}
if (what === "waiting") {
  const waiting = new Waiting(4);
  for (const [call, value] of JSON.parse(readFileSync(files[0]))) {
    if (call === "take") said(waiting.take(value === "newest" ? waiting.newest : value) ?? null);
    else waiting.put({ index: value, ahead: call === "ahead" }), said(waiting.frames.length);
  }
}
if (what === "drive") {
  const { anchor, latency, steps } = JSON.parse(readFileSync(files[0])), avatar = { meta: {}, follow() {} };
  const drive = new Drive(avatar, () => {});
  const packed = (index) => { const data = new DataView(new ArrayBuffer(32)); data.setUint32(0, index, true), data.setUint16(24, 0x3c00, true); return data.buffer; };
  drive.log = [], drive.latency = latency, drive.clock(anchor);
  const rests = [];
  for (const { now, source, frames } of steps) {
    performance.now = () => now;
    frames.forEach((index) => drive.motion(packed(index)));
    avatar.codes = 0;
    drive.step({ getSynchronizationSources: () => (source ? [{ rtpTimestamp: source[0], timestamp: source[1] }] : []) });
    if (avatar.codes === null) rests.push(now);
  }
  said({ shown: drive.log, rests, lead: drive.lead });
}
