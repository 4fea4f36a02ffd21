// How a person moves on a page: motion.mjs AVATAR JOBS; one line of JSON per job.
import { readFileSync } from "node:fs";
import { Person } from "../../assets/web/motion.js";
import { motionOfTable } from "../../assets/web/tables.js";
import { readArrays } from "./arrays.mjs";

const [avatar, jobs] = process.argv.slice(2), gsa = readArrays(avatar);
const plain = ({ codes, upper, pose, place, own }) => ({ codes: [...codes], upper: [...upper], pose: [...pose], place, own });

const TASKS = {
  /** Frames at moments; `codes` from a moment on until another, else silence. */
  frames({ seed, seconds, speak }) {
    const person = new Person(gsa, seed);
    return seconds.map((moment) => plain(person.frameAt(moment, speak && moment >= speak.from && moment < speak.to ? speak.codes : null)));
  },
  /** A table's frames at moments after some seconds of silence. */
  table({ path, seconds, before = 0 }) {
    const motion = motionOfTable(readFileSync(path, "utf8"), gsa), person = new Person(gsa, 1);
    person.frameAt(before, null);
    person.play(motion);
    const frames = seconds.map((moment) => plain(person.frameAt(before + moment, null)));
    return { frames, count: motion.frames, fps: motion.fps, playing: person.playing };
  },
};

for (const job of JSON.parse(readFileSync(jobs))) {
  let answer;
  try {
    answer = TASKS[job.task](job);
  } catch (error) {
    answer = { error: error.message };
  }
  console.log(JSON.stringify(answer));
}
