import * as Plot from "@observablehq/plot";
import { rocCurve } from "../metrics/roc_curve.ts";
import { rocAuc } from "../roc_auc.ts";
import { card } from "./card.ts";
import type { Figure } from "./figure.ts";
import { operatingPoint } from "./operating_point.ts";
import { plotPanel } from "./panel.ts";
import { colors, images, percent } from "./theme.ts";
import { unitAxes } from "./unit_axes.ts";

/**
 * ROC curve of the positive class with the diagonal of chance and the operating point.
 *
 * @param labels 0 or 1 (positive).
 * @param probabilities Of the positive class, in the same order.
 * @param threshold At or above it an image is called positive.
 */
export function rocChart(
  { labels, probabilities, threshold, run }: {
    labels: readonly number[];
    probabilities: readonly number[];
    threshold: number;
    run: string;
  },
): Figure {
  const positives = labels.filter((label) => label === 1).length;
  const heading = {
    title: "ROC curve",
    subtitle: `Run ${run} · n = ${images(labels.length)}, ${positives} positive`,
  };
  const curve = rocCurve(labels, probabilities);
  const auc = rocAuc(labels, probabilities);
  const point = operatingPoint(labels, probabilities, threshold);
  if (!curve || auc === null || point.sensitivity === null || point.specificity === null) {
    return card({
      ...heading,
      rows: [],
      note: "There is no ROC curve: it needs images of both classes.",
    });
  }
  const points = curve.falsePositiveRate.map((x, i) => ({ x, y: curve.truePositiveRate[i]! }));
  const panel = plotPanel({
    ...unitAxes("1 − specificity (false positive rate)", "Sensitivity (true positive rate)"),
    marks: [
      Plot.line([[0, 0], [1, 1]], { stroke: colors.muted, strokeDasharray: "4 3" }),
      Plot.areaY(points, { x: "x", y1: 0, y2: "y", fill: colors.negative, fillOpacity: 0.08 }),
      Plot.line(points, { x: "x", y: "y", stroke: colors.negative, strokeWidth: 2.2 }),
      Plot.dot([[1 - point.specificity, point.sensitivity]], { r: 5, fill: colors.positive }),
    ],
  });
  return card({
    ...heading,
    legend: [
      { label: `model (AUC ${auc.toFixed(3)})`, color: colors.negative, mark: "line" },
      { label: "chance (AUC 0.5)", color: colors.muted, mark: "dashed" },
      { label: `threshold ${threshold.toFixed(2)}`, color: colors.positive, mark: "circle" },
    ],
    rows: [[panel]],
    note: `At the threshold: sensitivity ${percent(point.sensitivity)}, specificity ` +
      `${percent(point.specificity)}.`,
  });
}
