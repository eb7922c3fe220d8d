import { join } from "node:path";
import { parseConfig } from "../config.ts";
import { readJson } from "../files.ts";
import { fromRoot, projectRoot, runPaths } from "../paths.ts";
import { buildOverrides } from "./overrides.ts";
import { writeReport } from "./report.ts";
import { runNotebooks } from "./run_notebooks.ts";
import type { RunOptions } from "./run_options.ts";
import { isSynthetic } from "./sample_set.ts";
import { duration } from "./status_line.ts";
import { formatSummary, readSummary } from "./summary.ts";

/** Exit code of a command that Ctrl-C stopped. */
const INTERRUPTED = 130;

/**
 * Executes the notebooks, writes the report (also of a run that failed) and prints the summary.
 *
 * @returns The exit code.
 * @throws {NotebookError} When a cell failed.
 */
export async function runAndSummarise(options: RunOptions): Promise<number> {
  const start = performance.now();
  const { input, config } = buildOverrides(options);
  const paths = runPaths(config.run);
  const stop = new AbortController();
  const onInterrupt = () => stop.abort();
  Deno.addSignalListener("SIGINT", onInterrupt);
  Deno.addSignalListener("SIGTERM", onInterrupt);
  try {
    await runNotebooks({
      folder: join(projectRoot, "notebooks"),
      run: config.run,
      from: options.from,
      to: options.to,
      overrides: input,
      signal: stop.signal,
    });
  } catch (error) {
    // The page shows how far it came; should it fail too, the first error is the one to tell.
    const why = error instanceof Error ? error.message : String(error);
    await writeReport(config.run, why).catch(() => {});
    throw error;
  } finally {
    Deno.removeSignalListener("SIGINT", onInterrupt);
    Deno.removeSignalListener("SIGTERM", onInterrupt);
  }
  if (stop.signal.aborted) {
    console.log(`\nStopped. What was done so far is in ${paths.results}.`);
    return INTERRUPTED;
  }
  await writeReport(config.run, null);
  const summary = await readSummary(config.run, paths, {
    synthetic: await isSynthetic(await dataFolder(paths.config)),
    executed: { from: options.from, to: options.to },
  });
  console.log(formatSummary(summary));
  console.log(`\nFinished in ${duration(performance.now() - start)}.`);
  return 0;
}

/** The data folder of the config in force, which the notebooks have written. */
async function dataFolder(configPath: string): Promise<string> {
  const config = parseConfig(await readJson(configPath, "Run again from notebook 01."));
  return fromRoot(config.data.folder);
}
