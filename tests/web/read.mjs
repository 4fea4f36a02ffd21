// Reads avatar files as a page does: read.mjs FILE... One line each: the message, or the names of the sections.
import { readFileSync } from "node:fs";
import { readGsa } from "../../assets/web/gsa.js";

for (const file of process.argv.slice(2)) {
  const bytes = readFileSync(file), started = performance.now();
  let answer;
  try {
    const gsa = await readGsa(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
    const sum = (name) => gsa.array(name).reduce((total, value) => total + value, 0);
    answer = { sums: Object.fromEntries([...gsa.sections.keys()].map((name) => [name, sum(name)])) };
  } catch (error) {
    answer = { error: error instanceof Error ? error.message : "not an Error" };
  }
  console.log(JSON.stringify({ ...answer, ms: performance.now() - started, rss: process.memoryUsage().rss }));
}
process.exit(0);
