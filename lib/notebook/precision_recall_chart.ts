import * as Plot from "@observablehq/plot";
import {
  averagePrecision,
  type PrecisionRecallCurve,
  precisionRecallCurve,
} from "../metrics/precision_recall.ts";
import { card, type LegendItem } from "./card.ts";
import type { Figure } from "./figure.ts";
import { operatingPoint } from "./operating_point.ts";
import { type Panel, plotPanel } from "./panel.ts";
import { colors, images, percent } from "./theme.ts";
import { unitAxes } from "./unit_axes.ts";

/**
 * Precision-recall curve of the positive class with the share of positive images, which a useless
 * model reaches, and the operating point. Drawn in steps, so that its area is the average
 * precision.
 *
 * @param labels 0 or 1 (positive).
 * @param probabilities Of the positive class, in the same order.
 * @param threshold At or above it an image is called positive.
 */
export function precisionRecallChart(
  { labels, probabilities, threshold, run }: {
    labels: readonly number[];
    probabilities: readonly number[];
    threshold: number;
    run: string;
  },
): Figure {
  const positives = labels.filter((label) => label === 1).length;
  const heading = {
    title: "Precision-recall curve",
    subtitle: `Run ${run} · n = ${images(labels.length)}, ${positives} positive`,
  };
  const curve = precisionRecallCurve(labels, probabilities);
  const area = averagePrecision(labels, probabilities);
  const { sensitivity, precision } = operatingPoint(labels, probabilities, threshold);
  if (!curve || area === null || sensitivity === null) {
    return card({
      ...heading,
      rows: [],
      note: "There is no precision-recall curve: it needs images of the positive class.",
    });
  }
  const share = positives / labels.length;
  const panel = drawSteps(curve, share, precision === null ? [] : [[sensitivity, precision]]);
  const legend: LegendItem[] = [
    { label: `model (average precision ${area.toFixed(3)})`, color: colors.negative, mark: "line" },
    { label: `share of positive images, ${percent(share)}`, color: colors.muted, mark: "dashed" },
    { label: `threshold ${threshold.toFixed(2)}`, color: colors.positive, mark: "circle" },
  ];
  return card({
    ...heading,
    legend,
    rows: [[panel]],
    note: precision === null
      ? "At the threshold no image is called positive."
      : `At the threshold: precision ${percent(precision)}, recall ${percent(sensitivity)}.`,
  });
}

function drawSteps(curve: PrecisionRecallCurve, share: number, point: [number, number][]): Panel {
  // the curve's closing point (recall 0, precision 1) is a convention, not a threshold: the first
  // step is drawn at the precision of the first threshold instead
  const points = curve.recall.map((recall, i) => ({
    recall,
    precision: curve.precision[Math.min(i, curve.thresholds.length - 1)]!,
  })).reverse();
  const steps = { x: "recall", curve: "step-before" } as const;
  const fill = { fill: colors.negative, fillOpacity: 0.08 };
  return plotPanel({
    ...unitAxes("Recall (sensitivity)", "Precision"),
    marks: [
      Plot.ruleY([share], { stroke: colors.muted, strokeDasharray: "4 3" }),
      Plot.areaY(points, { ...steps, y1: 0, y2: "precision", ...fill }),
      Plot.line(points, { ...steps, y: "precision", stroke: colors.negative, strokeWidth: 2.2 }),
      Plot.dot(point, { r: 5, fill: colors.positive }),
    ],
  });
}
