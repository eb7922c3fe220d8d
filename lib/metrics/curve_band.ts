import { rankByProbability, type Ranking } from "../ranking.ts";
import { rocAuc } from "../roc_auc.ts";
import {
  describeUnits,
  eachResample,
  percentileInterval,
  quantile,
  RESAMPLES,
} from "./bootstrap.ts";
import type { Interval } from "./interval.ts";
import { averagePrecision } from "./precision_recall.ts";
import { sharedGroups } from "./shared_groups.ts";

/** Heights are taken at 0, 1/100, … 1 of the horizontal axis. */
const STEPS = 100;

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
  const columns = Array.from({ length: STEPS + 1 }, () => new Float64Array(RESAMPLES));
  const heights = new Float64Array(STEPS + 1);
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
    return { x: step / STEPS, low: quantile(sorted, 0.025), high: quantile(sorted, 0.975) };
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
    for (; step * negatives / STEPS < fp; step++) {
      const along = (step * negatives / STEPS - fpBefore) / (fp - fpBefore);
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
    for (; step <= STEPS && step * positives / STEPS <= found; step++) {
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
