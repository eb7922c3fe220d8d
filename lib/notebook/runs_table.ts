import type { Config, Monitor } from "../config_schema.ts";
import { describeConfig } from "../config.ts";
import { lowerIsBetter } from "../training/callbacks.ts";
import {
  type ConfigDifferences,
  configDifferences,
  rankRuns,
  type Runs,
  type RunSummary,
} from "../training/runs.ts";
import { type Displayable, htmlDisplay } from "./displayable.ts";
import { escapeHtml } from "./escape_html.ts";
import { htmlTable } from "./table.ts";

/** Characters of a split's hash that are shown. */
const HASH_LENGTH = 7;

/** Scores of metrics.json that are shown, with their headings. */
const TEST_SCORES = { roc_auc: "test AUC", balanced_accuracy: "test balanced accuracy" };

/**
 * Every trained run: its settings that are not at their default, and the scores of the epoch that it
 * has kept, sorted by the score that `config.training.checkpoint.monitor` names. Runs of one split
 * stand together. Settings that all runs share, and what was left out, are below it.
 *
 * @param config Of the run at hand, which is marked.
 */
export function runsTable({ runs, remarks }: Runs, config: Config): Displayable {
  const { monitor } = config.training.checkpoint;
  const ranked = rankRuns(runs, { monitor, run: config.run });
  const { differing, shared } = configDifferences(ranked);
  const tested = Object.entries(TEST_SCORES)
    .filter(([name]) => runs.some(({ test }) => test?.[name] != null));
  const rows = ranked.map((summary) => ({
    run: summary.run === config.run ? `${summary.run} (this run)` : summary.run,
    split: summary.splitSha256.slice(0, HASH_LENGTH),
    settings: settingsOf(summary.run, differing),
    "kept epoch": `${summary.best.epoch} of ${summary.history.length}`,
    "val loss": summary.best.val_loss,
    "val accuracy": summary.best.val_accuracy,
    "val AUC": summary.best.val_auc,
    ...Object.fromEntries(tested.map(([name, heading]) => [heading, summary.test?.[name] ?? null])),
  }));
  const table = htmlTable(rows, { caption: "All trained runs" });
  const notes = [
    ...(runs.length > 0 ? notesOn(ranked, monitor) : ["No run has been trained yet."]),
    ...(shared.length > 0 ? [`The same in all runs, and not the default: ${listed(shared)}.`] : []),
    ...remarks.map(({ run, text }) => `results/${run}: ${text.replace(/\s+/g, " ")}`),
  ];
  const lines = notes.map((note) =>
    `<div style="margin:4px 12px;max-width:692px;overflow-wrap:anywhere">${escapeHtml(note)}</div>`
  );
  const [first] = ranked;
  const text = first
    ? `${ranked.length} trained run${ranked.length === 1 ? "" : "s"}; best ${monitor} ` +
      `${first.best[monitor]?.toFixed(4) ?? "–"}: ${first.run}`
    : "No run has been trained yet";
  return htmlDisplay(`<div>${first ? table.html : ""}${lines.join("")}</div>`, text);
}

/** The values of one run that are not defaults, of the fields in which runs differ. */
function settingsOf(run: string, differing: ConfigDifferences["differing"]): string {
  const own = differing.map(({ field, values, fallback }) => ({
    field,
    value: values.get(run),
    fallback,
  })).filter(({ value, fallback }) => JSON.stringify(value) !== JSON.stringify(fallback));
  return own.length > 0 ? listed(own) : "defaults";
}

/** "learningRate 0.001, batchSize 16" */
function listed(settings: readonly { field: string; value: unknown }[]): string {
  const all = describeConfig().map(({ field }) => field);
  return settings.map(({ field, value }) =>
    `${shortName(field, all)}\u00a0${typeof value === "string" ? value : JSON.stringify(value)}`
  ).join(", ");
}

/** How the table is to be read. */
function notesOn(ranked: readonly RunSummary[], monitor: Monitor): string[] {
  const direction = lowerIsBetter(monitor) ? "lowest" : "highest";
  const splits = new Set(ranked.map(({ splitSha256 }) => splitSha256)).size;
  return [
    `Scores are those of the epoch that each run has kept, sorted by ${monitor}, the ${direction} ` +
    "first. The best of many runs owes part of its validation score to luck. Settings are those " +
    "that are not at their default and differ between runs.",
    ...(splits > 1
      ? [
        `The runs are of ${splits} different splits, each with validation and test images of its ` +
        "own: compare scores only between runs with the same entry under split.",
      ]
      : []),
  ];
}

/** The shortest end of a dotted path that no other field has too. */
function shortName(field: string, all: readonly string[]): string {
  const parts = field.split(".");
  for (let length = 1; length < parts.length; length++) {
    const end = parts.slice(-length).join(".");
    if (all.filter((other) => `.${other}`.endsWith(`.${end}`)).length === 1) return end;
  }
  return field;
}
