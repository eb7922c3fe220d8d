import { join } from "node:path";
import { projectRoot } from "../lib/core/paths.ts";
import { add, type Counts, FAILED, NONE, readTestCounts, reportCheck, runDeno } from "./checks.ts";

/**
 * Rooms whose tests take longest, first, so that no long one is left to the end alone. All others
 * follow.
 */
const LONG = ["training", "model", "evaluation", "metrics"];

/** Rooms that are tested side by side: most tests keep one core busy, or wait for Python. */
const SIDE_BY_SIDE = 2;

/**
 * Runs every `*_test.ts`, a process for each room, two at a time; shows what `deno test` prints when
 * a room is done, and counts each test.
 */
export async function runUnitTests(): Promise<Counts> {
  const waiting = await listRooms();
  let counts = NONE;
  const work = async (): Promise<void> => {
    for (let room = waiting.shift(); room; room = waiting.shift()) {
      const own = await testRoom(room.name, room.paths); // before the sum is read: the other one adds to it meanwhile
      counts = add(counts, own);
    }
  };
  await Promise.all(Array.from({ length: SIDE_BY_SIDE }, work));
  return counts;
}

async function listRooms() {
  const entries = await Array.fromAsync(Deno.readDir(join(projectRoot, "tests")));
  const folders = entries.filter(({ isDirectory }) => isDirectory).map(({ name }) => name).sort();
  const rooms = [...LONG, ...folders.filter((name) => !LONG.includes(name))];
  const files = entries.map(({ name }) => name).filter((name) => name.endsWith("_test.ts")).sort();
  return [
    ...rooms.map((name) => ({ name, paths: [`tests/${name}/`] })),
    { name: "all rooms", paths: files.map((name) => `tests/${name}`) },
  ];
}

async function testRoom(name: string, paths: readonly string[]): Promise<Counts> {
  const start = performance.now();
  const { success, output } = await runDeno(["test", "-A", "--no-check", ...paths]); // types: before
  console.log(`\n${output}`);
  const counts = readTestCounts(output) ?? FAILED;
  // A run that ends badly has failed, whatever it counted.
  const failed = success ? counts.failed : Math.max(1, counts.failed);
  return reportCheck(`tests of ${name}`, { ...counts, failed }, start);
}
