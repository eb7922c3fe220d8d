import * as Plot from "@observablehq/plot";
import { max, min } from "d3-array";
import { describeConfig } from "../core/config.ts";
import type { Config, Monitor } from "../core/settings.ts";
import { lowerIsBetter } from "../run/history.ts";
import {
  type ConfigDifferences,
  configDifferences,
  rankRuns,
  type Runs,
  type RunSummary,
} from "../run/run.ts";
import {
  card,
  type ChartOptions,
  colors,
  counted,
  type Figure,
  halfWidth,
  type LegendItem,
  type Panel,
  shorten,
} from "./card.ts";
import { type Displayable, escapeHtml, htmlDisplay, htmlTable } from "./display.ts";
import { decades, epochPanel } from "./training_charts.ts";

/** Colours of Okabe and Ito (2008) that show on white. */
const HUES = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000"];

const DASHES = [
  { mark: "line", dash: "" },
  { mark: "dashed", dash: "6 3" },
  { mark: "dotted", dash: "1.5 3" },
] as const;

/** More lines cannot be told apart: two dashes of each colour; the third is left for the own run. */
const MAX_STYLED = 14;

/** One run's curve. */
interface Curve {
  summary: RunSummary;
  color: string;
  dash: string;
  width: number;
}

/**
 * The validation curves of the runs over one another, with the epoch that each has kept: loss, and
 * AUC (accuracy where no run has an AUC). Only runs of one split are drawn, that of the run at hand:
 * curves over different validation images do not compare. The best 14 have a colour and a dash of
 * their own, as the run at hand always has, in a thicker line; further ones are grey.
 *
 * @param config Of the run at hand; its `training.checkpoint.monitor` ranks the runs.
 */
export function runsChart(
  runs: readonly RunSummary[],
  { run, training }: Config,
  options: ChartOptions = {},
): Figure {
  const ranked = rankRuns(runs, { monitor: training.checkpoint.monitor, run });
  const drawn = ranked.filter(({ splitSha256 }) => splitSha256 === ranked[0]?.splitSha256);
  const styled = drawn.filter((summary, index) => index < MAX_STYLED || summary.run === run);
  const curves = drawn.map((summary): Curve => {
    const style = styleOf(styled.indexOf(summary));
    const width = summary.run === run ? 3 : style ? 1.75 : 1;
    return { summary, width, color: style?.color ?? colors.rule, dash: style?.dash ?? "" };
  }).reverse().sort((a, b) => a.width - b.width); // the best and the own on top
  const hasAuc = drawn.some(({ history }) => history.some(({ val_auc }) => val_auc !== null));
  const [further, elsewhere] = [drawn.length - styled.length, ranked.length - drawn.length];
  const legend = styled.map((summary, index): LegendItem => {
    const { color, mark } = styleOf(index)!;
    return { label: shorten(summary.run, 190, 12), color, mark };
  });
  if (further > 0) {
    legend.push({ label: counted(further, "more run"), color: colors.rule, mark: "line" });
  }
  return card({
    title: "Validation curves of all runs",
    subtitle: `Run ${run} in a thicker line · ${counted(drawn.length, "run")} of the same split`,
    legend,
    rows: [[
      panel(curves, "val_loss", halfWidth(options)),
      panel(curves, hasAuc ? "val_auc" : "val_accuracy", halfWidth(options)),
    ]],
    note: "Dots: the epoch that each run has kept." +
      (elsewhere > 0
        ? ` Not drawn: ${counted(elsewhere, "run")} of other splits, whose validation images are ` +
          "others."
        : ""),
  }, options);
}

/** A look for each place in the ranking; none for what is not in it. */
function styleOf(index: number) {
  if (index < 0) return undefined;
  const { mark, dash } = DASHES[Math.floor(index / HUES.length) % DASHES.length]!;
  return { color: HUES[index % HUES.length]!, dash, mark };
}

const LABELS = {
  val_loss: "Validation loss (cross-entropy)",
  val_auc: "Validation AUC",
  val_accuracy: "Validation accuracy",
};

function panel(curves: readonly Curve[], name: keyof typeof LABELS, width: number): Panel {
  const values = curves.flatMap(({ summary }) => summary.history.map((row) => row[name]))
    .filter((value) => value !== null);
  return epochPanel({
    width,
    height: 260,
    last: max(curves, ({ summary }) => summary.history.at(-1)!.epoch) ?? 0,
    y: { label: LABELS[name], ...(name === "val_loss" ? lossScale(values) : scoreScale(values)) },
    marks: curves.flatMap(({ summary: { history, best }, color, dash, width }) => [
      Plot.lineY(history, {
        x: "epoch",
        y: name,
        stroke: color,
        strokeWidth: width,
        ...(dash ? { strokeDasharray: dash } : {}),
      }),
      Plot.dot([best], {
        x: "epoch",
        y: name,
        r: 2 + width / 2,
        fill: color,
        stroke: colors.paper,
        strokeWidth: 1,
      }),
    ]),
  });
}

/** Logarithmic: the first epochs may have many times the later ones' loss. */
function lossScale(values: readonly number[]): Plot.ScaleOptions {
  const low = Math.max(min([...values, 1])!, 1e-4);
  const high = max([...values, low * 2])!;
  return {
    type: "log",
    domain: [low / 1.05, high * 1.05],
    clamp: true,
    ticks: decades(low, high, high / low > 300 ? [1] : [1, 2, 5]),
    tickFormat: (value: number) => String(value),
  };
}

function scoreScale(values: readonly number[]): Plot.ScaleOptions {
  return { domain: [min([...values, 0.99])!, 1], nice: true, ticks: 5 };
}

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
    ...notesOn(ranked, monitor),
    ...(shared.length > 0 ? [`The same in all runs, and not the default: ${listed(shared)}.`] : []),
    ...remarks.map(({ run, text }) => `results/${run}: ${text.replace(/\s+/g, " ")}`),
  ];
  const lines = notes.map((note) =>
    `<div style="margin:4px 12px;max-width:692px;overflow-wrap:anywhere">${escapeHtml(note)}</div>`
  );
  const [first] = ranked;
  const text = first
    ? `${counted(ranked.length, "trained run")}; best ${monitor} ` +
      `${first.best[monitor]?.toFixed(4) ?? "–"}: ${first.run}`
    : "No run has been trained yet";
  return htmlDisplay(`<div>${first ? table.html : ""}${lines.join("")}</div>`, text);
}

/** The values of one run that are not defaults, of the fields in which runs differ. */
function settingsOf(run: string, differing: ConfigDifferences["differing"]): string {
  const own = differing
    .map(({ field, values, fallback }) => ({ field, value: values.get(run), fallback }))
    .filter(({ value, fallback }) => JSON.stringify(value) !== JSON.stringify(fallback));
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
  if (ranked.length === 0) return ["No run has been trained yet."];
  const direction = lowerIsBetter(monitor) ? "lowest" : "highest";
  const notes = [
    `Scores are those of the epoch that each run has kept, sorted by ${monitor}, the ${direction} ` +
    "first. The best of many runs owes part of its validation score to luck. Settings are those " +
    "that are not at their default and differ between runs.",
  ];
  const splits = new Set(ranked.map(({ splitSha256 }) => splitSha256)).size;
  if (splits > 1) {
    notes.push(
      `The runs are of ${splits} different splits, each with validation and test images of its ` +
        "own: compare scores only between runs with the same entry under split.",
    );
  }
  return notes;
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
