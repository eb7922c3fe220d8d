import * as Plot from "@observablehq/plot";
import { max, min, sum } from "d3-array";
import type { Config } from "../core/settings.ts";
import { type HistoryRow, keptRows } from "../run/history.ts";
import { rankRuns, type RunSummary } from "../run/run.ts";
import {
  card,
  type ChartOptions,
  colors,
  counted,
  type Figure,
  halfWidth,
  type Panel,
  shorten,
} from "./card.ts";
import { decades, type DrawnTraining, epochPanel } from "./training_charts.ts";

/** Colours of Okabe and Ito (2008) that show on white. */
const HUES = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000"];

const DASHES = [
  { mark: "line", dash: {} },
  { mark: "dashed", dash: { strokeDasharray: "6 3" } },
  { mark: "dotted", dash: { strokeDasharray: "1.5 3" } },
] as const;

/** More lines cannot be told apart: two dashes of each colour; the third is left for the own run. */
const MAX_STYLED = 14;

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
  const curves = drawn.map((summary) => {
    const style = styleOf(styled.indexOf(summary));
    const width = summary.run === run ? 3 : style ? 1.75 : 1;
    return {
      ...summary,
      best: [summary.best],
      width,
      color: style?.color ?? colors.rule,
      dash: style?.dash ?? {},
    };
  }).reverse().sort((a, b) => a.width - b.width); // the best and the own on top
  const hasAuc = drawn.some(({ history }) => history.some(({ val_auc }) => val_auc !== null));
  const [further, elsewhere] = [drawn.length - styled.length, ranked.length - drawn.length];
  const more = { label: counted(further, "more run"), color: colors.rule, mark: "line" as const };
  return card({
    title: "Validation curves of all runs",
    subtitle: `Run ${run} in a thicker line · ${counted(drawn.length, "run")} of the same split`,
    legend: [
      ...styled.map((one, i) => ({ label: shorten(one.run, 190, 12), ...styleOf(i)! })),
      ...(further > 0 ? [more] : []),
    ],
    rows: [[
      runsPanel(curves, "val_loss", halfWidth(options)),
      runsPanel(curves, hasAuc ? "val_auc" : "val_accuracy", halfWidth(options)),
    ]],
    note: "Dots: the epoch that each run has kept." +
      (elsewhere > 0
        ? ` Not drawn: ${counted(elsewhere, "run")} of other splits, whose validation images are ` +
          "others."
        : ""),
  }, options);
}

/**
 * The validation curves of all folds over one another, with the epoch that each has kept: loss, and
 * AUC (accuracy where a fold lacks a class).
 */
export function foldCurves(
  { history, events, run, epochs = 1 }: DrawnTraining,
  options: ChartOptions = {},
): Figure {
  const folds = [...Map.groupBy(history, ({ fold }) => fold)];
  const kept = keptRows(history, events);
  const curves = folds.map(([fold, rows], i) => {
    const { color, dash } = styleOf(i)!;
    const best = kept.filter((row) => row.fold === fold);
    return { history: rows, best, color, dash, width: i + 1 === folds.length ? 2.5 : 1.75 };
  });
  const hasAuc = history.every(({ val_auc }) => val_auc !== null);
  const losses = kept.map(({ val_loss }) => val_loss);
  return card({
    title: "Validation curves of the folds",
    subtitle:
      `Run ${run} · ${counted(folds.length, "fold")}, ${counted(history.length, "epoch")} · ` +
      `${sum(history, ({ seconds }) => seconds).toFixed(0)} s`,
    legend: folds.map(([fold], i) => ({ label: fold!.replaceAll("_", " "), ...styleOf(i)! })),
    rows: [[
      runsPanel(curves, "val_loss", halfWidth(options), epochs),
      runsPanel(curves, hasAuc ? "val_auc" : "val_accuracy", halfWidth(options), epochs),
    ]],
    note: kept.length === 0
      ? ""
      : "Dots: the epoch that each fold has kept; their validation loss " +
        `is ${min(losses)!.toFixed(3)} to ${max(losses)!.toFixed(3)}.`,
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

function runsPanel(
  curves: {
    history: readonly HistoryRow[];
    best: readonly HistoryRow[];
    color: string;
    dash: object;
    width: number;
  }[],
  name: keyof typeof LABELS,
  width: number,
  epochs = 0,
): Panel {
  const values = curves.flatMap(({ history }) => history.map((row) => row[name]))
    .filter((value) => value !== null);
  const at = { x: "epoch", y: name };
  const dot = { stroke: colors.paper, strokeWidth: 1 };
  return epochPanel({
    width,
    height: 260,
    last: Math.max(epochs, max(curves, ({ history }) => history.at(-1)!.epoch) ?? 0),
    y: { label: LABELS[name], ...(name === "val_loss" ? lossScale(values) : scoreScale(values)) },
    marks: curves.flatMap(({ history, best, color: stroke, dash, width: strokeWidth }) => [
      Plot.lineY(history, { ...at, stroke, strokeWidth, ...dash }),
      Plot.dot(best, { ...at, ...dot, r: 2 + strokeWidth / 2, fill: stroke }),
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
