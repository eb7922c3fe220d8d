import { CALIBRATION_BINS, calibrationBin } from "./probability_scores.ts";
import { wilson } from "./wilson.ts";

/** One bin of a reliability diagram that holds at least one image. */
export interface ReliabilityBin {
  /** Edges of the bin: 0.1, 0.2. */
  from: number;
  to: number;
  /** Images in it, and how many of them are positive. */
  n: number;
  positives: number;
  /** Mean probability of its images. */
  meanProbability: number;
  /** Share of positive images, with Wilson's 95 % interval. */
  share: number;
  low: number;
  high: number;
}

/**
 * What a reliability diagram draws: the share of positive images among those of about the same
 * probability. The bins are those of the expected calibration error; empty ones are left out.
 *
 * As scikit-learn's `calibration_curve(strategy="uniform", n_bins=10)`.
 *
 * @param labels 0 or 1 (positive).
 * @param probabilities Of the positive class, in the same order.
 */
export function reliabilityBins(
  labels: readonly number[],
  probabilities: readonly number[],
): ReliabilityBin[] {
  const sums = Array.from({ length: CALIBRATION_BINS }, () => ({ n: 0, positives: 0, total: 0 }));
  probabilities.forEach((probability, i) => {
    const sum = sums[calibrationBin(probability)]!;
    sum.n++;
    sum.positives += labels[i]!;
    sum.total += probability;
  });
  return sums.map(({ n, positives, total }, index) => ({
    from: index / CALIBRATION_BINS,
    to: (index + 1) / CALIBRATION_BINS,
    n,
    positives,
    meanProbability: total / n,
    share: positives / n,
    ...(n > 0 ? wilson(positives, n) : { low: 0, high: 0 }),
  })).filter(({ n }) => n > 0);
}
