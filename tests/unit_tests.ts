import { join } from "node:path";
import { projectRoot } from "../lib/core/paths.ts";
import { textLines } from "../lib/core/terminal.ts";
import { add, type Counts, FAILED, NONE, readTestCounts, reportCheck } from "./checks.ts";

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
      const own = await testRoom(room); // before the sum is read: the other one adds to it meanwhile
      counts = add(counts, own);
    }
  };
  await Promise.all(Array.from({ length: SIDE_BY_SIDE }, work));
  return counts;
}

/** A name, and what `deno test` is to be told. */
interface Room {
  name: string;
  paths: string[];
}

async function listRooms(): Promise<Room[]> {
  const entries = await Array.fromAsync(Deno.readDir(join(projectRoot, "tests")));
  const folders = entries.filter(({ isDirectory }) => isDirectory).map(({ name }) => name).sort();
  const [first, rest] = [LONG, folders.filter((name) => !LONG.includes(name))];
  const files = entries.map(({ name }) => name).filter((name) => name.endsWith("_test.ts")).sort();
  return [
    ...[...first, ...rest].map((name) => ({ name, paths: [`tests/${name}/`] })),
    { name: "all rooms", paths: files.map((name) => `tests/${name}`) },
  ];
}

async function testRoom({ name, paths }: Room): Promise<Counts> {
  const start = performance.now();
  const child = new Deno.Command(Deno.execPath(), {
    // Types have been checked before.
    args: ["test", "-A", "--no-check", ...paths],
    cwd: projectRoot,
    env: { NO_COLOR: "1", TF_CPP_MIN_LOG_LEVEL: "2" },
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const lines = await Array.fromAsync(textLines(child.stdout));
  const { success } = await child.status;
  const output = lines.join("\n");
  console.log(`\n${output}`);
  const counts = readTestCounts(output) ?? FAILED;
  // A run that ends badly has failed, whatever it counted.
  const failed = success ? counts.failed : Math.max(1, counts.failed);
  return reportCheck(`tests of ${name}`, { ...counts, failed }, start);
}
