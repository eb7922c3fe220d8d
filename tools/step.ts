import { createHash } from "node:crypto";
import { ProjectError, SetupError } from "../lib/core/errors.ts";
import { writeAtomic } from "../lib/core/files.ts";
import { duration, type StatusLine } from "../lib/core/terminal.ts";

/** One step of the set-up. It may be interrupted anywhere and started again. */
export interface Step {
  /** What it sets up, in a few words. */
  name: string;
  /** What to do when it fails. */
  remedy: string;
  /** A quick look at whether there is nothing to do. */
  isDone(): Promise<boolean>;
  /**
   * Does it, or goes on with it.
   *
   * @param report Says what it is doing.
   */
  run(report: (line: string) => void): Promise<void>;
}

/**
 * Runs a step where there is something to do, and prints one line: what, and how long it took.
 *
 * @throws {SetupError} Naming the step, why it failed (a tool's last lines) and what to do.
 */
export async function runStep(step: Step, status: StatusLine): Promise<void> {
  const start = performance.now();
  const elapsed = () => duration(performance.now() - start);
  const name = step.name.padEnd(20);
  if (await step.isDone()) {
    status.print(`set-up  ${name} ready`);
    return;
  }
  let doing = "started";
  const show = () => status.update(`set-up  ${name} ${elapsed()}  ${doing}`);
  show();
  const ticking = setInterval(show, 1000);
  try {
    await step.run((line) => {
      doing = line.trim();
      show();
    });
  } catch (cause) {
    // A step that knows better what to do says so itself.
    const reason = cause instanceof ProjectError
      ? cause.message.split("\n  What to do: ")[0]
      : cause instanceof Error
      ? cause.message
      : String(cause);
    status.print(`set-up  ${name} failed (${elapsed()})`);
    throw new SetupError(
      `The set-up step "${step.name}" failed: ${reason}`,
      cause instanceof ProjectError ? cause.remedy : step.remedy,
      { cause },
    );
  } finally {
    clearInterval(ticking);
  }
  status.print(`set-up  ${name} done (${elapsed()})`);
}

/**
 * SHA-256 over several texts, in hexadecimal. Each is preceded by its length, so that no two
 * different lists run together into the same hash.
 */
export function digest(parts: readonly string[]): string {
  const hash = createHash("sha256");
  for (const part of parts) {
    const bytes = new TextEncoder().encode(part);
    hash.update(`${bytes.length}:`).update(bytes);
  }
  return hash.digest("hex");
}

/**
 * Whether a step left this stamp: its inputs are then what they were when it last came to its end.
 * A missing or unreadable stamp is no stamp.
 */
export async function hasStamp(path: string, stamp: string): Promise<boolean> {
  try {
    return await Deno.readTextFile(path) === stamp;
  } catch {
    return false;
  }
}

/** Leaves a stamp: the last thing that a step does, so that an interrupted one has none. */
export async function writeStamp(path: string, stamp: string): Promise<void> {
  await writeAtomic(path, stamp);
}
