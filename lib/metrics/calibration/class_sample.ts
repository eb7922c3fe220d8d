/** Predictions of any number of classes, one entry an image in both arrays. */
export interface ClassSample {
  /** As the model gives them: one a class, the positive class last. */
  probabilities: readonly (readonly number[])[];
  /** Index of the true class. */
  labels: readonly number[];
}

/** Images of each class. */
export function countLabels({ probabilities, labels }: ClassSample): number[] {
  const counts = new Array<number>(probabilities[0]?.length ?? 0).fill(0);
  for (const label of labels) counts[label]!++;
  return counts;
}

/**
 * Log loss of the true classes, in nats: of two classes the same as `logLoss`, and clipped alike.
 * NaN without images.
 */
export function classLogLoss({ probabilities, labels }: ClassSample): number {
  const losses = labels.map((label, i) => {
    const p = probabilities[i]![label]!;
    return -Math.log(Math.min(Math.max(p, Number.EPSILON), 1 - Number.EPSILON));
  });
  return losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
}
