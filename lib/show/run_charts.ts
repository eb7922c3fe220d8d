import * as Plot from "@observablehq/plot";
import { describeConfig } from "../core/config.ts";
import type { Config, Monitor } from "../core/settings.ts";
import { type HistoryRow, lowerIsBetter } from "../run/history.ts";
import {
  type ConfigDifferences,
  configDifferences,
  rankRuns,
  type Runs,
  type RunSummary,
} from "../run/runs.ts";
import {
  card,
  colors,
  CONTENT_WIDTH,
  type Figure,
  GAP,
  type LegendItem,
  type Panel,
  plotPanel,
  shorten,
} from "./card.ts";
import { type Displayable, escapeHtml, htmlDisplay, htmlTable } from "./display.ts";
import { epochAxis } from "./training_charts.ts";

const PANEL_WIDTH = (CONTENT_WIDTH - GAP) / 2;

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
  history: readonly HistoryRow[];
  best: HistoryRow;
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
export function runsChart(runs: readonly RunSummary[], config: Config): Figure {
  const { run, training } = config;
  const ranked = rankRuns(runs, { monitor: training.checkpoint.monitor, run });
  const drawn = ranked.filter(({ splitSha256 }) => splitSha256 === ranked[0]?.splitSha256);
  const styled = drawn.filter((summary, index) => index < MAX_STYLED || summary.run === run);
  const styles = new Map(styled.map((summary, index) => [summary.run, styleOf(index)]));
  const curves = drawn.map((summary): Curve => {
    const style = styles.get(summary.run);
    return {
      history: summary.history,
      best: summary.best,
      color: style?.color ?? colors.rule,
      dash: style?.dash ?? "",
      width: summary.run === run ? 3 : style ? 1.75 : 1,
    };
  }).reverse().sort((a, b) => a.width - b.width); // the best and the own on top
  const hasAuc = drawn.some(({ history }) => history.some(({ val_auc }) => val_auc !== null));
  const elsewhere = ranked.length - drawn.length;
  return card({
    title: "Validation curves of all runs",
    subtitle: `Run ${run} in a thicker line · ${drawn.length} run${
      drawn.length === 1 ? "" : "s"
    } of the same split`,
    legend: legend(styled, styles, drawn.length - styled.length),
    rows: [[
      lossPanel(curves),
      hasAuc
        ? scorePanel(curves, "val_auc", "Validation AUC")
        : scorePanel(curves, "val_accuracy", "Validation accuracy"),
    ]],
    note: "Dots: the epoch that each run has kept." +
      (elsewhere > 0
        ? ` Not drawn: ${elsewhere} run${elsewhere === 1 ? "" : "s"} of other splits, whose ` +
          "validation images are others."
        : ""),
  });
}

function styleOf(index: number): { color: string; dash: string; mark: LegendItem["mark"] } {
  const { mark, dash } = DASHES[Math.floor(index / HUES.length) % DASHES.length]!;
  return { color: HUES[index % HUES.length]!, dash, mark };
}

function legend(
  styled: readonly RunSummary[],
  styles: ReadonlyMap<string, ReturnType<typeof styleOf>>,
  further: number,
): LegendItem[] {
  const items = styled.map(({ run }): LegendItem => {
    const { color, mark } = styles.get(run)!;
    return { label: shorten(run, 190, 12), color, mark };
  });
  if (further === 0) return items;
  const label = `${further} more run${further === 1 ? "" : "s"}`;
  return [...items, { label, color: colors.rule, mark: "line" }];
}

/** Loss on a logarithmic scale: the first epochs may have many times the later ones' loss. */
function lossPanel(curves: readonly Curve[]): Panel {
  const values = curves.flatMap(({ history }) => history.map(({ val_loss }) => val_loss));
  const low = Math.max(Math.min(...values, 1), 1e-4);
  const high = Math.max(...values, low * 2);
  return panel(curves, "val_loss", "Validation loss (cross-entropy)", {
    type: "log",
    domain: [low / 1.05, high * 1.05],
    clamp: true,
    ticks: roundTicks(low, high),
    tickFormat: (value: number) => String(value),
  });
}

function scorePanel(
  curves: readonly Curve[],
  name: "val_auc" | "val_accuracy",
  label: string,
): Panel {
  const values = curves.flatMap(({ history }) => history.map((row) => row[name]))
    .filter((value) => value !== null);
  const low = Math.min(...values, 0.99);
  return panel(curves, name, label, { domain: [low, 1], nice: true, ticks: 5 });
}

function panel(
  curves: readonly Curve[],
  name: "val_loss" | "val_auc" | "val_accuracy",
  label: string,
  y: Plot.ScaleOptions,
): Panel {
  const last = Math.max(2, ...curves.map(({ history }) => history.at(-1)!.epoch));
  return plotPanel({
    width: PANEL_WIDTH,
    height: 260,
    marginLeft: 52,
    marginRight: 10,
    marginTop: 26,
    marginBottom: 38,
    x: epochAxis(last),
    y: { label, labelArrow: "none", grid: true, ...y },
    marks: curves.flatMap(({ history, best, color, dash, width }) => [
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

/** 1, 2 and 5 times powers of ten within a range; over wide ranges the powers alone. */
function roundTicks(low: number, high: number): number[] {
  const factors = high / low > 300 ? [1] : [1, 2, 5];
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
    ticks.push(...factors.map((factor) => Number(`${factor}e${power}`)));
  }
  return ticks.filter((tick) => tick >= low && tick <= high);
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
