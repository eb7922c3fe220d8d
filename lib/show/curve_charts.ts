import * as Plot from "@observablehq/plot";
import { max, sum } from "d3-array";
import { rocAuc } from "../core/stats.ts";
import { percent } from "../core/words.ts";
import {
  type CurveBand,
  precisionRecallBand,
  precisionRecallCurve,
  type ReliabilityBin,
  reliabilityBins,
  rocBand,
  rocCurve,
  thresholdCurve,
  type ThresholdRates,
} from "../metrics/curves.ts";
import { sharedGroups } from "../metrics/intervals.ts";
import { averagePrecision, confusionMatrix, expectedCalibrationError } from "../metrics/rates.ts";
import type { Predictions } from "../run/predictions.ts";
import {
  card,
  type ChartOptions,
  colors,
  contentWidth,
  type Figure,
  halfWidth,
  heading,
  HISTOGRAM_BAR,
  type LegendItem,
  type Panel,
  plotPanel,
  REFERENCE_LINE,
  runLine,
  thresholdItem,
  titled,
  UNIT_AXIS,
} from "./card.ts";

/** ROC curve of the positive class with its band, the diagonal of chance and the operating point. */
export function rocChart(predictions: Predictions, options: ChartOptions = {}): Figure {
  const { labels, probabilities } = predictions;
  const head = headOf("ROC curve", predictions);
  const curve = rocCurve(labels, probabilities);
  if (!curve) {
    const note = "There is no ROC curve: it needs images of both classes.";
    return card({ ...head, note }, options);
  }
  // both rates are defined, since there are images of both classes
  const [sensitivity, specificity] = countsAt(predictions).map(({ right, of }) => right / of);
  return curveCard(predictions, options, {
    ...head,
    area: `AUC ${rocAuc(labels, probabilities)!.toFixed(3)}`,
    band: rocBand(predictions),
    chance: "chance (AUC 0.5)",
    axes: ["1 − specificity (false positive rate)", "Sensitivity (true positive rate)"],
    points: curve.falsePositiveRate.map((x, i) => [x, curve.truePositiveRate[i]!]),
    baseline: [[0, 0], [1, 1]],
    operating: [1 - specificity!, sensitivity!],
    rates: `sensitivity ${percent(sensitivity!)}, specificity ${percent(specificity!)}`,
  });
}

/**
 * Precision-recall curve of the positive class with its band, the prevalence and the operating point.
 * Drawn in steps, so that its area is the average precision.
 */
export function precisionRecallChart(predictions: Predictions, options: ChartOptions = {}): Figure {
  const { labels, probabilities } = predictions;
  const head = headOf("Precision-recall curve", predictions);
  const curve = precisionRecallCurve(labels, probabilities);
  if (!curve) {
    const note = "There is no precision-recall curve: it needs images of the positive class.";
    return card({ ...head, note }, options);
  }
  const prevalence = sum(labels) / labels.length;
  const [recall, , precision] = countsAt(predictions)
    .map(({ right, of }) => of === 0 ? null : right / of);
  // the curve's closing point (recall 0, precision 1) is a convention, not a threshold: the first
  // step is drawn at the precision of the first threshold instead
  const last = curve.thresholds.length - 1;
  const points = curve.recall.map((x, i): Point => [x, curve.precision[Math.min(i, last)]!]);
  return curveCard(predictions, options, {
    ...head,
    area: `average precision ${averagePrecision(labels, probabilities)!.toFixed(3)}`,
    band: precisionRecallBand(predictions),
    chance: `prevalence ${percent(prevalence)}`,
    axes: ["Recall (sensitivity)", "Precision"],
    points: points.reverse(),
    shape: "step-before",
    baseline: [[0, prevalence], [1, prevalence]],
    operating: precision == null ? null : [recall!, precision],
    rates: precision == null
      ? "no image is predicted as positive"
      : `precision ${percent(precision)}, recall ${percent(recall!)}`,
  });
}

function headOf(title: string, { labels, run }: Predictions) {
  return { title, subtitle: `${runLine(run, labels.length)}, ${sum(labels)} positive` };
}

/** Of a vertical interval. */
const BETWEEN = { y1: "low", y2: "high" };

type Point = readonly [x: number, y: number];

/** Why what was decided need not lie on a curve over one threshold; empty without folds. */
function ofFolds({ source, threshold }: Predictions): string {
  return source === "out of fold" && threshold !== null
    ? "Each fold was decided by a threshold of its own, learnt on the others: dots may lie off the " +
      "curves. "
    : "";
}

function curveCard(predictions: Predictions, options: ChartOptions, curve: {
  title: string;
  subtitle: string;
  /** "AUC 0.933". */
  area: string;
  band: CurveBand;
  /** What a model of no use has, in words and as a line. */
  chance: string;
  baseline: Point[];
  axes: [x: string, y: string];
  points: Point[];
  shape?: "step-before";
  /** Where the threshold puts the model, as a point and in words. */
  operating: Point | null;
  rates: string;
}): Figure {
  const { threshold } = predictions;
  const { area, band: { points: band, area: { low, high, reason }, method } } = curve;
  const limits = low === null || high === null
    ? ""
    : `, 95 % confidence interval ${low.toFixed(3)} to ${high.toFixed(3)}`;
  const width = contentWidth({ width: 516, ...options });
  const operatingDot = { r: 5, fill: colors.positive };
  const panel = plotPanel({
    width,
    height: width - 40,
    margins: [10, 14, 42, 56],
    x: { ...UNIT_AXIS, ...titled(curve.axes[0]) },
    y: { ...UNIT_AXIS, ...titled(curve.axes[1]) },
    marks: [
      Plot.areaY(band, { x: "x", ...BETWEEN, fill: colors.negative, fillOpacity: 0.2 }),
      Plot.line(curve.baseline, REFERENCE_LINE),
      Plot.line(curve.points, { curve: curve.shape, stroke: colors.negative, strokeWidth: 2.2 }),
      Plot.dot(threshold === null || !curve.operating ? [] : [curve.operating], operatingDot),
    ],
  });
  const bandItem: LegendItem = { label: "95 % band", color: colors.band, mark: "area" };
  return card({
    ...curve,
    legend: [
      { label: `model (${area}${limits})`, color: colors.negative, mark: "line" },
      ...(band.length === 0 ? [] : [bandItem]),
      { label: curve.chance, color: colors.muted, mark: "dashed" },
      ...thresholdItem(threshold, colors.positive, "circle"),
    ],
    rows: [[panel]],
    note: (threshold === null ? "" : `At the threshold: ${curve.rates}. `) + ofFolds(predictions) +
      (band.length > 0
        ? `Band and interval: ${method}; the band point by point.`
        : `No band: ${reason}.`),
  }, options);
}

const RATES = [
  { name: "sensitivity", color: colors.positive, mark: "line", dash: {} },
  { name: "specificity", color: colors.negative, mark: "dashed", dash: { strokeDasharray: "7 3" } },
  { name: "precision", color: colors.accent, mark: "dotted", dash: { strokeDasharray: "2 3" } },
] as const;

/** The counts behind each of {@linkcode RATES}: `right` of `of` images. */
function countsAt({ labels, predicted }: Predictions) {
  const m = confusionMatrix(labels, predicted);
  const right = [m.truePositive, m.trueNegative, m.truePositive];
  const wrong = [m.falseNegative, m.falsePositive, m.falsePositive];
  return RATES.map((rate, i) => ({ ...rate, right: right[i]!, of: right[i]! + wrong[i]! }));
}

/**
 * Sensitivity, specificity and precision over the decision threshold, with the chosen one. A rate
 * that is undefined (no positive images; none predicted as positive) has no line there.
 */
export function thresholdChart(predictions: Predictions, options: ChartOptions = {}): Figure {
  const { labels, probabilities, threshold } = predictions;
  const head = headOf("Rates over the threshold", predictions);
  if (labels.length === 0) return card({ ...head, note: "There are no images." }, options);
  const chosen = threshold === null ? [] : countsAt(predictions);
  const n = (count: number) => count.toLocaleString("en-GB");
  const rates = chosen.map(({ name, right, of }) =>
    `${name} ${of === 0 ? "undefined" : `${percent(right / of)} (${n(right)} of ${n(of)})`}`
  );
  const absent = labels.includes(1) ? labels.includes(0) ? "" : "negative" : "positive";
  const panel = plotPanel({
    width: contentWidth(options),
    height: 320,
    margins: [10, 14, 42, 52],
    x: { ...UNIT_AXIS, ticks: 10, ...titled("Threshold on the probability of the positive class") },
    y: { ...UNIT_AXIS, ...titled("Share of images") },
    marks: [
      Plot.ruleX(threshold === null ? [] : [threshold], { stroke: colors.ink, strokeWidth: 1.5 }),
      ...RATES.map(({ name, color, dash }) =>
        Plot.line(thresholdCurve(labels, probabilities), {
          x: "threshold",
          y: ({ [name]: rate }: ThresholdRates) => rate ?? NaN, // NaN: a gap
          curve: "step-before", // a rate holds from its threshold down to the one before
          stroke: color,
          strokeWidth: 2.2,
          strokeLinecap: "butt",
          ...dash,
        })
      ),
      Plot.dot(chosen.filter(({ of }) => of > 0), {
        x: threshold ?? 0,
        y: ({ right, of }) => right / of,
        r: 4.5,
        fill: "color",
        stroke: colors.paper,
      }),
    ],
  });
  return card({
    ...head,
    legend: [
      ...RATES.map(({ name, color, mark }) => ({ label: name, color, mark })),
      ...thresholdItem(threshold, colors.ink, "tick"),
    ],
    rows: [[panel]],
    note: (threshold === null
      ? "Of more than two classes the most probable one is predicted: there is no threshold."
      : `At the threshold: ${rates.join(", ")}. `) +
      ofFolds(predictions) +
      (absent ? ` No image is of the ${absent} class.` : ""),
  }, options);
}

/**
 * Reliability diagram of the probabilities as the model gives them and, where they differ, as
 * calibrated: of the images with about the same probability, the share that is positive, with how
 * many images that rests on.
 */
export function reliabilityChart(predictions: Predictions, options: ChartOptions = {}): Figure {
  const { labels, probabilities, uncalibrated, groups } = predictions;
  const head = headOf("Reliability diagram", predictions);
  if (labels.length === 0) {
    return card({ ...head, note: "There is no reliability diagram: no images." }, options);
  }
  const isCalibrated = uncalibrated.some((probability, i) => probability !== probabilities[i]);
  const side = (name: string, values: readonly number[], color: string): Side => ({
    title: `${name}: ECE ${expectedCalibrationError(labels, values)!.toFixed(3)}`,
    bins: reliabilityBins(labels, values),
    color,
    width: isCalibrated ? halfWidth(options) : contentWidth({ width: 480, ...options }),
  });
  const title = isCalibrated ? "Before calibration" : "Not calibrated";
  const sides = [side(title, uncalibrated, colors.positive)];
  if (isCalibrated) sides.push(side("After calibration", probabilities, colors.negative));
  return card({
    ...head,
    legend: [
      {
        label: "share of positive images, with 95 % confidence interval (Wilson)",
        color: isCalibrated ? colors.ink : colors.positive,
        mark: "circle",
      },
      { label: "perfect calibration", color: colors.muted, mark: "dashed" },
    ],
    rows: [sides.map(diagram), sides.map(binCounts)],
    note:
      "ECE: expected calibration error, the mean vertical distance of the dots from the diagonal " +
      "weighted by their images; 0 is best." +
      (sharedGroups(groups)
        ? " The intervals take images as independent; those of one group are not, so that they " +
          "are too narrow."
        : ""),
  }, options);
}

interface Side {
  title: string;
  bins: readonly ReliabilityBin[];
  color: string;
  width: number;
}

function diagram({ title, bins, color, width }: Side): Panel {
  const x = { x: "meanProbability" };
  return plotPanel({
    width,
    height: 318,
    margins: [28, 12, 20, 52],
    x: { ...UNIT_AXIS, label: null },
    y: { ...UNIT_AXIS, ...titled("Share of positive images") },
    marks: [
      heading(title),
      Plot.line([[0, 0], [1, 1]], REFERENCE_LINE),
      Plot.line(bins, { ...x, y: "share", stroke: color, strokeOpacity: 0.45 }),
      Plot.ruleX(bins, { ...x, ...BETWEEN, stroke: color, strokeWidth: 1.8 }),
      Plot.dot(bins, { ...x, y: "share", r: 4.5, fill: color }),
    ],
  });
}

function binCounts({ bins, color, width }: Side): Panel {
  return plotPanel({
    width,
    height: 118,
    margins: [4, 12, 40, 52],
    x: { domain: [0, 1], ticks: 5, ...titled("Probability of the positive class") },
    y: { domain: [0, max(bins, ({ n }) => n)! * 1.3], axis: null },
    marks: [
      Plot.axisY({ ticks: [], ...titled("Images") }),
      Plot.rectY(bins, { ...HISTOGRAM_BAR, y: "n", fill: color, fillOpacity: 0.55 }),
      Plot.text(bins, {
        x: ({ from, to }) => (from + to) / 2,
        y: "n",
        text: ({ n }) => n < 10_000 ? String(n) : `${Math.round(n / 1000)}k`,
        dy: -7,
        fontSize: 10,
      }),
      Plot.ruleY([0], { stroke: colors.ink }),
    ],
  });
}
