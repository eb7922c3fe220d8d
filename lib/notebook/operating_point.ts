import { confusionMatrix } from "../metrics/confusion_matrix.ts";
import { precision, sensitivity, specificity } from "../metrics/rates.ts";

/** Where a decision threshold puts a model; `null` where a rate is undefined. */
export interface OperatingPoint {
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
export function operatingPoint(
  labels: readonly number[],
  probabilities: readonly number[],
  threshold: number,
): OperatingPoint {
  const m = confusionMatrix(labels, probabilities.map((p) => p >= threshold ? 1 : 0));
  return { sensitivity: sensitivity(m), specificity: specificity(m), precision: precision(m) };
}
