import { join } from "node:path";
import { SetupError } from "../errors.ts";
import { projectRoot, runPaths } from "../paths.ts";
import { runTool } from "./tool.ts";

/**
 * Writes results/RUN/report.html, in a process of its own: it reads images and tables with packages
 * that the command itself does without.
 *
 * @param stopped Why the run ended early; `null`: it did not.
 * @throws {SetupError} When the page could not be made.
 */
export async function writeReport(run: string, stopped: string | null): Promise<void> {
  const script = join(projectRoot, "lib/notebook/report/main.ts");
  try {
    const args = ["run", "-A", "--no-check", script, run, ...(stopped === null ? [] : [stopped])];
    await runTool(Deno.execPath(), args, { cwd: projectRoot });
  } catch (cause) {
    throw new SetupError(
      `${runPaths(run).report} could not be made: ${
        cause instanceof Error ? cause.message : cause
      }`,
      "The executed notebooks beside it are complete; run again for the page.",
      { cause },
    );
  }
}
