import { createHash } from "node:crypto";
import { ProjectError, reasonOf, SetupError } from "../lib/core/errors.ts";
import { writeAtomic } from "../lib/core/files.ts";
import { duration, type StatusLine } from "../lib/core/terminal.ts";

/** One step of the set-up. It may be interrupted anywhere and started again. */
export interface Step {
  name: string; // what it sets up, in a few words
  remedy: string; // what to do when it fails
  /** A quick look at whether there is nothing to do. */
  isDone(): Promise<boolean>;
  /** Does it, or goes on with it; `report` says what it is doing. */
  run(report: (line: string) => void): Promise<void>;
}

/** What the running steps are doing, by their names. */
const running = new Map<string, string>();

/**
 * Runs steps one after another where there is something to do, and prints a line for each: what,
 * and how long it took. Two lists of steps may run at the same time on one status line.
 *
 * @throws {SetupError} Naming the step, why it failed (a tool's last lines) and what to do.
 */
export async function runSteps(steps: readonly Step[], status: StatusLine): Promise<void> {
  for (const step of steps) {
    const start = performance.now();
    const elapsed = () => duration(performance.now() - start);
    const name = step.name.padEnd(20);
    if (await step.isDone()) {
      status.print(`set-up  ${name} ready`);
      continue;
    }
    let doing = "started";
    const show = () => {
      running.set(step.name, `${step.name} ${elapsed()}  ${doing}`);
      status.update(`set-up  ${[...running.values()].join("; ")}`);
    };
    show();
    const ticking = setInterval(show, 1000);
    try {
      await step.run((line) => {
        doing = line.trim();
        show();
      });
    } catch (cause) {
      status.print(`set-up  ${name} failed (${elapsed()})`);
      throw new SetupError(
        `The set-up step "${step.name}" failed: ${reasonOf(cause)}`,
        cause instanceof ProjectError ? cause.remedy : step.remedy,
        { cause },
      );
    } finally {
      clearInterval(ticking);
      running.delete(step.name);
    }
    status.print(`set-up  ${name} done (${elapsed()})`);
  }
}

/**
 * SHA-256 over several texts, in hexadecimal. Each is preceded by its length, so that no two
 * different lists run together into the same hash.
 */
export function digest(parts: readonly string[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(`${new TextEncoder().encode(part).length}:${part}`);
  return hash.digest("hex");
}

/**
 * Whether a step left this stamp: its inputs are then what they were when it last came to its end.
 * A missing or unreadable stamp is no stamp.
 */
export async function hasStamp(path: string, stamp: string): Promise<boolean> {
  return await Deno.readTextFile(path).catch(() => null) === stamp;
}

/** Leaves a stamp: the last thing that a step does, so that an interrupted one has none. */
export async function writeStamp(path: string, stamp: string): Promise<void> {
  await writeAtomic(path, stamp);
}
