import * as Plot from "@observablehq/plot";
import { card, CONTENT_WIDTH, type LegendItem } from "./card.ts";
import type { Figure } from "./figure.ts";
import { type Panel, plotPanel, titled } from "./panel.ts";
import { classLabel, colors, images, thresholdText } from "./theme.ts";

const BINS = 20;

/**
 * How the probabilities of the positive class are distributed: one chart a true class, or one for
 * new images whose class is not known.
 *
 * @param probabilities Of the positive class.
 * @param labels 0 or 1 (positive), in the same order; left out for new images.
 * @param classes The negative class, then the positive one.
 * @param threshold At or above it an image is called positive; `null` with more than two classes,
 * where the most probable one is the answer.
 */
export function scoreHistogram(
  { probabilities, labels, classes, threshold, run }: {
    probabilities: readonly number[];
    labels?: readonly number[];
    classes: readonly string[];
    threshold: number | null;
    run: string;
  },
): Figure {
  const names = classes.map(classLabel);
  const range = [colors.negative, colors.positive];
  const series = labels
    ? names.map((name, index) => ({
      name,
      color: range[index]!,
      values: probabilities.filter((_, i) => labels[i] === index),
    }))
    : [{ name: "class not known", color: colors.unlabeled, values: [...probabilities] }];
  const legend: LegendItem[] = [
    ...series.map(({ name, color, values }) => ({
      label: `${name} (${values.length.toLocaleString("en-GB")})`,
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
  const notes = [
    threshold === null ? "" : calledNote(probabilities, threshold),
    labels ? "Each chart has its own scale." : "",
  ].filter((note) => note !== "");
  return card({
    title: `Predicted probability of “${names[1]}”`,
    subtitle: `Run ${run} · n = ${images(probabilities.length)}`,
    legend,
    rows: series.map(({ values, color }, i) => [
      histogram(values, color, threshold, i === series.length - 1),
    ]),
    note: notes.join(" "),
  });
}

function calledNote(probabilities: readonly number[], threshold: number): string {
  const called = probabilities.filter((p) => p >= threshold).length;
  return `${called.toLocaleString("en-GB")} of ${images(probabilities.length)} at or above the ` +
    "threshold.";
}

function histogram(
  values: readonly number[],
  color: string,
  threshold: number | null,
  labelled: boolean,
): Panel {
  // bins hold their lower edge, and the last one also 1
  const counts = Array.from({ length: BINS }, (_, i) => ({ from: i, to: i + 1, count: 0 }));
  for (const value of values) counts[Math.min(BINS - 1, Math.floor(value * BINS))]!.count++;
  const bars = counts.map(({ from, to, count }) => ({ x1: from / BINS, x2: to / BINS, count }));
  const most = Math.max(1, ...bars.map((bar) => bar.count));
  return plotPanel({
    width: CONTENT_WIDTH,
    height: labelled ? 172 : 150,
    marginLeft: 56,
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
      tickFormat: (count: number) => Number.isInteger(count) ? String(count) : "",
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
