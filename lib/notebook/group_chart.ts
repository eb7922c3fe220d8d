import * as Plot from "@observablehq/plot";
import { images, percent } from "../in_words.ts";
import { type GroupScores, groupScores, type ScoredShare } from "../metrics/group_scores.ts";
import { sharedGroups } from "../metrics/shared_groups.ts";
import { card, CONTENT_WIDTH, GAP } from "./card.ts";
import { printable } from "./escape_html.ts";
import type { Figure } from "./figure.ts";
import { heading, type Panel, plotPanel, titled } from "./panel.ts";
import { shorten } from "./text_layout.ts";
import { colors } from "./theme.ts";

/** More rows than this are no longer read. */
const MAX_ROWS = 20;
const NAMES = 151; // width of the column of names; leaves a whole number for each of the scores
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
