import * as Plot from "@observablehq/plot";
import { images } from "../in_words.ts";
import { card, CONTENT_WIDTH, type LegendItem } from "./card.ts";
import type { Figure } from "./figure.ts";
import { type Panel, plotPanel, titled } from "./panel.ts";
import { classLabel, colors, thresholdText } from "./theme.ts";

const BINS = 20;

/** Some images, by probability. */
interface Series {
  name: string;
  color: string;
  /** Images in equal bins from 0 to 1, which hold their lower edge; the last one also holds 1. */
  counts: readonly number[];
}

/**
 * How the probabilities of the positive class are distributed: one chart a true class.
 *
 * @param probabilities Of the positive class.
 * @param labels 0 or 1 (positive), in the same order.
 * @param classes The negative class, then the positive one.
 * @param threshold At or above it an image is called positive; `null` with more than two classes,
 * where the most probable one is the answer.
 */
export function scoreHistogram(
  { probabilities, labels, classes, threshold, run }: {
    probabilities: readonly number[];
    labels: readonly number[];
    classes: readonly string[];
    threshold: number | null;
    run: string;
  },
): Figure {
  const range = [colors.negative, colors.positive];
  const series = classes.map((name, index) => ({
    name: classLabel(name),
    color: range[index]!,
    counts: binCounts(probabilities.filter((_, i) => labels[i] === index)),
  }));
  const called = threshold === null ? 0 : probabilities.filter((p) => p >= threshold).length;
  return figure({ series, called, classes, threshold, run });
}

/**
 * How the probabilities of the positive class are distributed among new images, whose class is not
 * known.
 *
 * @param counts Images in equal bins from 0 to 1.
 * @param called Images at or above the threshold.
 * @param classes The negative class, then the positive one.
 */
export function newScoresHistogram(
  { counts, ...rest }: {
    counts: readonly number[];
    called: number;
    classes: readonly string[];
    threshold: number | null;
    run: string;
  },
): Figure {
  return figure({
    series: [{ name: "class not known", color: colors.unlabeled, counts }],
    ...rest,
  });
}

function figure(
  { series, called, classes, threshold, run }: {
    series: readonly Series[];
    called: number;
    classes: readonly string[];
    threshold: number | null;
    run: string;
  },
): Figure {
  const legend: LegendItem[] = [
    ...series.map(({ name, color, counts }) => ({
      label: `${name} (${sum(counts).toLocaleString("en-GB")})`,
      color,
      mark: "area" as const,
    })),
    ...(threshold === null ? [] : [
      {
        label: `threshold ${thresholdText(threshold)}`,
        color: colors.ink,
        mark: "dashed",
      } satisfies LegendItem,
    ]),
  ];
  const n = images(sum(series.map(({ counts }) => sum(counts))));
  const notes = [
    threshold === null
      ? ""
      : `${called.toLocaleString("en-GB")} of ${n} at or above the threshold.`,
    series.length > 1 ? "Each chart has its own scale." : "",
  ].filter((note) => note !== "");
  return card({
    title: `Predicted probability of “${classLabel(classes[1]!)}”`,
    subtitle: `Run ${run} · n = ${n}`,
    legend,
    rows: series.map(({ counts, color }, i) => [
      histogram(counts, color, threshold, i === series.length - 1),
    ]),
    note: notes.join(" "),
  });
}

function binCounts(values: readonly number[]): number[] {
  const counts = new Array<number>(BINS).fill(0);
  for (const value of values) counts[Math.min(BINS - 1, Math.floor(value * BINS))]! += 1;
  return counts;
}

function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0);
}

function histogram(
  counts: readonly number[],
  color: string,
  threshold: number | null,
  labelled: boolean,
): Panel {
  const bins = counts.length;
  const bars = counts.map((count, i) => ({ x1: i / bins, x2: (i + 1) / bins, count }));
  const most = Math.max(1, ...counts);
  return plotPanel({
    width: CONTENT_WIDTH,
    height: labelled ? 172 : 150,
    marginLeft: 56 + 7 * Math.max(0, most.toLocaleString("en-GB").length - 4), // of the longest tick
    marginRight: 12,
    marginTop: 10,
    marginBottom: labelled ? 42 : 20,
    x: {
      domain: [0, 1],
      ticks: 10,
      ...(labelled ? titled("Probability of the positive class") : { label: null }),
    },
    y: {
      domain: [0, most],
      nice: true,
      grid: true,
      ticks: Math.min(most, 4),
      tickFormat: (count: number) => Number.isInteger(count) ? count.toLocaleString("en-GB") : "",
      ...titled("Images"),
    },
    marks: [
      Plot.rectY(bars, { x1: "x1", x2: "x2", y: "count", fill: color, inset: 0.75 }),
      Plot.ruleX(threshold === null ? [] : [threshold], {
        stroke: colors.ink,
        strokeWidth: 1.5,
        strokeDasharray: "4 3",
      }),
      Plot.ruleY([0], { stroke: colors.ink }),
    ],
  });
}
