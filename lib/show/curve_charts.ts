import * as Plot from "@observablehq/plot";
import type { PlotOptions } from "@observablehq/plot";
import { rocAuc } from "../core/stats.ts";
import { images, percent } from "../core/words.ts";
import {
  type CurveBand,
  type CurveSample,
  precisionRecallBand,
  type PrecisionRecallCurve,
  precisionRecallCurve,
  type ReliabilityBin,
  reliabilityBins,
  rocBand,
  type RocCurve,
  rocCurve,
  thresholdCurve,
  type ThresholdRates,
} from "../metrics/curves.ts";
import { sharedGroups } from "../metrics/intervals.ts";
import {
  averagePrecision,
  confusionMatrix,
  expectedCalibrationError,
  precision,
  sensitivity,
  specificity,
} from "../metrics/rates.ts";
import {
  BAND_OPACITY,
  card,
  colors,
  CONTENT_WIDTH,
  type Figure,
  GAP,
  heading,
  type LegendItem,
  type Panel,
  plotPanel,
  thresholdText,
  titled,
} from "./card.ts";

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

const RATES = [
  { name: "sensitivity", color: colors.positive, mark: "line", dash: "" },
  { name: "specificity", color: colors.negative, mark: "dashed", dash: "7 3" },
  { name: "precision", color: colors.accent, mark: "dotted", dash: "2 3" },
] as const;

/**
 * Sensitivity, specificity and precision over the decision threshold, with the chosen one. A rate
 * that is undefined (no positive images; none called positive) has no line there.
 */
export function thresholdChart(
  { labels, probabilities, threshold, run }: Omit<CurveInput, "groups" | "seed">,
): Figure {
  const heading = curveHeading("Rates over the threshold", { labels, run });
  if (labels.length === 0) return card({ ...heading, rows: [], note: "There are no images." });
  const curve = thresholdCurve(labels, probabilities);
  const chosen = threshold === null ? null : ratesAt(labels, probabilities, threshold);
  const absent = labels.includes(1) ? labels.includes(0) ? "" : "negative" : "positive";
  return card({
    ...heading,
    legend: [
      ...RATES.map(({ name, color, mark }) => ({ label: name, color, mark })),
      ...(threshold === null ? [] : [
        {
          label: `threshold ${thresholdText(threshold)}`,
          color: colors.ink,
          mark: "tick",
        } satisfies LegendItem,
      ]),
    ],
    rows: [[drawRates(curve, threshold, chosen ?? [])]],
    note: (chosen
      ? `At the threshold: ${chosen.map(describe).join(", ")}.`
      : "Of more than two classes the most probable one is the answer: no threshold is in force.") +
      (absent ? ` No image is of the ${absent} class.` : ""),
  });
}

/** One rate at the chosen threshold, as a share of images. */
interface ChosenRate {
  name: string;
  color: string;
  right: number;
  of: number;
}

function ratesAt(
  labels: readonly number[],
  probabilities: readonly number[],
  threshold: number,
): ChosenRate[] {
  const m = confusionMatrix(labels, probabilities.map((p) => p >= threshold ? 1 : 0));
  const shares = {
    sensitivity: { right: m.truePositive, of: m.truePositive + m.falseNegative },
    specificity: { right: m.trueNegative, of: m.trueNegative + m.falsePositive },
    precision: { right: m.truePositive, of: m.truePositive + m.falsePositive },
  };
  return RATES.map(({ name, color }) => ({ name, color, ...shares[name] }));
}

function describe({ name, right, of }: ChosenRate): string {
  return of === 0
    ? `${name} undefined`
    : `${name} ${percent(right / of)} (${right.toLocaleString("en-GB")} of ${
      of.toLocaleString("en-GB")
    })`;
}

function drawRates(
  curve: readonly ThresholdRates[],
  threshold: number | null,
  chosen: readonly ChosenRate[],
): Panel {
  const axis = { domain: [0, 1], grid: true };
  return plotPanel({
    width: CONTENT_WIDTH,
    height: 320,
    marginLeft: 52,
    marginRight: 14,
    marginTop: 10,
    marginBottom: 42,
    x: { ...axis, ticks: 10, ...titled("Threshold on the probability of the positive class") },
    y: { ...axis, ticks: 5, ...titled("Share of images") },
    marks: [
      Plot.ruleX(threshold === null ? [] : [threshold], { stroke: colors.ink, strokeWidth: 1.5 }),
      ...RATES.map(({ name, color, dash }) =>
        Plot.line(curve, {
          x: "threshold",
          y: ({ [name]: rate }: ThresholdRates) => rate ?? NaN, // NaN: a gap
          curve: "step-before", // a rate holds from its threshold down to the one before
          stroke: color,
          strokeWidth: 2.2,
          strokeLinecap: "butt",
          ...(dash ? { strokeDasharray: dash } : {}),
        })
      ),
      Plot.dot(chosen.filter(({ of }) => of > 0), {
        x: threshold ?? 0,
        y: ({ right, of }: ChosenRate) => right / of,
        r: 4.5,
        fill: "color",
        stroke: colors.paper,
      }),
    ],
  });
}

/** What a ROC or precision-recall chart is drawn from. */
interface CurveInput extends CurveSample {
  /**
   * At or above it an image is called positive; `null` with more than two classes, where the most
   * probable one is the answer.
   */
  threshold: number | null;
  run: string;
}

/** Title and subtitle with run and numbers. */
function curveHeading(
  title: string,
  { labels, run }: Pick<CurveInput, "labels" | "run">,
): { title: string; subtitle: string } {
  const positives = labels.filter((label) => label === 1).length;
  return {
    title,
    subtitle: `Run ${run} · n = ${images(labels.length)}, ${positives} positive`,
  };
}

/** The band, to be drawn below its curve. */
function bandMark({ points }: CurveBand): Plot.Markish {
  return Plot.areaY(points, {
    x: "x",
    y1: "low",
    y2: "high",
    fill: colors.negative,
    fillOpacity: BAND_OPACITY,
  });
}

/** The legend of a curve: the model with its area, the band, chance and the operating point. */
function curveLegend(
  { area, band, chance, threshold }: {
    /** "AUC 0.933". */
    area: string;
    band: CurveBand;
    /** What a useless model has. */
    chance: string;
    threshold: number | null;
  },
): LegendItem[] {
  const { low, high } = band.area;
  const interval = low === null || high === null
    ? ""
    : `, 95 % interval ${low.toFixed(3)} to ${high.toFixed(3)}`;
  return [
    { label: `model (${area}${interval})`, color: colors.negative, mark: "line" },
    ...(band.points.length === 0
      ? []
      : [{ label: "95 % band", color: colors.band, mark: "area" } satisfies LegendItem]),
    { label: chance, color: colors.muted, mark: "dashed" },
    ...(threshold === null ? [] : [
      {
        label: `threshold ${thresholdText(threshold)}`,
        color: colors.positive,
        mark: "circle",
      } satisfies LegendItem,
    ]),
  ];
}

/** How the band was found, or why there is none. */
function bandNote({ points, area, method }: CurveBand): string {
  return points.length > 0
    ? `Band and interval: ${method}; the band point by point.`
    : `No band: ${area.reason}.`;
}

/** A square chart whose axes both run from 0 to 1: ROC and precision-recall curves. */
function unitAxes(
  xLabel: string,
  yLabel: string,
): PlotOptions & { width: number; height: number } {
  const axis = { domain: [0, 1], ticks: 5, grid: true };
  return {
    width: 480,
    height: 440,
    marginLeft: 56,
    marginRight: 14,
    marginTop: 10,
    marginBottom: 42,
    x: { ...axis, ...titled(xLabel) },
    y: { ...axis, ...titled(yLabel) },
  };
}

/** Where a decision threshold puts a model; `null` where a rate is undefined. */
interface OperatingPoint {
  sensitivity: number | null;
  specificity: number | null;
  precision: number | null;
}

/**
 * The rates at a threshold: an image is called positive when its probability is at or above it.
 *
 * @param labels 0 or 1 (positive).
 * @param probabilities Of the positive class, in the same order.
 */
function operatingPoint(
  labels: readonly number[],
  probabilities: readonly number[],
  threshold: number,
): OperatingPoint {
  const m = confusionMatrix(labels, probabilities.map((p) => p >= threshold ? 1 : 0));
  return { sensitivity: sensitivity(m), specificity: specificity(m), precision: precision(m) };
}

const PANEL_WIDTH = (CONTENT_WIDTH - GAP) / 2;

const MARGINS = { marginLeft: 52, marginRight: 12 };

/**
 * Reliability diagram before and, where there is one, after calibration: of the images with about
 * the same probability, the share that is positive, with how many images that rests on.
 *
 * @param labels 0 or 1 (positive).
 * @param probabilities Of the positive class as the model gives them, in the same order.
 * @param calibrated The same after calibration; left out where the model has none.
 * @param groups Patient or slide of each image.
 */
export function reliabilityChart(
  { labels, probabilities, calibrated, groups, run }: {
    labels: readonly number[];
    probabilities: readonly number[];
    calibrated?: readonly number[];
    groups?: readonly string[];
    run: string;
  },
): Figure {
  const heading = curveHeading("Reliability diagram", { labels, run });
  const before = expectedCalibrationError(labels, probabilities);
  if (before === null) {
    return card({ ...heading, rows: [], note: "There is no reliability diagram: no images." });
  }
  const sides = [
    {
      title: `${calibrated ? "Before calibration" : "Not calibrated"}: ECE ${before.toFixed(3)}`,
      bins: reliabilityBins(labels, probabilities),
      color: colors.positive,
    },
    ...(calibrated
      ? [{
        title: `After calibration: ECE ${expectedCalibrationError(labels, calibrated)!.toFixed(3)}`,
        bins: reliabilityBins(labels, calibrated),
        color: colors.negative,
      }]
      : []),
  ];
  return card({
    ...heading,
    legend: [
      {
        label: "share of positive images, with 95 % interval (Wilson)",
        color: calibrated ? colors.ink : colors.positive,
        mark: "circle",
      },
      { label: "perfect calibration", color: colors.muted, mark: "dashed" },
    ],
    rows: [
      sides.map((side) => diagram(side)),
      sides.map((side) => histogram(side)),
    ],
    note:
      "ECE: expected calibration error, the mean vertical distance of the dots from the diagonal " +
      "weighted by their images; 0 is best." +
      (sharedGroups(groups)
        ? " The intervals take images as independent; those of one group are not, so that they " +
          "are too narrow."
        : ""),
  });
}

interface Side {
  title: string;
  bins: readonly ReliabilityBin[];
  color: string;
}

function diagram({ title, bins, color }: Side): Panel {
  const axis = { domain: [0, 1], ticks: 5, grid: true };
  return plotPanel({
    ...MARGINS,
    width: PANEL_WIDTH,
    height: 318,
    marginTop: 28,
    marginBottom: 20,
    x: { ...axis, label: null },
    y: { ...axis, ...titled("Share of positive images") },
    marks: [
      heading(title),
      Plot.line([[0, 0], [1, 1]], { stroke: colors.muted, strokeDasharray: "4 3" }),
      Plot.line(bins, { x: "meanProbability", y: "share", stroke: color, strokeOpacity: 0.45 }),
      Plot.ruleX(bins, {
        x: "meanProbability",
        y1: "low",
        y2: "high",
        stroke: color,
        strokeWidth: 1.8,
      }),
      Plot.dot(bins, { x: "meanProbability", y: "share", r: 4.5, fill: color }),
    ],
  });
}

/** How many images are in each bin. */
function histogram({ bins, color }: Side): Panel {
  const most = Math.max(...bins.map(({ n }) => n));
  return plotPanel({
    ...MARGINS,
    width: PANEL_WIDTH,
    height: 118,
    marginTop: 4,
    marginBottom: 40,
    x: { domain: [0, 1], ticks: 5, ...titled("Probability of the positive class") },
    y: { domain: [0, most * 1.3], axis: null },
    marks: [
      Plot.axisY({ ticks: [], ...titled("Images") }),
      Plot.rectY(bins, {
        x1: "from",
        x2: "to",
        y: "n",
        fill: color,
        fillOpacity: 0.55,
        inset: 0.75,
      }),
      Plot.text(bins, {
        x: ({ from, to }: ReliabilityBin) => (from + to) / 2,
        y: "n",
        text: ({ n }: ReliabilityBin) => n < 10_000 ? String(n) : `${Math.round(n / 1000)}k`,
        dy: -7,
        fontSize: 10,
      }),
      Plot.ruleY([0], { stroke: colors.ink }),
    ],
  });
}
