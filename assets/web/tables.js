// Motions from tables: saved motion tracks, and ARKit's 52 curves as Live Link Face writes them (gaussavatar/motion/sheet.py,
// motion/arkit.py and avatar/arkit.py).

import { backAndForth } from "./motion.js";
import { betweenPoses, meanPose, poseOfNumbers, turnedBy } from "./rotations.js";

const SHAPES = (
  "browDownLeft browDownRight browInnerUp browOuterUpLeft browOuterUpRight cheekPuff cheekSquintLeft cheekSquintRight " +
  "eyeBlinkLeft eyeBlinkRight eyeLookDownLeft eyeLookDownRight eyeLookInLeft eyeLookInRight eyeLookOutLeft " +
  "eyeLookOutRight eyeLookUpLeft eyeLookUpRight eyeSquintLeft eyeSquintRight eyeWideLeft eyeWideRight jawForward jawLeft " +
  "jawOpen jawRight mouthClose mouthDimpleLeft mouthDimpleRight mouthFrownLeft mouthFrownRight mouthFunnel mouthLeft " +
  "mouthLowerDownLeft mouthLowerDownRight mouthPressLeft mouthPressRight mouthPucker mouthRight mouthRollLower " +
  "mouthRollUpper mouthShrugLower mouthShrugUpper mouthSmileLeft mouthSmileRight mouthStretchLeft mouthStretchRight " +
  "mouthUpperUpLeft mouthUpperUpRight noseSneerLeft noseSneerRight tongueOut"
).split(" ");
const HEAD = ["headYaw", "headPitch", "headRoll"];
const POSE = ["yaw_degrees", "pitch_degrees", "roll_degrees", "x_metres", "y_metres", "z_metres"];
const TIMES = ["timecode", "time", "seconds", "timestamp"], RATES = [24, 25, 30, 48, 50, 60, 120];
const MOST_FRAMES = 200_000;

/** Frames of a motion, and what lies between them. */
class Motion {
  /** @param {number} fps @param {{codes: Float32Array[], upper: Float32Array[], pose: ?Float32Array[], place: ?number[]}} rows */
  constructor(fps, rows) {
    Object.assign(this, { fps, rows, frames: rows.codes.length });
  }

  /** How the person is after some seconds, linear between the middles of frames; see `Person.frameAt`. */
  at(seconds) {
    const place = Math.min(Math.max(seconds * this.fps - 0.5, 0), this.frames - 1), k = Math.floor(place);
    const next = Math.min(k + 1, this.frames - 1), share = place - k, { codes, upper, pose, place: places } = this.rows;
    const mixed = (rows) => rows[k].map((value, j) => value + share * (rows[next][j] - value));
    return {
      codes: mixed(codes), upper: mixed(upper),
      pose: pose && betweenPoses(pose[k], pose[next], share), place: places?.[Math.round(place)] ?? null,
    };
  }
}

/**
 * The motion in a table's text: a saved motion track, or ARKit's curves.
 * @param {string} text CSV whose first line names the columns. @param {Gsa} gsa the avatar that is to move.
 * @returns {Motion} for `Person.play`.
 */
export function motionOfTable(text, gsa) {
  const table = new Table(text);
  if (table.has("mouth_0") || table.has("place")) return motionOfSheet(table, gsa);
  const curves = curvesOfTable(table);
  return motionOfCurves(curves, gsa);
}

/** A header and rows of cells. */
class Table {
  constructor(text) {
    const lines = text.replace(/^\ufeff/, "").split(/\r\n|\r|\n/).filter((line) => line.replace(/[,;\t ]/g, ""));
    const told = /^sep=(.)/i.exec(lines[0] ?? "");
    if (told) lines.shift();
    const count = (mark) => (lines[0] ?? "").split(mark).length;
    this.mark = told?.[1] ?? [",", ";", "\t"].reduce((best, mark) => (count(mark) > count(best) ? mark : best));
    if (lines.length < 2) throw new Error("This table has no rows.");
    if (lines.length > MOST_FRAMES) throw new Error(`This table has more than ${MOST_FRAMES} rows.`);
    const cells = (line) => line.split(this.mark).map((cell) => cell.trim().replace(/^"(.*)"$/, "$1").trim());
    this.header = cells(lines[0]);
    this.rows = lines.slice(1).map(cells);
  }

  has(name) {
    return this.header.includes(name);
  }

  texts(name) {
    const column = this.header.indexOf(name);
    return this.rows.map((row) => row[column] ?? "");
  }

  /** A column as finite numbers; a decimal comma counts where commas part no cells. */
  numbers(name) {
    if (!this.has(name)) throw new Error(`This table has no column ${name}.`);
    return this.texts(name).map((text, row) => {
      const plain = text.replace("\u2212", "-"), value = Number(this.mark === "," ? plain : plain.replace(",", "."));
      if (text === "" || !Number.isFinite(value)) throw new Error(`This table has no number in column ${name}, row ${row + 2}.`);
      return value;
    });
  }

  /** Rows of some columns. */
  matrix(names) {
    const columns = names.map((name) => this.numbers(name));
    return this.rows.map((_, row) => Float32Array.from(columns, (column) => column[row]));
  }
}

function motionOfSheet(table, gsa) {
  const { identity, upper_names: names } = gsa.meta, width = gsa.shape("drive.closed")[0];
  const strange = () => new Error("This motion was made by another avatar.");
  const said = table.has("avatar") ? table.texts("avatar").map((text) => text.replace(/^avatar/, "").trim()).filter(Boolean) : [];
  if (identity && said.some((name) => name !== identity)) throw strange();
  const mouth = Array.from({ length: width }, (_, k) => `mouth_${k}`);
  const own = table.header.filter((name) => name.startsWith("upper_"));
  if (!mouth.every((name) => table.has(name)) || table.has(`mouth_${width}`) || own.length !== names.length) throw strange();
  const numbered = own.every((name, k) => name === `upper_${k}`);
  const upper = numbered ? own : names.map((name) => `upper_${name}`);
  const [fps] = table.has("fps") ? table.numbers("fps") : [gsa.meta.fps], filmed = gsa.shape("track.upper")[0];
  if (!(fps >= 1 && fps <= 1000)) throw new Error(`This motion has ${fps} frames per second.`);
  const places = table.numbers("place"), numbers = POSE.map((name) => table.numbers(name));
  if (!places.every((place) => Number.isInteger(place) && place >= 0 && place < filmed)) throw strange();
  const pose = places.map((_, row) => poseOfNumbers(numbers.map((column) => column[row])));
  return new Motion(fps, { codes: table.matrix(mouth), upper: table.matrix(upper), pose, place: places });
}

const key = (name) => name.trim().split(".").at(-1).replace(/_L$/, "Left").replace(/_R$/, "Right").toLowerCase().replace(/[^a-z]/g, "");

/** Curves of a table: `values` of the 52 shapes in every frame, `head` yaw, pitch and roll in radians or null, `fps`. */
function curvesOfTable(table) {
  const found = new Map(table.header.map((name) => [key(name), name])), column = (name) => found.get(key(name));
  const shapes = SHAPES.map((name, k) => [k, column(name)]).filter(([, name]) => name !== undefined);
  if (shapes.length < 8 || !column("jawOpen")) throw new Error("This table holds neither a saved motion nor ARKit's curves.");
  const columns = shapes.map(([k, name]) => [k, table.numbers(name)]);
  const largest = Math.max(...columns.map(([, values]) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0)));
  if (largest > 200) throw new Error(`These curves go up to ${largest}, not to 1 or 100.`);
  const scale = largest > 3 ? 0.01 : 1, { seconds, fps } = timesOf(table, found);
  let values = table.rows.map(() => new Float32Array(SHAPES.length));
  for (const [k, numbers] of columns) numbers.forEach((value, row) => (values[row][k] = value * scale));
  let head = HEAD.every(column) ? table.matrix(HEAD.map(column)) : null;
  if (head?.some((turn) => turn.some((value) => Math.abs(value) > 1.6))) head = head.map((turn) => turn.map((value) => (value * Math.PI) / 180));
  const positions = seconds.map((moment) => (moment - seconds[0]) * fps);
  if (positions.some((place, k) => Math.abs(place - k) > 0.25)) {
    // Frames that a phone dropped are filled, so that the rest stays in time with the sound.
    values = filled(values, positions);
    head = head && filled(head, positions);
  }
  return { values, head, fps };
}

function filled(rows, positions) {
  const count = Math.min(Math.round(positions.at(-1)) + 1, MOST_FRAMES);
  let after = 0;
  return Array.from({ length: count }, (_, frame) => {
    while (after < positions.length - 1 && positions[after] < frame) after++;
    const before = Math.max(after - 1, 0), gap = positions[after] - positions[before];
    const share = gap > 0 ? Math.min(Math.max((frame - positions[before]) / gap, 0), 1) : 1;
    return rows[before].map((value, k) => value + share * (rows[after][k] - value));
  });
}

function timesOf(table, found) {
  if (table.has("fps")) {
    const fps = table.numbers("fps")[0];
    if (!(fps >= 1 && fps <= 1000)) throw new Error(`These curves have ${fps} frames per second.`);
    return { seconds: table.rows.map((_, k) => k / fps), fps };
  }
  const name = TIMES.map((known) => found.get(known)).find((known) => known !== undefined);
  if (!name) throw new Error("These curves do not say when: a column Timecode or fps is missing.");
  const seconds = table.texts(name)[0].includes(":") ? secondsOfTimecodes(table.texts(name)) : table.numbers(name);
  if (seconds.some((moment, k) => k > 0 && moment <= seconds[k - 1])) throw new Error("The rows of these curves are not in the order of time.");
  return { seconds, fps: rateOf(seconds) };
}

function rateOf(seconds) {
  if (seconds.length < 2) return 30;
  const steps = seconds.slice(1).map((moment, k) => moment - seconds[k]).sort((a, b) => a - b), half = steps.length >> 1;
  const rate = 1 / (steps.length % 2 ? steps[half] : (steps[half - 1] + steps[half]) / 2);
  const usual = RATES.reduce((best, known) => (Math.abs(known - rate) < Math.abs(best - rate) ? known : best));
  return Math.abs(usual - rate) < 0.03 * usual ? usual : rate;
}

/** Seconds of `HH:MM:SS:FF.ff` or `HH:MM:SS.ss`; how many frames make a second is seen where it wraps. */
function secondsOfTimecodes(texts) {
  const parts = texts.map((text) => {
    const fields = /^(\d+):(\d+):(\d+(?:[.,]\d+)?)(?:[:;](\d+(?:[.,]\d+)?))?$/.exec(text);
    if (!fields) throw new Error(`${text.slice(0, 20)} is no timecode.`);
    return fields.slice(1).map((field) => Number((field ?? "0").replace(",", ".")));
  });
  const whole = parts.map(([hours, minutes, seconds]) => hours * 3600 + minutes * 60 + seconds);
  const most = parts.reduce((top, [, , , frames]) => Math.max(top, frames), 0);
  if (most === 0) return whole;
  const wrapped = whole.some((second, k) => k > 0 && second > whole[k - 1]);
  const known = RATES.find((rate) => most < rate);
  // Less than a second: phones count sixty.
  const rate = wrapped && known ? known : Math.max([30, 60, 120].find((rate) => most < rate) ?? 120, wrapped ? 0 : 60);
  return whole.map((second, k) => second + parts[k][3] / rate);
}

/** Mouth codes and upper face of curves by the person's own map; beyond what the clip showed the mouth goes ever slower. */
function motionOfCurves({ values, head, fps }, gsa) {
  if (!gsa.has("arkit.mouth")) throw new Error("This avatar has no map from ARKit's curves: fit it again.");
  const m = gsa.shape("drive.closed")[0], u = gsa.shape("drive.rest_upper")[0], n = SHAPES.length;
  const read = (name, shape) => gsa.array(`arkit.${name}`, shape);
  const map = {
    restCodes: read("rest_codes", [m]), restUpper: read("rest_upper", [u]), mouth: read("mouth", [n, m]), upper: read("upper", [n, u]),
    mean: read("mean", [m]), whiten: read("whiten", [m, m]), reach: read("reach", [2]),
  };
  const clipped = values.map((row) => row.map((value) => Math.min(Math.max(value, -0.2), 1.5)));
  const moved = (row, rest, by) => rest.map((value, j) => row.reduce((sum, shape, k) => sum + shape * by[k * rest.length + j], value));
  const codes = clipped.map((row) => softlyWithin(moved(row, map.restCodes, map.mouth), map));
  const upper = clipped.map((row) => moved(row, map.restUpper, map.upper).map((value) => Math.min(Math.max(value, -1.5), 1.5)));
  return new Motion(fps, { codes, upper, pose: head && posesOfHead(head, fps, gsa), place: null });
}

function softlyWithin(codes, { mean, whiten, reach: [near, far] }) {
  const moved = codes.map((value, k) => value - mean[k]), m = moved.length;
  let square = 0;
  for (let j = 0; j < m; j++) square += moved.reduce((sum, value, k) => sum + value * whiten[k * m + j], 0) ** 2;
  const away = Math.max(Math.sqrt(square), 1e-9), room = Math.max(far - near, 1e-6);
  const kept = away <= near ? away : near + room * Math.tanh((away - near) / room);
  return moved.map((value, k) => mean[k] + (value * kept) / away);
}

/** The head's turns about their median, about the mean pose of as long a stretch of the filmed track. */
function posesOfHead(head, fps, gsa) {
  const turns = head.map(([yaw, pitch, roll]) => [pitch, -yaw, -roll]), half = turns.length >> 1;
  const middle = [0, 1, 2].map((k) => {
    const sorted = turns.map((turn) => turn[k]).sort((a, b) => a - b);
    return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
  });
  const track = gsa.array("track.pose"), places = backAndForth(gsa.shape("track.pose")[0]);
  const filmed = Array.from({ length: Math.max(1, Math.round((head.length / fps) * gsa.meta.fps)) }, (_, k) => places[k % places.length]);
  const mean = meanPose(filmed.map((place) => track.subarray(12 * place, 12 * place + 12)));
  return turns.map((turn) => turnedBy(mean, turn.map((value, k) => value - middle[k])));
}
