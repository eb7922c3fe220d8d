import { rankByProbability, type Ranking, rocAuc } from "../core/stats.ts";
import type { Interval } from "../run/metrics_file.ts";
import {
  describeUnits,
  eachResample,
  percentileInterval,
  quantile,
  RESAMPLES,
  sharedGroups,
  wilson,
} from "./intervals.ts";
import { averagePrecision, CALIBRATION_BINS, calibrationBin } from "./rates.ts";

/** A ROC curve: one entry a threshold, from (0, 0) to (1, 1). */
export interface RocCurve {
  /** Falling; an image is called positive at or above it. The first is Infinity: none is. */
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
 * image is called positive when its probability is at or above it.
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

/** Predictions around whose curve a band is wanted, one entry an image in every array. */
export interface CurveSample {
  /** 0 or 1 (positive). */
  labels: readonly number[];
  /** Of the positive class. */
  probabilities: readonly number[];
  /** Patient or slide: whole groups are drawn where images share them, else images. */
  groups?: readonly string[];
  seed: string | number;
}

/** What is uncertain about a curve. */
export interface CurveBand {
  /** Pointwise 95 % interval of the height at `x`, from 0 to 1; empty where there is no band. */
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
    const sorted = column.subarray(0, areas.length).sort();
    return { x: step / BAND_STEPS, low: quantile(sorted, 0.025), high: quantile(sorted, 0.975) };
  });
  return { points, area, method };
}

/** Sensitivity by false positive rate, linear between the curve's points. */
function rocHeights(...[labels, { order, endsTie }, weights, heights]: Parameters<Heights>): void {
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
}

/** Precision by recall, a step from each threshold back to the one above it. */
function precisionHeights(
  ...[labels, { order, endsTie }, weights, heights]: Parameters<Heights>
): void {
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
}

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
