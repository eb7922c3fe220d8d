import * as Plot from "@observablehq/plot";
import { percent } from "../in_words.ts";
import { type CurveBand, precisionRecallBand } from "../metrics/curve_band.ts";
import {
  averagePrecision,
  type PrecisionRecallCurve,
  precisionRecallCurve,
} from "../metrics/precision_recall.ts";
import { card } from "./card.ts";
import { bandMark, bandNote, curveHeading, type CurveInput, curveLegend } from "./curve_parts.ts";
import type { Figure } from "./figure.ts";
import { type OperatingPoint, operatingPoint } from "./operating_point.ts";
import { type Panel, plotPanel } from "./panel.ts";
import { colors } from "./theme.ts";
import { unitAxes } from "./unit_axes.ts";

/**
 * Precision-recall curve of the positive class with its band, the share of positive images, which a
 * useless model reaches, and the operating point. Drawn in steps, so that its area is the average
 * precision.
 */
export function precisionRecallChart(input: CurveInput): Figure {
  const { labels, probabilities, threshold } = input;
  const heading = curveHeading("Precision-recall curve", input);
  const curve = precisionRecallCurve(labels, probabilities);
  const area = averagePrecision(labels, probabilities);
  if (!curve || area === null) {
    return card({
      ...heading,
      rows: [],
      note: "There is no precision-recall curve: it needs images of the positive class.",
    });
  }
  const band = precisionRecallBand(input);
  const share = labels.filter((label) => label === 1).length / labels.length;
  const point = threshold === null ? null : operatingPoint(labels, probabilities, threshold);
  return card({
    ...heading,
    legend: curveLegend({
      area: `average precision ${area.toFixed(3)}`,
      band,
      chance: `share of positive images, ${percent(share)}`,
      threshold,
    }),
    rows: [[drawSteps({ curve, band, share, point })]],
    note: pointNote(point) + bandNote(band),
  });
}

function pointNote(point: OperatingPoint | null): string {
  if (point === null) return "";
  if (point.precision === null) return "At the threshold no image is called positive. ";
  return `At the threshold: precision ${percent(point.precision)}, recall ` +
    `${percent(point.sensitivity!)}. `;
}

function drawSteps(
  { curve, band, share, point }: {
    curve: PrecisionRecallCurve;
    band: CurveBand;
    share: number;
    point: OperatingPoint | null;
  },
): Panel {
  // the curve's closing point (recall 0, precision 1) is a convention, not a threshold: the first
  // step is drawn at the precision of the first threshold instead
  const points = curve.recall.map((recall, i) => ({
    recall,
    precision: curve.precision[Math.min(i, curve.thresholds.length - 1)]!,
  })).reverse();
  return plotPanel({
    ...unitAxes("Recall (sensitivity)", "Precision"),
    marks: [
      bandMark(band),
      Plot.ruleY([share], { stroke: colors.muted, strokeDasharray: "4 3" }),
      Plot.line(points, {
        x: "recall",
        y: "precision",
        curve: "step-before",
        stroke: colors.negative,
        strokeWidth: 2.2,
      }),
      Plot.dot(point === null || point.precision === null ? [] : [point], {
        x: "sensitivity",
        y: "precision",
        r: 5,
        fill: colors.positive,
      }),
    ],
  });
}
