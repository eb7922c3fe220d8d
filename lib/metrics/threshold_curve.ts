/** The rates at one threshold; `null` where one is undefined. */
export interface ThresholdRates {
  threshold: number;
  sensitivity: number | null;
  specificity: number | null;
  precision: number | null;
}

/** Thresholds are 0, 1/500, … 1: closer ones fall on the same pixel. */
const STEPS = 500;

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
  return Array.from({ length: STEPS + 1 }, (_, step) => {
    const threshold = step / STEPS;
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
