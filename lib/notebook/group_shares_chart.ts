import * as Plot from "@observablehq/plot";
import { describeShare } from "../evaluation/describe_share.ts";
import type { GroupShare, GroupShares } from "../evaluation/group_shares.ts";
import { images, percent } from "../in_words.ts";
import { card, CONTENT_WIDTH, type LegendItem } from "./card.ts";
import { printable } from "./escape_html.ts";
import type { Figure } from "./figure.ts";
import { NO_GROUP } from "./group_shares_table.ts";
import { type Panel, plotPanel, titled } from "./panel.ts";
import { shorten } from "./text_layout.ts";
import { classLabel, colors } from "./theme.ts";

/** With more groups there is no room for their names. */
const MOST_NAMED = 40;

/** With more groups, as many of them, evenly spread over the order, are drawn. */
const MOST_DRAWN = 600;

const ROW = 17; // height of a named group, in pixels
const NAME_WIDTH = 130; // with room to spare: where its fonts are missing, text is wider

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
