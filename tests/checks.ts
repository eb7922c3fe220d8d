import { projectRoot } from "../lib/core/paths.ts";
import { textLines } from "../lib/core/python.ts";
import { duration } from "../lib/core/terminal.ts";

/** How many checks ended how. */
export interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/** Nothing checked yet. */
export const NONE: Counts = { passed: 0, failed: 0, skipped: 0 };

const PASSED: Counts = { ...NONE, passed: 1 };

/** A single check that did not go well. */
export const FAILED: Counts = { ...NONE, failed: 1 };

/** The sum of two counts. */
export function add(a: Counts, b: Counts): Counts {
  return {
    passed: a.passed + b.passed,
    failed: a.failed + b.failed,
    skipped: a.skipped + b.skipped,
  };
}

/** The closing line: `12 passed, 0 failed`, and `, 1 skipped` where any was. */
export function formatCounts({ passed, failed, skipped }: Counts): string {
  const line = `${passed} passed, ${failed} failed`;
  return skipped > 0 ? `${line}, ${skipped} skipped` : line;
}

/**
 * The counts in what `deno test` printed, from its closing line
 * `FAILED | 2 passed (2 steps) | 1 failed | 1 ignored (67ms)`.
 *
 * @returns null when there is no such line: it then did not get as far as testing.
 */
export function readTestCounts(output: string): Counts | null {
  const line = output.split("\n").findLast((l) => /^(ok|FAILED) \| \d+ passed/.test(l));
  if (line === undefined) return null;
  const number = (what: string) => Number(new RegExp(`\\| (\\d+) ${what}`).exec(line)?.[1] ?? 0);
  return { passed: number("passed"), failed: number("failed"), skipped: number("ignored") };
}

/** Prints the outcome of one check, and its details where it failed. */
export function reportCheck(name: string, counts: Counts, start: number, details = ""): Counts {
  const nothing = counts.passed === 0 && counts.skipped > 0;
  const outcome = counts.failed > 0 ? "FAILED" : nothing ? "skipped" : "ok";
  console.log(`${outcome.padEnd(8)}${name}  (${duration(performance.now() - start)})`);
  if (counts.failed > 0 && details !== "") console.log(details.replace(/^/gm, "        "));
  return counts;
}

/** Prints the outcome of one check: it failed if there are faults. */
export function reportFaults(name: string, start: number, faults: readonly string[]): Counts {
  return reportCheck(name, faults.length === 0 ? PASSED : FAILED, start, faults.join("\n"));
}

/** Runs a Deno command in the project as one check; its output is shown when it fails. */
export async function checkDeno(name: string, args: readonly string[]): Promise<Counts> {
  const start = performance.now();
  const { success, output } = await runDeno(args);
  return reportFaults(name, start, success ? [] : [output]);
}

/** Runs a Deno command in the project and returns what it printed; `onLine` has it as it comes. */
export async function runDeno(
  args: readonly string[],
  onLine?: (line: string) => void,
): Promise<{ success: boolean; output: string }> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [...args],
    cwd: projectRoot,
    env: { NO_COLOR: "1", TF_CPP_MIN_LOG_LEVEL: "2", INIT_CWD: projectRoot },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const lines: string[] = [];
  const collect = async (stream: ReadableStream<Uint8Array>) => {
    for await (const line of textLines(stream)) {
      onLine?.(line);
      lines.push(line);
    }
  };
  const reading = [collect(child.stdout), collect(child.stderr)];
  const [{ success }] = await Promise.all([child.status, ...reading]);
  return { success, output: lines.join("\n").trim() };
}
