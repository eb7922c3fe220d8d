import * as Plot from "@observablehq/plot";
import { range, sum } from "d3-array";
import { percent } from "../core/words.ts";
import { describeShare, type GroupShare, type GroupShares } from "../evaluation/shares.ts";
import { sharedGroups } from "../metrics/intervals.ts";
import { groupScores } from "../metrics/scores.ts";
import type { Predictions } from "../run/predictions.ts";
import {
  card,
  type ChartOptions,
  colors,
  contentWidth,
  counted,
  type Figure,
  GAP,
  heading,
  type Panel,
  plotPanel,
  quoted,
  REFERENCE_LINE,
  runLine,
  shorten,
  titled,
} from "./card.ts";
import { printable } from "./display.ts";

/** How an unknown group is shown. */
export const NO_GROUP = "(group not known)";

const MAX_ROWS = 20;

const shareLabel = (unit: string) =>
  `share of the ${unit}'s images, with 95 % confidence interval (Wilson)`;

const SCORES = [
  { name: "accuracy", title: "Accuracy", color: colors.ink },
  { name: "sensitivity", title: "Sensitivity", color: colors.positive },
  { name: "specificity", title: "Specificity", color: colors.negative },
] as const;

/**
 * Accuracy, sensitivity and specificity of each patient or slide with Wilson's intervals, the worst
 * groups first; of many groups the worst 20.
 */
export function groupChart(predictions: Predictions, options: ChartOptions = {}): Figure {
  return sharesChart(predictions, "group", options);
}

/** As {@linkcode groupChart}, of what the groups of the predictions are: groups, or folds. */
function sharesChart(predictions: Predictions, unit: string, options: ChartOptions): Figure {
  const { groups, run } = predictions;
  const scores = sharedGroups(groups) ? groupScores(predictions) : [];
  const head = { title: `Scores by ${unit}`, subtitle: runLine(run, groups.length) };
  if (scores.length === 0) {
    return card({
      ...head,
      note: "There are no scores by group: it is not known which images come from the same slide " +
        "or patient. Name groups by data.groupPattern, or in labels.csv.",
    }, options);
  }
  const rows = scores.slice(0, MAX_ROWS);
  const hidden = scores.length - rows.length;
  const names = Math.min(151, Math.round(0.221 * contentWidth(options)));
  const each = (contentWidth(options) - names - 2 * GAP) / SCORES.length;
  const columns = SCORES.map(({ name, title, color }, i) => {
    const of = sum(scores, (row) => row[name].of);
    const all = of === 0 ? null : sum(scores, (row) => row[name].right) / of;
    return rowsPanel({
      marks: rows.map(({ group, [name]: { value, low, high, right, of } }) => ({
        name: group,
        count: of === 0 ? "none" : `${right}/${of}`,
        value: value!,
        low: low!,
        high: high!,
      })),
      all,
      title,
      axis: `all: ${percent(all ?? NaN)}`,
      color,
      rowHeight: 21,
      width: each + (i === 0 ? names : 0),
      names: i === 0 ? names : 0,
    });
  });
  return card({
    ...head,
    subtitle: `${head.subtitle} in ${counted(scores.length, unit)}`,
    legend: [
      { label: shareLabel(unit), color: colors.ink, mark: "circle" },
      { label: `all ${unit}s together`, color: colors.muted, mark: "dashed" },
    ],
    rows: [columns],
    note:
      `From the top, the ${unit}s whose accuracy is lowest even at the upper end of its interval.` +
      (hidden > 0
        ? ` The worst ${rows.length} of ${scores.length} groups; ${hidden} are not shown.`
        : ""),
  }, options);
}

/** The same of each fold in place of each group; `null` without folds. */
export function foldChart(predictions: Predictions, options: ChartOptions = {}): Figure | null {
  const folds = predictions.rows.map(({ fold = "" }) => fold.replaceAll("_", " "));
  if (folds.includes("")) return null;
  return sharesChart({ ...predictions, groups: folds }, "fold", options);
}

/** A share in a group with its 95 % confidence interval; NaN of no images. */
type Mark = Record<"name" | "count", string> & Record<"value" | "low" | "high", number>;

const SHARE_AXIS = {
  domain: [0, 1],
  grid: true,
  tickFormat: (share: number) => `${100 * share} %`,
};

/** Of the interval of all groups together. */
const BAND = { fill: colors.rule, fillOpacity: 0.6 };

/** One group below the other, with its name on the left and its count on the right. */
function rowsPanel({ marks, all, band, title, axis, color, rowHeight, width, names }: {
  marks: readonly Mark[];
  /** The share in all groups together; `null`: undefined. */
  all: number | null;
  /** Its interval. */
  band?: { low: number | null; high: number | null };
  title?: string;
  /** Title of the horizontal axis. */
  axis: string;
  color: string;
  rowHeight: number;
  width: number;
  /** Pixels for the names; 0: they are not written. */
  names: number;
}): Panel {
  const left = names + 8;
  const top = title ? 24 : 8;
  const room = width - left;
  const ticks = room > 350 ? 5 : room > 140 ? [0, 0.5, 1] : [0, 1];
  const rows = marks.map((mark, i) => ({ ...mark, i })); // names may be alike when shortened
  const defined = rows.filter(({ value }) => Number.isFinite(value));
  const beside = { y: "i", textAnchor: "start" } as const;
  return plotPanel({
    width,
    height: rowHeight * rows.length + top + 46,
    margins: [top, title ? 58 : 84, 42, left],
    x: { ...SHARE_AXIS, ticks, ...titled(axis) },
    y: { domain: rows.map(({ i }) => i), axis: null, padding: 0.3 },
    marks: [
      title ? heading(title) : null,
      Plot.rectX(band ? [band] : [], { x1: "low", x2: "high", ...BAND }),
      Plot.text(names === 0 ? [] : rows, {
        ...beside,
        frameAnchor: "left",
        text: ({ name }) => shorten(printable(name), names - 8, 11),
        dx: -left,
      }),
      Plot.text(rows, {
        ...beside,
        frameAnchor: "right",
        text: "count",
        dx: 10,
        fill: ({ value }) => Number.isFinite(value) ? colors.ink : colors.muted,
      }),
      Plot.ruleX(all === null ? [] : [all], REFERENCE_LINE),
      Plot.ruleY(defined, { y: "i", x1: "low", x2: "high", stroke: color, strokeWidth: 1.6 }),
      Plot.dot(defined, { y: "i", x: "value", r: 4, fill: color }),
    ],
  });
}

/** Up to so many groups there is room for their names; of more than the second, some are drawn. */
const [MOST_NAMED, MOST_DRAWN] = [40, 600];

/**
 * The prevalence, as the model predicts it, in each group with its 95 % confidence interval, sorted,
 * and that of all images as a band behind them. Up to 40 groups are named; more stand side by side,
 * up to 600 of them.
 *
 * @param positive Class folder name of the positive class.
 */
export function groupSharesChart(
  { shares: { rows, all }, positive, run }: { shares: GroupShares; positive: string; run: string },
  options: ChartOptions = {},
): Figure {
  const count = Math.min(rows.length, MOST_DRAWN);
  const step = (rows.length - 1) / Math.max(1, count - 1); // the first and the last are drawn
  const drawn = range(count).map((i) => rows[Math.round(i * step)]!);
  const marks = drawn.map(({ group, n, positive, share, interval }): Mark => ({
    name: group === "" ? NO_GROUP : group,
    count: `${positive.toLocaleString("en-GB")} of ${n.toLocaleString("en-GB")}`,
    value: share!,
    low: interval.low!,
    high: interval.high!,
  }));
  const width = contentWidth(options);
  const axis = "Share of images predicted as positive";
  return card({
    title: `Prevalence of ${quoted(positive)} by group`,
    subtitle: `${runLine(run, all.n)} in ${counted(rows.length, "group")}`,
    legend: [
      { label: "group, with 95 % confidence interval", color: colors.positive, mark: "circle" },
      {
        label: all.share === null ? "all images" : `all images: ${percent(all.share)}`,
        color: colors.muted,
        mark: "dashed",
      },
      { label: "its 95 % confidence interval", color: colors.rule, mark: "area" },
    ],
    rows: rows.length === 0 ? [] : [[
      rows.length > MOST_NAMED ? sideBySide(marks, all, axis, width) : rowsPanel({
        marks,
        all: all.share,
        band: all.interval,
        axis,
        color: colors.positive,
        rowHeight: 17,
        width,
        names: 160,
      }),
    ]],
    note: `All images: ${describeShare(all)}` +
      (drawn.length < rows.length
        ? ` Drawn are ${MOST_DRAWN} of the groups, evenly spread over their order.`
        : ""),
  }, options);
}

/** Groups side by side without names: how much they differ. */
function sideBySide(marks: readonly Mark[], all: GroupShare, axis: string, width: number): Panel {
  const rows = marks.map((mark, i) => ({ ...mark, i }));
  const order = "Groups, those with the highest prevalence first";
  const color = colors.positive;
  return plotPanel({
    width,
    height: 320,
    margins: [10, 12, 30, 60],
    x: { ...titled(order), ticks: [], domain: [-1, rows.length] },
    y: { ...SHARE_AXIS, ticks: 5, ...titled(axis) },
    marks: [
      Plot.rectY([all.interval], { y1: "low", y2: "high", ...BAND }),
      Plot.ruleX(rows, { x: "i", y1: "low", y2: "high", stroke: color, strokeOpacity: 0.35 }),
      Plot.dot(rows, { x: "i", y: "value", r: rows.length > 150 ? 1.2 : 2, fill: color }),
      Plot.ruleY([all.share!], REFERENCE_LINE),
    ],
  });
}
