import * as Plot from "@observablehq/plot";
import type { Config } from "../config_schema.ts";
import type { HistoryRow } from "../training/history.ts";
import { rankRuns, type RunSummary } from "../training/runs.ts";
import { card, CONTENT_WIDTH, GAP, type LegendItem } from "./card.ts";
import { epochAxis } from "./epoch_axis.ts";
import type { Figure } from "./figure.ts";
import { type Panel, plotPanel } from "./panel.ts";
import { shorten } from "./text_layout.ts";
import { colors } from "./theme.ts";

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
