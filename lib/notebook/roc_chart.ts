import * as Plot from "@observablehq/plot";
import { percent } from "../in_words.ts";
import { type CurveBand, rocBand } from "../metrics/curve_band.ts";
import { type RocCurve, rocCurve } from "../metrics/roc_curve.ts";
import { rocAuc } from "../roc_auc.ts";
import { card } from "./card.ts";
import { bandMark, bandNote, curveHeading, type CurveInput, curveLegend } from "./curve_parts.ts";
import type { Figure } from "./figure.ts";
import { operatingPoint } from "./operating_point.ts";
import { type Panel, plotPanel } from "./panel.ts";
import { colors } from "./theme.ts";
import { unitAxes } from "./unit_axes.ts";

/** ROC curve of the positive class with its band, the diagonal of chance and the operating point. */
export function rocChart(input: CurveInput): Figure {
  const { labels, probabilities, threshold } = input;
  const heading = curveHeading("ROC curve", input);
  const curve = rocCurve(labels, probabilities);
  const auc = rocAuc(labels, probabilities);
  if (!curve || auc === null) {
    return card({
      ...heading,
      rows: [],
      note: "There is no ROC curve: it needs images of both classes.",
    });
  }
  const band = rocBand(input);
  // both rates are defined, since there are images of both classes
  const point = threshold === null ? null : operatingPoint(labels, probabilities, threshold);
  return card({
    ...heading,
    legend: curveLegend({
      area: `AUC ${auc.toFixed(3)}`,
      band,
      chance: "chance (AUC 0.5)",
      threshold,
    }),
    rows: [[drawCurve(curve, band, point && [1 - point.specificity!, point.sensitivity!])]],
    note: (point
      ? `At the threshold: sensitivity ${percent(point.sensitivity!)}, specificity ` +
        `${percent(point.specificity!)}. `
      : "") + bandNote(band),
  });
}

function drawCurve(curve: RocCurve, band: CurveBand, point: [number, number] | null): Panel {
  const points = curve.falsePositiveRate.map((x, i) => ({ x, y: curve.truePositiveRate[i]! }));
  return plotPanel({
    ...unitAxes("1 − specificity (false positive rate)", "Sensitivity (true positive rate)"),
    marks: [
      bandMark(band),
      Plot.line([[0, 0], [1, 1]], { stroke: colors.muted, strokeDasharray: "4 3" }),
      Plot.line(points, { x: "x", y: "y", stroke: colors.negative, strokeWidth: 2.2 }),
      Plot.dot(point ? [point] : [], { r: 5, fill: colors.positive }),
    ],
  });
}
