/** Counts of the four outcomes; "positive" is class index 1. */
export interface ConfusionMatrix {
  truePositive: number;
  falsePositive: number;
  trueNegative: number;
  falseNegative: number;
}

/**
 * Counts the four outcomes of binary predictions, as scikit-learn's `confusion_matrix`.
 *
 * @param labels True class of each image: 0 or 1 (positive).
 * @param predicted Predicted class of each image: 0 or 1, in the same order.
 * @param weights How often each image counts; once when left out.
 */
export function confusionMatrix(
  labels: ArrayLike<number>,
  predicted: ArrayLike<number>,
  weights?: ArrayLike<number>,
): ConfusionMatrix {
  const counts: [number, number, number, number] = [0, 0, 0, 0];
  for (let i = 0; i < labels.length; i++) {
    counts[(2 * labels[i]! + predicted[i]!) as 0 | 1 | 2 | 3] += weights?.[i] ?? 1;
  }
  const [trueNegative, falsePositive, falseNegative, truePositive] = counts;
  return { truePositive, falsePositive, trueNegative, falseNegative };
}
