import { relative } from "node:path";
import { readCsv } from "../csv.ts";
import { exists, readJson } from "../files.ts";
import { projectRoot, type RunPaths } from "../paths.ts";

/** A test score as metrics.json has it. */
export interface SummaryScore {
  /** null where the score is undefined, as with one class only. */
  value: number | null;
  /** Ends of its interval, where there is one. */
  low: number | null;
  high: number | null;
  /** What a reader should compare it with: the score without any learning. */
  baseline: number | null;
}

/** What a run left behind: see {@linkcode readSummary}. */
export interface Summary {
  run: string;
  /** Folders relative to the project. */
  results: string;
  model: string;
  /** Whether there is a report.html. */
  report: boolean;
  synthetic: boolean;
  /** Empty when section 6 has not been run. */
  scores: Readonly<Record<string, SummaryScore>>;
  /** New images that were classified, and files that could not be read; null without section 7. */
  evaluation: { classified: number; unreadable: number } | null;
}

/** Said wherever figures from the sample set are shown. */
export const SYNTHETIC_NOTE =
  "Synthetic sample images: these figures show that everything works and say nothing about " +
  "patients.";

const SHOWN = ["roc_auc", "balanced_accuracy", "accuracy", "f1"];

/**
 * Reads what a run left. What is not there is left out, and so is what an earlier run left of
 * notebooks that were not executed now: it may belong to another model.
 *
 * @param options `executed`: numbers of the first and the last notebook that were.
 * @throws {DataError} For a file that is there and is damaged.
 */
export async function readSummary(
  run: string,
  paths: RunPaths,
  options: { synthetic: boolean; executed: { from: number; to: number } },
): Promise<Summary> {
  const { synthetic, executed: { from, to } } = options;
  const written = async (path: string, notebook: number) =>
    from <= notebook && notebook <= to && await exists(path);
  const rows = async (path: string) =>
    await exists(path) ? (await readCsv(path, ["name"], "Run notebook 07 again.")).length : 0;
  return {
    run,
    results: relative(projectRoot, paths.results),
    model: relative(projectRoot, paths.model),
    report: await exists(paths.report),
    synthetic,
    scores: await written(paths.metrics, 6)
      ? pickScores(await readJson(paths.metrics, "Run notebook 06 again."))
      : {},
    evaluation: await written(paths.evaluation, 7)
      ? {
        classified: await rows(paths.evaluation),
        unreadable: await rows(paths.evaluation.replace(/\.csv$/, "_errors.csv")),
      }
      : null,
  };
}

/** The scores that a summary shows, out of metrics.json. */
export function pickScores(metrics: unknown): Record<string, SummaryScore> {
  const scores: Record<string, SummaryScore> = {};
  for (const name of SHOWN) {
    const score = field(metrics, name);
    if (score === undefined) continue;
    const number = (key: string) => {
      const found = field(score, key);
      return typeof found === "number" ? found : null;
    };
    scores[name] = {
      value: number("value"),
      low: number("low"),
      high: number("high"),
      baseline: number("baseline"),
    };
  }
  return scores;
}

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

function scoreRow(name: string, value: string, interval: string, baseline: string): string {
  return `${name.padEnd(22)}${value.padEnd(8)}${interval.padEnd(18)}${baseline}`;
}

function fixed(value: number | null): string {
  return value === null ? "-" : value.toFixed(3);
}

function field(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null && Object.hasOwn(value, key)
    ? (value as Record<string, unknown>)[key]
    : undefined;
}
