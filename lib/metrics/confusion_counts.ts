/**
 * How often images of each class were predicted as which, as scikit-learn's `confusion_matrix`: a
 * row a true class, a column a predicted one.
 *
 * @param labels Index of the true class of each image.
 * @param predicted Index of the predicted class, in the same order.
 * @param classes Number of classes.
 */
export function confusionCounts(
  labels: readonly number[],
  predicted: readonly number[],
  classes: number,
): number[][] {
  const counts = Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
  labels.forEach((label, i) => counts[label]![predicted[i]!]!++);
  return counts;
}
