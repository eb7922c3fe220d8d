/** Bins of {@linkcode expectedCalibrationError}, of equal width. */
export const CALIBRATION_BINS = 10;

/**
 * Brier score: the mean squared distance of probability and label, 0 (best) to 1. As
 * scikit-learn's `brier_score_loss`.
 *
 * @param labels 0 or 1 (positive).
 * @param probabilities Of the positive class, in the same order.
 * @param weights How often each image counts; once when left out.
 * @returns `null` without images.
 */
export function brier(
  labels: ArrayLike<number>,
  probabilities: ArrayLike<number>,
  weights?: ArrayLike<number>,
): number | null {
  let [sum, n] = [0, 0];
  for (let i = 0; i < labels.length; i++) {
    const weight = weights ? weights[i]! : 1;
    sum += weight * (probabilities[i]! - labels[i]!) ** 2;
    n += weight;
  }
  return n === 0 ? null : sum / n;
}

/**
 * Log loss (binary cross-entropy) in nats, 0 at best. Probabilities are kept 2.2e-16 away from 0
 * and 1, as scikit-learn's `log_loss` does, so that one confident mistake is not infinite.
 *
 * @param labels 0 or 1 (positive).
 * @param probabilities Of the positive class, in the same order.
 * @param weights How often each image counts; once when left out.
 * @returns `null` without images.
 */
export function logLoss(
  labels: ArrayLike<number>,
  probabilities: ArrayLike<number>,
  weights?: ArrayLike<number>,
): number | null {
  let [sum, n] = [0, 0];
  for (let i = 0; i < labels.length; i++) {
    const weight = weights ? weights[i]! : 1;
    if (weight === 0) continue;
    const ofTruth = labels[i] === 1 ? probabilities[i]! : 1 - probabilities[i]!;
    const clipped = Math.min(Math.max(ofTruth, Number.EPSILON), 1 - Number.EPSILON);
    sum -= weight * Math.log(clipped);
    n += weight;
  }
  return n === 0 ? null : sum / n;
}

/**
 * Expected calibration error of the positive class, 0 (best) to 1: images fall into ten bins of
 * equal width by their probability; the gap between a bin's mean probability and its share of
 * positive images, weighted by how many images it holds.
 *
 * A bin holds its upper edge but not its lower one (the first holds both), as in scikit-learn's
 * `calibration_curve(strategy="uniform")`. Source: Naeini et al. 2015, on the positive
 * probability rather than the top one.
 *
 * @param labels 0 or 1 (positive).
 * @param probabilities Of the positive class, in the same order.
 * @param weights How often each image counts; once when left out.
 * @returns `null` without images.
 */
export function expectedCalibrationError(
  labels: ArrayLike<number>,
  probabilities: ArrayLike<number>,
  weights?: ArrayLike<number>,
): number | null {
  const excess = new Float64Array(CALIBRATION_BINS); // Σ (probability - label) per bin: its gap × its count
  let n = 0;
  for (let i = 0; i < labels.length; i++) {
    const weight = weights ? weights[i]! : 1;
    excess[calibrationBin(probabilities[i]!)]! += weight * (probabilities[i]! - labels[i]!);
    n += weight;
  }
  return n === 0 ? null : excess.reduce((sum, gap) => sum + Math.abs(gap), 0) / n;
}

/** The index of a probability's bin, edges compared as the multiples of 0.1 that numpy's linspace gives. */
export function calibrationBin(probability: number): number {
  let index = Math.min(
    Math.max(Math.ceil(probability * CALIBRATION_BINS) - 1, 0),
    CALIBRATION_BINS - 1,
  );
  while (index > 0 && probability <= index * (1 / CALIBRATION_BINS)) index--;
  while (index < CALIBRATION_BINS - 1 && probability > (index + 1) * (1 / CALIBRATION_BINS)) {
    index++;
  }
  return index;
}
