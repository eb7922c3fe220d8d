import * as Plot from "@observablehq/plot";
import { images, percent } from "../core/words.ts";
import { countConfusions } from "../metrics/rates.ts";
import {
  card,
  classLabel,
  colors,
  CONTENT_WIDTH,
  type Figure,
  type LegendItem,
  type Panel,
  plotPanel,
  thresholdText,
  titled,
  wrap,
} from "./card.ts";

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

/**
 * Confusion matrix with counts and, for each true class, the share that was predicted as what.
 *
 * @param labels Index of the true class of each image.
 * @param predicted Index of the predicted class, in the same order.
 * @param classes Two or more; the last one is the positive class.
 */
export function confusionMatrixChart(
  { labels, predicted, classes, run }: {
    labels: readonly number[];
    predicted: readonly number[];
    classes: readonly string[];
    run: string;
  },
): Figure {
  const counts = countConfusions(labels, predicted, classes.length);
  return card({
    title: "Confusion matrix",
    subtitle: `Run ${run} · n = ${images(labels.length)}`,
    rows: [[drawCells(cellsOf(counts), classes.map(classLabel))]],
    note: "Percentages are of the images of one true class (a row): " +
      (classes.length === 2
        ? "upper left the specificity, lower right the sensitivity."
        : "on the diagonal the sensitivity for each class."),
  });
}

interface Cell {
  /** Class indices of the cell's row and column. */
  truth: number;
  prediction: number;
  count: number;
  /** Share of the row; NaN when the row is empty. */
  rate: number;
}

function cellsOf(matrix: readonly (readonly number[])[]): Cell[] {
  return matrix.flatMap((row, truth) => {
    const all = row.reduce((sum, count) => sum + count, 0);
    return row.map((count, prediction) => ({ truth, prediction, count, rate: count / all }));
  });
}

const LEFT = 150;

// names of the true classes
const RIGHT = 8;

function drawCells(cells: readonly Cell[], names: readonly string[]): Panel {
  const width = names.length === 2 ? 560 : CONTENT_WIDTH;
  const cellWidth = (width - LEFT - RIGHT) / names.length;
  const cellHeight = Math.min(128, cellWidth * 0.7);
  const below = names.map((name) => brokenName(name, cellWidth - 16, 4));
  const beside = names.map((name) => brokenName(name, LEFT - 38, Math.floor(cellHeight / 14)));
  const bottom = 36 + 13 * Math.max(...below.map((name) => name.split("\n").length));
  const axis = { domain: names.map((_, i) => i), padding: 0.03, label: null };
  const ticks = { tickSize: 0, fontSize: 12 };
  const place = { x: "prediction", y: "truth" };
  const fill = (cell: Cell) => cell.rate > 0.55 ? colors.paper : colors.ink;
  const [large, small] = [Math.min(24, cellWidth / 4.2), Math.min(13, cellWidth / 5.5)];
  return plotPanel({
    width,
    height: Math.round(cellHeight * names.length) + 8 + bottom,
    marginLeft: LEFT,
    marginRight: RIGHT,
    marginTop: 8,
    marginBottom: bottom,
    x: axis,
    y: axis,
    color: { type: "linear", domain: [0, 1], range: ["#eef4fa", colors.negative] },
    marks: [
      Plot.cell(cells, { ...place, fill: (cell: Cell) => cell.rate || 0, rx: 3 }),
      Plot.axisX({
        ...titled("Predicted class"),
        ...ticks,
        tickFormat: (index: number) => below[index]!,
        labelOffset: bottom - 8,
      }),
      Plot.axisY({
        ...titled("True class"),
        ...ticks,
        tickFormat: (index: number) => beside[index]!,
        labelOffset: LEFT - 10,
      }),
      Plot.text(cells, {
        ...place,
        text: (cell: Cell) => cell.count.toLocaleString("en-GB"),
        fill,
        fontSize: large,
        fontWeight: "bold",
        dy: -large / 3,
      }),
      Plot.text(cells, {
        ...place,
        text: (cell: Cell) => percent(cell.rate),
        fill,
        fontSize: small,
        dy: large * 2 / 3,
      }),
    ],
  });
}

/** A name in lines of a width; what is more than `lines` of them ends in "…". */
function brokenName(name: string, width: number, lines: number): string {
  const all = wrap(name, width, 12);
  const kept = all.slice(0, lines);
  if (all.length > lines) kept[lines - 1] += "…";
  return kept.join("\n");
}
