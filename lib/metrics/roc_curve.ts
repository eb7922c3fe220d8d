import { rankByProbability } from "../ranking.ts";

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
