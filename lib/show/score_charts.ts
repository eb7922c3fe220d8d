import * as Plot from "@observablehq/plot";
import { bin, max, range, sum } from "d3-array";
import { images, percent } from "../core/words.ts";
import { countConfusions, positiveClass } from "../metrics/rates.ts";
import type { Predictions } from "../run/predictions.ts";
import {
  card,
  type ChartOptions,
  classLabel,
  colors,
  contentWidth,
  type Figure,
  HISTOGRAM_BAR,
  type Panel,
  plotPanel,
  quoted,
  REFERENCE_LINE,
  runLine,
  thresholdItem,
  titled,
  wrap,
} from "./card.ts";

/** Equal bins from 0 to 1, which hold their lower edge; the last one also holds 1. */
const binned = bin().domain([0, 1]).thresholds(range(1, 20).map((i) => i / 20));

/** How the probabilities of the positive class are distributed: one chart a true class. */
export function scoreHistogram(predictions: Predictions, options: ChartOptions = {}): Figure {
  const { probabilities, labels, threshold, run } = predictions;
  const classes = positiveClass(predictions.classes).names;
  const series = classes.map((name, label): Series => ({
    name: classLabel(name),
    color: label === 1 ? colors.positive : colors.negative,
    counts: binned(probabilities.filter((_, i) => labels[i] === label)).map(({ length }) => length),
  }));
  const called = threshold === null ? 0 : probabilities.filter((p) => p >= threshold).length;
  return histogram({ series, called, classes, threshold, run }, options);
}

/**
 * How the probabilities of the positive class are distributed among new images, whose class is not
 * known.
 *
 * @param scores `counts`: images in equal bins from 0 to 1.
 */
export function newScoresHistogram(
  { counts, ...rest }: Omit<Histogram, "series"> & Pick<Series, "counts">,
  options: ChartOptions = {},
): Figure {
  const series = [{ name: "class not known", color: colors.unlabeled, counts }];
  return histogram({ ...rest, series }, options);
}

type Series = { name: string; color: string; counts: readonly number[] };

interface Histogram {
  series: Series[];
  /** Images at or above the threshold. */
  called: number;
  /** The negative class, then the positive one. */
  classes: readonly string[];
  threshold: number | null;
  run: string;
}

function histogram(
  { series, called, classes, threshold, run }: Histogram,
  options: ChartOptions,
): Figure {
  const n = sum(series, ({ counts }) => sum(counts));
  const notes = [
    threshold !== null &&
    `${called.toLocaleString("en-GB")} of ${images(n)} at or above the threshold.`,
    series.length > 1 && "Each chart has its own scale.",
  ];
  return card({
    title: `Predicted probability of ${quoted(classes[1]!)}`,
    subtitle: runLine(run, n),
    legend: [
      ...series.map(({ name, color, counts }) => ({
        label: `${name} (${sum(counts).toLocaleString("en-GB")})`,
        color,
        mark: "area" as const,
      })),
      ...thresholdItem(threshold, colors.ink, "dashed"),
    ],
    rows: series.map((one) => [bars(one, threshold, one === series.at(-1), contentWidth(options))]),
    note: notes.filter(Boolean).join(" "),
  }, options);
}

/** @param labelled Whether the horizontal axis has its title: it stands below the last chart. */
function bars(
  { counts, color }: Series,
  threshold: number | null,
  labelled: boolean,
  width: number,
): Panel {
  const bins = counts.length;
  const rows = counts.map((count, i) => ({ from: i / bins, to: (i + 1) / bins, count }));
  const ink = { stroke: colors.ink };
  const most = max([1, ...counts])!;
  const longest = most.toLocaleString("en-GB").length; // of the ticks
  return plotPanel({
    width,
    height: labelled ? 172 : 150,
    margins: [10, 12, labelled ? 42 : 20, 56 + 7 * Math.max(0, longest - 4)],
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
      Plot.rectY(rows, { ...HISTOGRAM_BAR, y: "count", fill: color }),
      Plot.ruleX(threshold === null ? [] : [threshold], {
        ...REFERENCE_LINE,
        ...ink,
        strokeWidth: 1.5,
      }),
      Plot.ruleY([0], ink),
    ],
  });
}

/** Confusion matrix with counts and, for each true class, the share that was predicted as what. */
export function confusionMatrixChart(
  { trueClasses, predictedClasses, classes, run }: Predictions,
  options: ChartOptions = {},
): Figure {
  const counts = countConfusions(trueClasses, predictedClasses, classes.length);
  const width = contentWidth({ ...(classes.length === 2 ? { width: 596 } : {}), ...options });
  return card({
    title: "Confusion matrix",
    subtitle: runLine(run, trueClasses.length),
    rows: [[drawCells(counts, classes.map(classLabel), width)]],
    note: "Percentages are of the images of one true class (a row): " +
      (classes.length === 2
        ? "upper left the specificity, lower right the sensitivity."
        : "on the diagonal the sensitivity for each class."),
  }, options);
}

/** Beside the cells: names of the true classes on the left. */
const [LEFT, RIGHT] = [150, 8];

/** @param matrix Counts by the indices of the true and the predicted class. */
function drawCells(matrix: number[][], names: readonly string[], width: number): Panel {
  const cells = matrix.flatMap((row, truth) =>
    // the rate of an empty row is NaN
    row.map((count, prediction) => ({ truth, prediction, count, rate: count / sum(row) }))
  );
  const cellWidth = (width - LEFT - RIGHT) / names.length;
  const cellHeight = Math.min(128, cellWidth * 0.7);
  const below = names.map((name) => brokenName(name, cellWidth - 16, 4));
  const beside = names.map((name) => brokenName(name, LEFT - 38, Math.floor(cellHeight / 14)));
  const bottom = 36 + 13 * max(below, (name) => name.split("\n").length)!;
  const axis = { domain: names.map((_, i) => i), padding: 0.03, label: null };
  const ticks = { tickSize: 0, fontSize: 12 };
  const place = { x: "prediction", y: "truth" };
  const fill = ({ rate }: { rate: number }) => rate > 0.55 ? colors.paper : colors.ink;
  const [large, small] = [Math.min(24, cellWidth / 4.2), Math.min(13, cellWidth / 5.5)];
  const counted = { ...place, fill, fontSize: large, fontWeight: "bold", dy: -large / 3 };
  const rated = { ...place, fill, fontSize: small, dy: large * 2 / 3 };
  return plotPanel({
    width,
    height: Math.round(cellHeight * names.length) + 8 + bottom,
    margins: [8, RIGHT, bottom, LEFT],
    x: axis,
    y: axis,
    color: { type: "linear", domain: [0, 1], range: ["#eef4fa", colors.negative] },
    marks: [
      Plot.cell(cells, { ...place, fill: ({ rate }) => rate || 0, rx: 3 }),
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
      Plot.text(cells, { ...counted, text: ({ count }) => count.toLocaleString("en-GB") }),
      Plot.text(cells, { ...rated, text: ({ rate }) => percent(rate) }),
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
