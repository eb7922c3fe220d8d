import * as Plot from "@observablehq/plot";
import { images, percent, type ScoreName } from "../core/words.ts";
import type { ExternalScores } from "../evaluation/external.ts";
import { describeShare, type GroupShare, type GroupShares } from "../evaluation/shares.ts";
import { sharedGroups } from "../metrics/intervals.ts";
import { type GroupScores, groupScores, type ScoredShare } from "../metrics/scores.ts";
import type { Score } from "../run/metrics_file.ts";
import {
  card,
  classLabel,
  colors,
  CONTENT_WIDTH,
  type Figure,
  GAP,
  heading,
  type LegendItem,
  type Panel,
  plotPanel,
  shorten,
  titled,
} from "./card.ts";
import { type Displayable, htmlTable, printable } from "./display.ts";

/** More rows than this are no longer read. */
const MAX_ROWS = 20;

const NAMES = 151;

// width of the column of names; leaves a whole number for each of the scores
const COLUMN = (CONTENT_WIDTH - NAMES - 2 * GAP) / 3;

const SCORES = [
  { name: "accuracy", title: "Accuracy", color: colors.ink },
  { name: "sensitivity", title: "Sensitivity", color: colors.positive },
  { name: "specificity", title: "Specificity", color: colors.negative },
] as const;

/**
 * Accuracy, sensitivity and specificity of each patient or slide with Wilson's intervals, the worst
 * groups first; of many groups the worst 20.
 *
 * @param labels 0 or 1 (positive).
 * @param predicted 0 or 1, in the same order.
 * @param groups Patient or slide of each image, in the same order.
 */
export function groupChart(
  { labels, predicted, groups, run }: {
    labels: readonly number[];
    predicted: readonly number[];
    groups: readonly string[];
    run: string;
  },
): Figure {
  const scores = sharedGroups(groups) ? groupScores({ labels, predicted, groups }) : [];
  const subtitle = `Run ${run} · n = ${images(labels.length)}`;
  if (scores.length === 0) {
    return card({
      title: "Scores by group",
      subtitle,
      rows: [],
      note: "There are no scores by group: it is not known which images come from the same slide " +
        "or patient. Name groups by data.groupPattern, or in labels.csv.",
    });
  }
  const rows = scores.slice(0, MAX_ROWS);
  const hidden = scores.length - rows.length;
  return card({
    title: "Scores by group",
    subtitle: `${subtitle} in ${scores.length} group${scores.length === 1 ? "" : "s"}`,
    legend: [
      {
        label: "share of the group's images, with 95 % interval (Wilson)",
        color: colors.ink,
        mark: "circle",
      },
      { label: "all groups together", color: colors.muted, mark: "dashed" },
    ],
    rows: [SCORES.map(({ name, title, color }, i) =>
      column({
        title,
        color,
        rows: rows.map((row) => ({ group: row.group, share: row[name] })),
        overall: overall(scores, name),
        named: i === 0,
      })
    )],
    note:
      "From the top, the groups whose accuracy is lowest even at the upper end of its interval." +
      (hidden > 0
        ? ` The worst ${rows.length} of ${scores.length} groups; ${hidden} are not shown.`
        : ""),
  });
}

/** The score over the images of all groups; `null` where it is undefined. */
function overall(
  scores: readonly GroupScores[],
  name: (typeof SCORES)[number]["name"],
): number | null {
  const right = scores.reduce((sum, row) => sum + row[name].right, 0);
  const of = scores.reduce((sum, row) => sum + row[name].of, 0);
  return of === 0 ? null : right / of;
}

interface Row {
  group: string;
  share: ScoredShare;
}

function column(
  { title, color, rows, overall, named }: {
    title: string;
    color: string;
    rows: readonly Row[];
    overall: number | null;
    named: boolean;
  },
): Panel {
  const marginLeft = named ? NAMES + 8 : 8;
  const index = (_: Row, i: number) => i; // names may be alike when shortened
  const defined = rows.map(({ share }, i) => ({ ...share, i })).filter(({ of }) => of > 0);
  const names = rows.map(({ group }) => shorten(printable(group), NAMES - 8, 11));
  return plotPanel({
    width: COLUMN + (named ? NAMES : 0),
    height: 21 * rows.length + 70,
    marginLeft,
    marginRight: 58,
    marginTop: 24,
    marginBottom: 42,
    x: {
      domain: [0, 1],
      ticks: [0, 0.5, 1],
      grid: true,
      tickFormat: (share: number) => `${100 * share} %`,
      ...titled(`all: ${percent(overall ?? NaN)}`),
    },
    y: { domain: rows.map((_, i) => i), axis: null, padding: 0.3 },
    marks: [
      heading(title),
      Plot.text(named ? rows : [], {
        frameAnchor: "left",
        y: index,
        text: (_: Row, i: number) => names[i]!,
        textAnchor: "start",
        dx: -marginLeft,
      }),
      Plot.text(rows, {
        frameAnchor: "right",
        y: index,
        text: ({ share }: Row) => share.of === 0 ? "none" : `${share.right}/${share.of}`,
        textAnchor: "start",
        dx: 10,
        fill: ({ share }: Row) => share.of === 0 ? colors.muted : colors.ink,
      }),
      Plot.ruleX(overall === null ? [] : [overall], {
        stroke: colors.muted,
        strokeDasharray: "4 3",
      }),
      Plot.ruleY(defined, { y: "i", x1: "low", x2: "high", stroke: color, strokeWidth: 1.6 }),
      Plot.dot(defined, { y: "i", x: "value", r: 4, fill: color }),
    ],
  });
}

/** With more groups there is no room for their names. */
const MOST_NAMED = 40;

/** With more groups, as many of them, evenly spread over the order, are drawn. */
const MOST_DRAWN = 600;

const ROW = 17;

// height of a named group, in pixels
const NAME_WIDTH = 130;

// with room to spare: where its fonts are missing, text is wider

/**
 * The share of positive images in each group with its 95 % interval, sorted, and that of all images
 * as a band behind them. Up to 40 groups are named; more stand side by side, up to 600 of them.
 *
 * @param positive Class folder name of the positive class.
 */
export function groupSharesChart(
  { shares: { rows, all }, positive, run }: {
    shares: GroupShares;
    positive: string;
    run: string;
  },
): Figure {
  const drawn = spread(rows, MOST_DRAWN);
  const left = rows.length - drawn.length;
  const named = rows.length <= MOST_NAMED;
  const legend: LegendItem[] = [
    { label: "group, with 95 % interval", color: colors.positive, mark: "circle" },
    {
      label: all.share === null ? "all images" : `all images: ${percent(all.share)}`,
      color: colors.ink,
      mark: "dashed",
    },
    { label: "its 95 % interval", color: colors.rule, mark: "area" },
  ];
  return card({
    title: `Share of “${classLabel(positive)}” by group`,
    subtitle: `Run ${run} · n = ${images(all.n)} in ${rows.length.toLocaleString("en-GB")} group${
      rows.length === 1 ? "" : "s"
    }`,
    legend,
    rows: rows.length === 0 ? [] : [[named ? namedGroups(drawn, all) : manyGroups(drawn, all)]],
    note: `All images: ${describeShare(all)}` +
      (left > 0 ? ` Drawn are ${MOST_DRAWN} of the groups, evenly spread over their order.` : ""),
  });
}

/** A row of the chart. */
interface Mark {
  key: number;
  name: string;
  count: string;
  share: number;
  low: number;
  high: number;
}

function marksOf(rows: readonly GroupShare[]): Mark[] {
  return rows.map(({ group, n, positive, share, interval }, key) => ({
    key,
    name: shorten(printable(group === "" ? NO_GROUP : group), NAME_WIDTH, 11),
    count: `${positive.toLocaleString("en-GB")} of ${n.toLocaleString("en-GB")}`,
    share: share!,
    low: interval.low!,
    high: interval.high!,
  }));
}

const SHARE_AXIS = { domain: [0, 1], ticks: 5, tickFormat: (share: number) => `${100 * share} %` };

/** One group below the other, with its name on the left and its count on the right. */
function namedGroups(rows: readonly GroupShare[], all: GroupShare): Panel {
  const marks = marksOf(rows);
  const { low, high } = all.interval;
  return plotPanel({
    width: CONTENT_WIDTH,
    height: ROW * marks.length + 56,
    marginLeft: NAME_WIDTH + 34,
    marginRight: 84,
    marginTop: 8,
    marginBottom: 42,
    x: { ...SHARE_AXIS, ...titled("Share of images called positive"), grid: true },
    y: { axis: null, domain: marks.map(({ key }) => key), type: "band", padding: 0 },
    marks: [
      Plot.rectX([0], { x1: low!, x2: high!, fill: colors.rule, fillOpacity: 0.6 }),
      Plot.ruleX([all.share!], { stroke: colors.ink, strokeDasharray: "4 3" }),
      Plot.ruleY(marks, {
        y: "key",
        x1: "low",
        x2: "high",
        stroke: colors.positive,
        strokeWidth: 1.5,
      }),
      Plot.dot(marks, { x: "share", y: "key", r: 3.5, fill: colors.positive }),
      Plot.text(marks, {
        text: "name",
        y: "key",
        frameAnchor: "left",
        textAnchor: "end",
        dx: -10,
      }),
      Plot.text(marks, {
        text: "count",
        y: "key",
        frameAnchor: "right",
        textAnchor: "start",
        dx: 10,
        fill: colors.muted,
      }),
    ],
  });
}

/** Groups side by side without names: how much they differ. */
function manyGroups(rows: readonly GroupShare[], all: GroupShare): Panel {
  const marks = marksOf(rows);
  const { low, high } = all.interval;
  return plotPanel({
    width: CONTENT_WIDTH,
    height: 320,
    marginLeft: 60,
    marginRight: 12,
    marginTop: 10,
    marginBottom: 30,
    x: {
      ...titled("Groups, those with the greatest share first"),
      ticks: [],
      domain: [-1, marks.length],
    },
    y: { ...SHARE_AXIS, ...titled("Share of images called positive"), grid: true },
    marks: [
      Plot.rectY([0], { y1: low!, y2: high!, fill: colors.rule, fillOpacity: 0.6 }),
      Plot.ruleX(marks, {
        x: "key",
        y1: "low",
        y2: "high",
        stroke: colors.positive,
        strokeOpacity: 0.35,
      }),
      Plot.dot(marks, {
        x: "key",
        y: "share",
        r: marks.length > 150 ? 1.2 : 2,
        fill: colors.positive,
      }),
      Plot.ruleY([all.share!], { stroke: colors.ink, strokeDasharray: "4 3" }),
    ],
  });
}

/** As many of the rows, evenly spread, the first and the last among them. */
function spread<T>(rows: readonly T[], most: number): readonly T[] {
  if (rows.length <= most) return rows;
  return Array.from(
    { length: most },
    (_, i) => rows[Math.round(i * (rows.length - 1) / (most - 1))]!,
  );
}

/** How an unknown group is shown. */
const NO_GROUP = "(group not known)";

/**
 * The share of positive images of all images and of each group: count, share, 95 % interval, and the
 * same corrected for the model's errors; all images first, then the greatest share.
 */
export function groupSharesTable({ rows, all }: GroupShares): Displayable {
  const cells = [
    shareRow(all, "all images"),
    ...rows.map((row) => shareRow(row, row.group === "" ? NO_GROUP : row.group)),
  ];
  return htmlTable(cells, { caption: "Share of positive images by group" });
}

function shareRow(
  { n, positive, share, interval, corrected }: GroupShare,
  group: string,
): Record<string, unknown> {
  return {
    group,
    images: n,
    positive,
    share: share === null ? null : percent(share),
    "95 % interval": range(interval.low, interval.high),
    "corrected share": corrected.share === null ? null : percent(corrected.share),
    "corrected 95 % interval": range(corrected.low, corrected.high),
  };
}

function range(low: number | null, high: number | null): string | null {
  return low === null || high === null ? null : `${percent(low)} to ${percent(high)}`;
}

/** Scores that are shown when nothing else is asked for. */
const SHOWN: readonly ScoreName[] = [
  "accuracy",
  "balanced_accuracy",
  "sensitivity",
  "specificity",
  "precision",
  "f1",
  "mcc",
  "roc_auc",
  "average_precision",
  "brier",
  "log_loss",
  "ece",
];

/**
 * Scores on the test images and on a new folder side by side, each with its interval and the new
 * folder's baseline, and how much worse they are there.
 */
export function externalScoresTable(
  { drops, internal, external }: ExternalScores,
  { run }: { run: string },
): Displayable {
  const [tests, news] = [
    `test images (n = ${internal.images})`,
    `new images (n = ${external.images})`,
  ];
  const rows = SHOWN.map((name) => drops.find((drop) => drop.name === name)!).map((drop) => ({
    score: drop.name.replaceAll("_", " "),
    [tests]: withInterval(drop.internal),
    [news]: withInterval(drop.external),
    "baseline there": drop.external.baseline === null ? null : digits(drop.external.baseline),
    "worse by": drop.drop === null ? null : signed(drop.drop),
    "95 % interval": drop.low === null || drop.high === null
      ? null
      : `${signed(drop.low)} to ${signed(drop.high)}`,
  }));
  return htmlTable(rows, {
    caption: `Run ${run}: scores on new images beside those on test images`,
  });
}

function withInterval({ value, low, high }: Score): string | null {
  if (value === null) return null;
  const interval = low === null || high === null ? "" : ` (${digits(low)} to ${digits(high)})`;
  return digits(value) + interval;
}

function digits(value: number): string {
  return value.toFixed(3);
}

/** With a true minus sign; what rounds to nothing has none. */
function signed(value: number): string {
  const text = Math.abs(value).toFixed(3);
  return value < 0 && Number(text) > 0 ? `−${text}` : text;
}
