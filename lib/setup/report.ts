import { join } from "node:path";
import { SetupError } from "../errors.ts";
import { runPaths } from "../paths.ts";
import { listNotebooks } from "./run_notebooks.ts";
import { runTool } from "./tool.ts";
import { venvPython } from "./venv.ts";

/**
 * Writes results/RUN/report.html: all executed notebooks of a run on one page that needs no network
 * and runs no script.
 *
 * @param note Stands on top of it; for what a reader must know first. May be empty.
 * @throws {SetupError} When the page could not be made.
 */
export async function writeReport(run: string, note: string): Promise<void> {
  const paths = runPaths(run);
  const script = join(import.meta.dirname!, "make_report.py");
  const notebooks = await listNotebooks(paths.notebooks);
  try {
    await runTool(venvPython, [script, paths.report, `Run ${run}`, note, ...notebooks]);
  } catch (cause) {
    throw new SetupError(
      `${paths.report} could not be made: ${cause instanceof Error ? cause.message : cause}`,
      "The executed notebooks beside it are complete; run again for the page.",
      { cause },
    );
  }
}
