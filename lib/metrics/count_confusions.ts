/**
 * Confusion matrix of any number of classes, as scikit-learn's `confusion_matrix`.
 *
 * @param labels Index of each image's true class.
 * @param predicted Index of its predicted class, in the same order.
 * @param classes Number of classes.
 * @returns Counts, a row a true class and a column a predicted one: [classes, classes].
 */
export function countConfusions(
  labels: ArrayLike<number>,
  predicted: ArrayLike<number>,
  classes: number,
): number[][] {
  const counts = Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
  for (let i = 0; i < labels.length; i++) counts[labels[i]!]![predicted[i]!]!++;
  return counts;
}
