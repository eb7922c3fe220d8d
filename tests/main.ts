import { join } from "node:path";
import { projectRoot } from "../lib/core/paths.ts";
import { duration, runMain } from "../lib/core/terminal.ts";
import { setUp } from "../tools/setup.ts";
import { add, checkDeno, type Counts, FAILED, formatCounts, NONE, reportCheck } from "./checks.ts";
import { runUnitTests } from "./unit_tests.ts";

/**
 * `deno task test`: set up, then every check there is. A failing one does not keep the later ones
 * from running; the last line counts them.
 *
 * @returns The exit code.
 */
async function test(): Promise<number> {
  const start = performance.now();
  await setUp({ sampleImages: false });
  const notebooks = await listNotebooks();
  const parts: (() => Promise<Counts>)[] = [
    () => checkDeno("formatting", ["fmt", "--check", "--ignore=notebooks"]),
    () => checkDeno("lint", ["lint"]),
    () => checkDeno("types", ["check"]),
    async () => {
      const { checkFormat }: typeof import("./notebooks/check_format.ts") = await later(
        "check_format",
      );
      return await checkFormat(notebooks);
    },
    async () => {
      const { checkCells }: typeof import("./notebooks/check_cells.ts") = await later(
        "check_cells",
      );
      return await checkCells(notebooks);
    },
    runUnitTests,
    async () => {
      const { checkRun }: typeof import("./notebooks/check_run.ts") = await later("check_run");
      return await checkRun(notebooks);
    },
  ];
  // Ctrl-C ends what is running, which then clears up behind itself.
  let interrupted = false;
  Deno.addSignalListener("SIGINT", () => interrupted = true);
  let counts = NONE;
  for (const part of parts) {
    if (!interrupted) counts = add(counts, await survive(part));
  }
  console.log(`\nFinished in ${duration(performance.now() - start)}.`);
  console.log(formatCounts(counts));
  return counts.failed === 0 && !interrupted ? 0 : 1;
}

/** A part that breaks off is a failed check, not the end of all others. */
async function survive(part: () => Promise<Counts>): Promise<Counts> {
  const start = performance.now();
  try {
    return await part();
  } catch (error) {
    const details = error instanceof Error ? error.stack ?? error.message : String(error);
    return reportCheck("a part of the tests broke off", FAILED, start, details);
  }
}

/** Imports what needs packages, which were not there when this module was loaded. */
async function later<T>(name: string): Promise<T> {
  return await import(import.meta.resolve(`./notebooks/${name}.ts`));
}

async function listNotebooks(): Promise<string[]> {
  const { listNotebooks }: typeof import("../tools/notebooks.ts") = await import(
    import.meta.resolve("../tools/notebooks.ts")
  );
  return await listNotebooks(join(projectRoot, "notebooks"));
}

if (import.meta.main) await runMain(test);
