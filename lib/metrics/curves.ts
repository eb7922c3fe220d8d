import { rankByProbability, type Ranking, rocAuc } from "../core/stats.ts";
import type { Interval } from "../run/metrics_file.ts";
import type { Predictions } from "../run/predictions.ts";
import {
  describeUnits,
  eachResample,
  middle95,
  percentileInterval,
  RESAMPLES,
  sharedGroups,
  wilson,
} from "./intervals.ts";
import { averagePrecision, CALIBRATION_BINS, calibrationBin } from "./rates.ts";

/** A ROC curve: one entry a threshold, from (0, 0) to (1, 1). */
export interface RocCurve {
  /** Falling; an image is predicted as positive at or above it. The first is Infinity: none is. */
  thresholds: number[];
  falsePositiveRate: number[];
  truePositiveRate: number[];
}

/**
 * The ROC curve, as scikit-learn's `roc_curve`: tied images move together, and points on a
 * straight line between their neighbours are left out.
 *
 * @param labels 0 or 1 (positive).
 * @param probabilities Of the positive class, in the same order.
 * @returns `null` when a class is absent: one of the two rates is then undefined.
 */
export function rocCurve(
  labels: ArrayLike<number>,
  probabilities: ArrayLike<number>,
): RocCurve | null {
  const { order, endsTie } = rankByProbability(probabilities);
  const points: { threshold: number; fp: number; tp: number }[] = [];
  let [fp, tp] = [0, 0];
  order.forEach((image, at) => {
    if (labels[image] === 1) tp++;
    else fp++;
    if (endsTie[at]) points.push({ threshold: probabilities[image]!, fp, tp });
  });
  if (fp === 0 || tp === 0) return null;
  const corners = points.filter((point, i) => {
    const [before, after] = [points[i - 1], points[i + 1]];
    if (!before || !after) return true;
    return before.fp + after.fp !== 2 * point.fp || before.tp + after.tp !== 2 * point.tp;
  });
  const kept = [{ threshold: Infinity, fp: 0, tp: 0 }, ...corners];
  return {
    thresholds: kept.map((point) => point.threshold),
    falsePositiveRate: kept.map((point) => point.fp / fp),
    truePositiveRate: kept.map((point) => point.tp / tp),
  };
}

/** A precision-recall curve, in scikit-learn's order: recall falls from 1 to 0. */
export interface PrecisionRecallCurve {
  /** Rising; one fewer than the points: the closing point (recall 0, precision 1) has none. */
  thresholds: number[];
  precision: number[];
  recall: number[];
}

/**
 * The precision-recall curve, as scikit-learn's `precision_recall_curve`.
 *
 * @param labels 0 or 1 (positive).
 * @param probabilities Of the positive class, in the same order.
 * @returns `null` when no image is positive: recall is then undefined.
 */
export function precisionRecallCurve(
  labels: ArrayLike<number>,
  probabilities: ArrayLike<number>,
): PrecisionRecallCurve | null {
  const { order, endsTie } = rankByProbability(probabilities);
  const points: { threshold: number; precision: number; found: number }[] = [];
  let found = 0;
  order.forEach((image, at) => {
    if (labels[image] === 1) found++;
    if (!endsTie[at]) return;
    points.push({ threshold: probabilities[image]!, precision: found / (at + 1), found });
  });
  if (found === 0) return null;
  points.reverse();
  return {
    thresholds: points.map(({ threshold }) => threshold),
    precision: [...points.map(({ precision }) => precision), 1],
    recall: [...points.map((point) => point.found / found), 0],
  };
}

/** The rates at one threshold; `null` where one is undefined. */
export interface ThresholdRates {
  threshold: number;
  sensitivity: number | null;
  specificity: number | null;
  precision: number | null;
}

/** Thresholds are 0, 1/500, … 1: closer ones fall on the same pixel. */
const THRESHOLD_STEPS = 500;

/**
 * Sensitivity, specificity and precision over the threshold, exact at every 500th of the scale: an
 * image is predicted as positive when its probability is at or above it.
 *
 * @param labels 0 or 1 (positive).
 * @param probabilities Of the positive class, in the same order.
 */
export function thresholdCurve(
  labels: readonly number[],
  probabilities: readonly number[],
): ThresholdRates[] {
  const sortedOf = (label: number) =>
    Float64Array.from(probabilities.filter((_, i) => labels[i] === label)).sort();
  const [negatives, positives] = [sortedOf(0), sortedOf(1)];
  let [leftAlone, missed] = [0, 0];
  return Array.from({ length: THRESHOLD_STEPS + 1 }, (_, step) => {
    const threshold = step / THRESHOLD_STEPS;
    while (missed < positives.length && positives[missed]! < threshold) missed++;
    while (leftAlone < negatives.length && negatives[leftAlone]! < threshold) leftAlone++;
    const found = positives.length - missed;
    return {
      threshold,
      sensitivity: share(found, positives.length),
      specificity: share(leftAlone, negatives.length),
      precision: share(found, found + negatives.length - leftAlone),
    };
  });
}

function share(part: number, whole: number): number | null {
  return whole === 0 ? null : part / whole;
}

/** Heights are taken at 0, 1/100, … 1 of the horizontal axis. */
const BAND_STEPS = 100;

/** Predictions around whose curve a band is drawn; whole groups are resampled where images share them. */
export type CurveSample =
  & Pick<Predictions, "labels" | "probabilities" | "seed">
  & Partial<Pick<Predictions, "groups">>;

/** What is uncertain about a curve. */
export interface CurveBand {
  /** Pointwise 95 % interval of the height at `x`, 0 to 1; empty where there is no band. */
  points: { x: number; low: number; high: number }[];
  /** Interval of the area under the curve; its `reason` says why there is no band either. */
  area: Interval;
  /** What was resampled: "2000 bootstrap resamples of 12 groups". */
  method: string;
}

/** The height of a curve at each step, when image i counts `weights[i]` times. */
type Heights = (
  labels: readonly number[],
  ranking: Ranking,
  weights: Uint32Array,
  heights: Float64Array,
) => void;

/**
 * Band of a ROC curve: for each false positive rate the 2.5 and 97.5 percentiles of the sensitivity
 * over bootstrap resamples, the same ones as the scores' intervals have. Where a curve rises
 * vertically its upper end counts. Source: vertical averaging, Fawcett 2006.
 */
export function rocBand(sample: CurveSample): CurveBand {
  return band(sample, rocAuc, rocHeights);
}

/**
 * Band of a precision-recall curve: for each recall the 2.5 and 97.5 percentiles of the precision,
 * at the highest threshold that reaches the recall, over bootstrap resamples.
 */
export function precisionRecallBand(sample: CurveSample): CurveBand {
  return band(sample, averagePrecision, precisionHeights);
}

function band(
  { labels, probabilities, groups: given, seed }: CurveSample,
  areaOf: typeof rocAuc,
  heightsOf: Heights,
): CurveBand {
  const groups = sharedGroups(given);
  const ranking = rankByProbability(probabilities);
  const areas: number[] = [];
  const columns = Array.from({ length: BAND_STEPS + 1 }, () => new Float64Array(RESAMPLES));
  const heights = new Float64Array(BAND_STEPS + 1);
  const units = eachResample((weights) => {
    const area = areaOf(labels, probabilities, { ranking, weights });
    if (area === null) return; // a class was not drawn: there is no curve
    heightsOf(labels, ranking, weights, heights);
    heights.forEach((height, step) => columns[step]![areas.length] = height);
    areas.push(area);
  }, { n: labels.length, groups, seed });
  const area = percentileInterval(areas, { units, groups });
  const method = `${RESAMPLES} bootstrap resamples of ${describeUnits(units, Boolean(groups))}`;
  if (area.low === null) return { points: [], area, method };
  const points = columns.map((column, step) => {
    const [low, high] = middle95(column.subarray(0, areas.length));
    return { x: step / BAND_STEPS, low, high };
  });
  return { points, area, method };
}

/** Sensitivity by false positive rate, linear between the curve's points. */
const rocHeights: Heights = (labels, { order, endsTie }, weights, heights) => {
  const [positives, negatives] = totals(labels, weights);
  let [fp, tp, fpBefore, tpBefore, step] = [0, 0, 0, 0, 0];
  for (let at = 0; at < order.length; at++) {
    const image = order[at]!;
    if (labels[image] === 1) tp += weights[image]!;
    else fp += weights[image]!;
    if (!endsTie[at]) continue;
    // an exact integer wherever the step meets a point, so that no rounding moves it off an edge
    for (; step * negatives / BAND_STEPS < fp; step++) {
      const along = (step * negatives / BAND_STEPS - fpBefore) / (fp - fpBefore);
      heights[step] = (tpBefore + along * (tp - tpBefore)) / positives;
    }
    [fpBefore, tpBefore] = [fp, tp];
  }
  heights.fill(1, step);
};

/** Precision by recall, a step from each threshold back to the one above it. */
const precisionHeights: Heights = (labels, { order, endsTie }, weights, heights) => {
  const [positives] = totals(labels, weights);
  let [called, found, step] = [0, 0, 0];
  for (let at = 0; at < order.length; at++) {
    const image = order[at]!;
    called += weights[image]!;
    if (labels[image] === 1) found += weights[image]!;
    if (!endsTie[at] || found === 0) continue;
    for (; step <= BAND_STEPS && step * positives / BAND_STEPS <= found; step++) {
      heights[step] = found / called;
    }
  }
};

/** How often positive and negative images were drawn. */
function totals(labels: readonly number[], weights: Uint32Array): [number, number] {
  let [positives, all] = [0, 0];
  for (let i = 0; i < labels.length; i++) {
    all += weights[i]!;
    if (labels[i] === 1) positives += weights[i]!;
  }
  return [positives, all - positives];
}

/** One bin of a reliability diagram that holds at least one image. */
export interface ReliabilityBin {
  /** Edges of the bin: 0.1, 0.2. */
  from: number;
  to: number;
  /** Images in it, and how many of them are positive. */
  n: number;
  positives: number;
  /** Mean probability of its images. */
  meanProbability: number;
  /** Share of positive images, with Wilson's 95 % interval. */
  share: number;
  low: number;
  high: number;
}

/**
 * What a reliability diagram draws: the share of positive images among those of about the same
 * probability. The bins are those of the expected calibration error; empty ones are left out.
 *
 * As scikit-learn's `calibration_curve(strategy="uniform", n_bins=10)`.
 *
 * @param labels 0 or 1 (positive).
 * @param probabilities Of the positive class, in the same order.
 */
export function reliabilityBins(
  labels: readonly number[],
  probabilities: readonly number[],
): ReliabilityBin[] {
  const sums = Array.from({ length: CALIBRATION_BINS }, () => ({ n: 0, positives: 0, total: 0 }));
  probabilities.forEach((probability, i) => {
    const sum = sums[calibrationBin(probability)]!;
    sum.n++;
    sum.positives += labels[i]!;
    sum.total += probability;
  });
  return sums.map(({ n, positives, total }, index) => ({
    from: index / CALIBRATION_BINS,
    to: (index + 1) / CALIBRATION_BINS,
    n,
    positives,
    meanProbability: total / n,
    share: positives / n,
    ...(n > 0 ? wilson(positives, n) : { low: 0, high: 0 }),
  })).filter(({ n }) => n > 0);
}
