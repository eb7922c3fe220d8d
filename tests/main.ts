import { join } from "node:path";
import { projectRoot } from "../lib/core/paths.ts";
import { duration, runMain } from "../lib/core/terminal.ts";
import { later, setUp } from "../tools/setup.ts";
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
  const { listNotebooks } = await later<typeof import("../tools/notebooks.ts")>(
    "tools/notebooks.ts",
  );
  const notebooks = await listNotebooks(join(projectRoot, "notebooks"));
  type Check = (notebooks: readonly string[]) => Promise<Counts>;
  const check = (name: string, file: string) => async () =>
    await (await later<Record<string, Check>>(`tests/notebooks/${file}.ts`))[name]!(notebooks);
  const parts: (() => Promise<Counts>)[] = [
    () => checkDeno("formatting", ["fmt", "--check", "--ignore=notebooks"]),
    () => checkDeno("lint", ["lint"]),
    () => checkDeno("types", ["check"]),
    check("checkFormat", "check_format"),
    check("checkCells", "check_cells"),
    runUnitTests,
    check("checkRun", "check_run"),
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

if (import.meta.main) await runMain(test);
