import { rankByProbability, type Resample } from "../ranking.ts";

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
  const curve: PrecisionRecallCurve = { thresholds: [], precision: [1], recall: [0] };
  let found = 0;
  order.forEach((image, at) => {
    if (labels[image] === 1) found++;
    if (!endsTie[at]) return;
    curve.thresholds.push(probabilities[image]!);
    curve.precision.push(found / (at + 1));
    curve.recall.push(found);
  });
  if (found === 0) return null;
  return {
    thresholds: curve.thresholds.reverse(),
    precision: curve.precision.reverse(),
    recall: curve.recall.reverse().map((count) => count / found),
  };
}

/**
 * Average precision: the mean precision over the positive images in order of probability, a step
 * sum without interpolation. As scikit-learn's `average_precision_score`.
 *
 * @param labels 0 or 1 (positive).
 * @param probabilities Of the positive class, in the same order.
 * @returns 0 to 1 (chance: the share of positive images); `null` when no image is positive.
 */
export function averagePrecision(
  labels: ArrayLike<number>,
  probabilities: ArrayLike<number>,
  resample?: Resample,
): number | null {
  const { order, endsTie } = resample?.ranking ?? rankByProbability(probabilities);
  const weights = resample?.weights;
  let [sum, found, called, tied] = [0, 0, 0, 0];
  for (let at = 0; at < order.length; at++) {
    const image = order[at]!;
    const weight = weights ? weights[image]! : 1;
    called += weight;
    if (labels[image] === 1) tied += weight;
    if (!endsTie[at] || tied === 0) continue;
    found += tied;
    sum += tied * (found / called);
    tied = 0;
  }
  return found === 0 ? null : sum / found;
}
