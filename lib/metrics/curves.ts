import { rankByProbability, type Ranking, rocAuc } from "../core/stats.ts";
import type { Interval } from "../run/metrics_file.ts";
import * as intervals from "./intervals.ts";
import * as rates from "./rates.ts";
import type { ScoredSample } from "./scores.ts";

/**
 * The ROC curve, as scikit-learn's `roc_curve`: tied images move together, and points on a
 * straight line between their neighbours are left out.
 *
 * @param labels 0 or 1 (positive).
 * @param probabilities Of the positive class, in the same order.
 * @returns One entry a threshold, from (0, 0) to (1, 1). Thresholds fall, from Infinity; an image is
 * predicted as positive at or above. `null` when a class is absent: a rate is then undefined.
 */
export function rocCurve(labels: ArrayLike<number>, probabilities: ArrayLike<number>) {
  const { fp, tp, images } = outcomes(labels, rankByProbability(probabilities));
  const [negatives, positives] = [fp.at(-1)!, tp.at(-1)!];
  if (negatives === 0 || positives === 0) return null;
  const bends = (values: number[], i: number) => values[i - 1]! + values[i + 1]! !== 2 * values[i]!;
  const kept = [...images.keys()].filter((i) =>
    i < 2 || i + 1 === images.length || bends(fp, i) || bends(tp, i)
  );
  return {
    thresholds: kept.map((i) => i === 0 ? Infinity : probabilities[images[i]!]!),
    falsePositiveRate: kept.map((i) => fp[i]! / negatives),
    truePositiveRate: kept.map((i) => tp[i]! / positives),
  };
}

/**
 * The precision-recall curve, as scikit-learn's `precision_recall_curve`.
 *
 * @param labels 0 or 1 (positive).
 * @param probabilities Of the positive class, in the same order.
 * @returns Recall falls from 1 to 0. Thresholds rise, one fewer than the points: the closing one
 * (recall 0, precision 1) has none. `null` when no image is positive: recall is then undefined.
 */
export function precisionRecallCurve(labels: ArrayLike<number>, probabilities: ArrayLike<number>) {
  const { fp, tp, images } = outcomes(labels, rankByProbability(probabilities));
  const positives = tp.at(-1)!;
  if (positives === 0) return null;
  return {
    thresholds: images.slice(1).reverse().map((image) => probabilities[image]!),
    precision: tp.map((found, i) => i === 0 ? 1 : found / (found + fp[i]!)).reverse(),
    recall: tp.map((found) => found / positives).reverse(),
  };
}

/**
 * False and true positives at every threshold between different probabilities, falling; the first
 * is above all of them. `images`: one that has the threshold's probability (of the first none).
 *
 * @param labels 0 or 1 (positive).
 * @param ranking Of the probabilities of the positive class.
 * @param weights How often each image counts; once when left out.
 */
export function outcomes(
  labels: ArrayLike<number>,
  { order, endsTie }: Ranking,
  weights?: ArrayLike<number>,
): { fp: number[]; tp: number[]; images: number[] } {
  const found = { fp: [0], tp: [0], images: [-1] };
  let [fp, tp] = [0, 0];
  for (let at = 0; at < order.length; at++) {
    const image = order[at]!;
    const weight = weights ? weights[image]! : 1;
    if (labels[image] === 1) tp += weight;
    else fp += weight;
    if (!endsTie[at]) continue;
    found.fp.push(fp);
    found.tp.push(tp);
    found.images.push(image);
  }
  return found;
}

/** The rates at one threshold; `null` where one is undefined. */
export type ThresholdRates =
  & { threshold: number }
  & Record<"sensitivity" | "specificity" | "precision", number | null>;

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
  const { order } = rankByProbability(probabilities);
  const rising = order.reverse();
  const positives = labels.reduce((sum, label) => sum + label, 0);
  const m: rates.ConfusionMatrix = {
    truePositive: positives,
    falsePositive: labels.length - positives,
    trueNegative: 0,
    falseNegative: 0,
  };
  let below = 0;
  return Array.from({ length: THRESHOLD_STEPS + 1 }, (_, step) => {
    const threshold = step / THRESHOLD_STEPS;
    for (; below < rising.length && probabilities[rising[below]!]! < threshold; below++) {
      const isPositive = labels[rising[below]!] === 1;
      m[isPositive ? "truePositive" : "falsePositive"]--;
      m[isPositive ? "falseNegative" : "trueNegative"]++;
    }
    const found = { sensitivity: rates.sensitivity(m), specificity: rates.specificity(m) };
    return { threshold, ...found, precision: rates.precision(m) };
  });
}

/** Heights are taken at 0, 1/100, … 1 of the horizontal axis. */
const BAND_STEPS = 100;

/** Predictions around whose curve a band is drawn; whole groups are resampled where images share them. */
export type CurveSample = Omit<ScoredSample, "predicted">;

/** What is uncertain about a curve. */
export interface CurveBand {
  /** Pointwise 95 % interval of the height at `x`, 0 to 1; empty where there is no band. */
  points: { x: number; low: number; high: number }[];
  /** Interval of the area under the curve; its `reason` says why there is no band either. */
  area: Interval;
  /** What was resampled: "2000 bootstrap resamples of 12 groups". */
  method: string;
}

/**
 * Band of a ROC curve: for each false positive rate the 2.5 and 97.5 percentiles of the sensitivity
 * over bootstrap resamples, the same ones as the scores' intervals have. Where a curve rises
 * vertically its upper end counts. Source: vertical averaging, Fawcett 2006.
 */
export function rocBand(sample: CurveSample): CurveBand {
  return band(sample, rocAuc, (fp, tp, heights) => {
    const [negatives, positives] = [fp.at(-1)!, tp.at(-1)!];
    let step = 0;
    for (let i = 1; i < fp.length; i++) {
      // an exact integer wherever the step meets a point, so that no rounding moves it off an edge
      for (; step * negatives / BAND_STEPS < fp[i]!; step++) {
        const along = (step * negatives / BAND_STEPS - fp[i - 1]!) / (fp[i]! - fp[i - 1]!);
        heights[step] = (tp[i - 1]! + along * (tp[i]! - tp[i - 1]!)) / positives;
      }
    }
    heights.fill(1, step);
  });
}

/**
 * Band of a precision-recall curve: for each recall the 2.5 and 97.5 percentiles of the precision,
 * at the highest threshold that reaches the recall, over bootstrap resamples.
 */
export function precisionRecallBand(sample: CurveSample): CurveBand {
  return band(sample, rates.averagePrecision, (fp, tp, heights) => {
    const positives = tp.at(-1)!;
    let step = 0;
    for (let i = 1; i < fp.length; i++) {
      if (tp[i] === 0) continue;
      for (; step <= BAND_STEPS && step * positives / BAND_STEPS <= tp[i]!; step++) {
        heights[step] = tp[i]! / (tp[i]! + fp[i]!);
      }
    }
  });
}

/** @param measure Sets the height of a curve at each step, from the outcomes at each threshold. */
function band(
  { labels, probabilities, groups: given, seed }: CurveSample,
  areaOf: typeof rocAuc,
  measure: (fp: readonly number[], tp: readonly number[], heights: Float64Array) => void,
): CurveBand {
  const { RESAMPLES } = intervals;
  const groups = intervals.sharedGroups(given);
  const ranking = rankByProbability(probabilities);
  const areas: number[] = [];
  const columns = Array.from({ length: BAND_STEPS + 1 }, () => new Float64Array(RESAMPLES));
  const heights = new Float64Array(BAND_STEPS + 1);
  const units = intervals.eachResample((weights) => {
    const area = areaOf(labels, probabilities, { ranking, weights });
    if (area === null) return; // a class was not drawn: there is no curve
    const { fp, tp } = outcomes(labels, ranking, weights);
    measure(fp, tp, heights);
    heights.forEach((height, step) => columns[step]![areas.length] = height);
    areas.push(area);
  }, { n: labels.length, groups, seed });
  const area = intervals.percentileInterval(areas, { units, groups });
  const drawn = intervals.describeUnits(units, Boolean(groups));
  const method = `${RESAMPLES} bootstrap resamples of ${drawn}`;
  if (area.low === null) return { points: [], area, method };
  const points = columns.map((column, step) => {
    const [low, high] = intervals.middle95(column.subarray(0, areas.length));
    return { x: step / BAND_STEPS, low, high };
  });
  return { points, area, method };
}

/** One bin of a reliability diagram that holds at least one image. */
export type ReliabilityBin = ReturnType<typeof reliabilityBins>[number];

/**
 * What a reliability diagram draws: the share of positive images among those of about the same
 * probability. The bins are those of the expected calibration error; empty ones are left out.
 *
 * As scikit-learn's `calibration_curve(strategy="uniform", n_bins=10)`.
 *
 * @param labels 0 or 1 (positive).
 * @param probabilities Of the positive class, in the same order.
 * @returns Edges (`from`, `to`), images, and the share of positive ones with Wilson's 95 % interval.
 */
export function reliabilityBins(labels: readonly number[], probabilities: readonly number[]) {
  const images = Map.groupBy(labels.keys(), (i) => rates.calibrationBin(probabilities[i]!));
  return [...images].sort(([a], [b]) => a - b).map(([bin, own]) => {
    const sum = (values: readonly number[]) => own.reduce((total, i) => total + values[i]!, 0);
    const [n, positives] = [own.length, sum(labels)];
    return {
      from: bin / rates.CALIBRATION_BINS,
      to: (bin + 1) / rates.CALIBRATION_BINS,
      n,
      positives,
      meanProbability: sum(probabilities) / n,
      share: positives / n,
      ...intervals.wilson(positives, n),
    };
  });
}
