import { join, relative } from "node:path";
import { merge, parseAssignment, parseConfig, readRunConfig } from "../lib/core/config.ts";
import { readCsv } from "../lib/core/csv.ts";
import { reasonOf, SetupError } from "../lib/core/errors.ts";
import { exists } from "../lib/core/files.ts";
import { fromRoot, isSynthetic, projectRoot, type RunPaths, runPaths } from "../lib/core/paths.ts";
import { runTool } from "../lib/core/python.ts";
import { duration } from "../lib/core/terminal.ts";
import { SYNTHETIC_NOTE } from "../lib/core/words.ts";
import { readMetrics, type Score, SUMMARY_SCORES } from "../lib/run/metrics_file.ts";
import { listNotebooks, runNotebooks } from "./notebooks.ts";
import type { RunOptions } from "./run.ts";

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
    const { from, to } = options;
    const notebooks = await listNotebooks(join(projectRoot, "notebooks"), from, to);
    const overrides = { ...input, run: config.run }; // not the one that a notebook named last
    await runNotebooks(notebooks, config.run, overrides, stop.signal);
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
    return 130; // as a command that Ctrl-C stopped
  }
  await writeReport(config.run, null);
  const { data } = await readRunConfig(config.run); // in force, as the notebooks left it
  const synthetic = await isSynthetic(fromRoot(data.folder));
  console.log(formatSummary(await readSummary(config.run, paths, synthetic, options)));
  console.log(`\nFinished in ${duration(performance.now() - start)}.`);
  return 0;
}

/**
 * The part of the config that the command line gives; `--data`, `--new` and `--run` win over a
 * `--set` of the same field, and a later `--set` over an earlier one.
 *
 * @returns `input`: what goes to the notebooks, only what was asked for; `config`: with all defaults.
 * @throws {ConfigError} For a field that does not exist or a value that cannot be used.
 */
export function buildOverrides(options: Pick<RunOptions, "data" | "new" | "run" | "set">) {
  const named = {
    ...(options.run === undefined ? {} : { run: options.run }),
    ...(options.data === undefined ? {} : { data: { folder: options.data } }),
    ...(options.new === undefined ? {} : { evaluation: { folder: options.new } }),
  };
  const input = [...options.set.map(parseAssignment), named].reduce(merge, {});
  return { input, config: parseConfig(input) };
}

/**
 * Writes results/RUN/report.html, in a process of its own: it reads images and tables with packages
 * that the command itself does without.
 *
 * @param stopped Why the run ended early; `null`: it did not.
 * @throws {SetupError} When the page could not be made.
 */
async function writeReport(run: string, stopped: string | null): Promise<void> {
  const script = join(projectRoot, "lib/show/report.ts");
  const args = ["run", "-A", "--no-check", script, run, ...(stopped === null ? [] : [stopped])];
  await runTool(Deno.execPath(), args, { cwd: projectRoot }).catch((cause) => {
    const file = runPaths(run).report;
    throw new SetupError(
      `${file} could not be made: ${reasonOf(cause)}`,
      "The executed notebooks beside it are complete; run again for the page.",
      { cause, file },
    );
  });
}

/** What a run left behind. */
export type Summary = Awaited<ReturnType<typeof readSummary>>;

/**
 * Reads what a run left. What is not there is left out, and so is what an earlier run left of
 * notebooks that were not executed now: it may belong to another model.
 *
 * @param executed Numbers of the first and the last notebook that were.
 * @throws {DataError} For a file that is there and is damaged.
 */
export async function readSummary(
  run: string,
  paths: RunPaths,
  synthetic: boolean,
  executed: { from: number; to: number },
) {
  const written = async (path: string, notebook: number) =>
    executed.from <= notebook && notebook <= executed.to && await exists(path);
  const rows = async (path: string) =>
    await exists(path) ? (await readCsv(path, ["name"], "Run notebook 07 again.")).length : 0;
  const hasEvaluation = await written(paths.evaluation, 7);
  return {
    run,
    results: relative(projectRoot, paths.results),
    model: relative(projectRoot, paths.model),
    report: await exists(paths.report),
    synthetic,
    scores: await written(paths.metrics, 6) ? await summaryScores(paths.metrics) : {},
    evaluation: !hasEvaluation ? null : {
      classified: await rows(paths.evaluation),
      unreadable: await rows(paths.evaluation.replace(/\.csv$/, "_errors.csv")),
    },
  };
}

/** The scores that are shown, by name. */
async function summaryScores(path: string): Promise<ShownScores> {
  const { scores } = await readMetrics(path);
  const names = SUMMARY_SCORES.filter((name) => scores[name]);
  return Object.fromEntries(names.map((name) => [name, scores[name]!]));
}

type ShownScores = Readonly<Record<string, Pick<Score, "value" | "low" | "high" | "baseline">>>;

/** The closing words of `deno task run`. */
export function formatSummary(summary: Summary): string {
  const lines = [
    "",
    `Results of run "${summary.run}": ${summary.results}/`,
    ...(summary.report ? [`One page of it:       ${summary.results}/report.html`] : []),
    `Model:                ${summary.model}/`,
  ];
  const scores = Object.entries(summary.scores);
  if (scores.length > 0) {
    lines.push("", scoreRow("Test scores", "", "95 % interval", "baseline"));
    for (const [name, { value, low, high, baseline }] of scores) {
      const interval = low === null || high === null ? "" : `${fixed(low)} to ${fixed(high)}`;
      lines.push(scoreRow(`  ${name}`, fixed(value), interval, fixed(baseline)));
    }
  }
  if (summary.evaluation) {
    const { classified, unreadable } = summary.evaluation;
    const lost = unreadable > 0 ? `; ${unreadable} could not be read (evaluation_errors.csv)` : "";
    lines.push("", `New images: ${classified} classified (evaluation.csv)${lost}`);
  }
  if (summary.synthetic) lines.push("", SYNTHETIC_NOTE);
  return lines.join("\n");
}

const scoreRow = (name: string, value: string, interval: string, baseline: string) =>
  `${name.padEnd(22)}${value.padEnd(8)}${interval.padEnd(18)}${baseline}`;

const fixed = (value: number | null) => value === null ? "-" : value.toFixed(3);
