import type { Decision } from "../../model/decision.ts";

/** A change of the share of the positive class; both greater than 0, less than 1. */
export interface ShareChange {
  /** Where the model was calibrated. */
  reference: number;
  /** In the folder at hand. */
  share: number;
}

/**
 * Calibrated class probabilities, corrected for another share of the positive class: each in
 * proportion to p · new share / old share (Saerens et al. 2002, equation 2.4). Of more than two
 * classes, the others keep their proportions to one another.
 *
 * The log odds of the positive class move by the same amount for every image. So the order of
 * images stays as it is, and for two classes the answers are those of another threshold on the
 * probabilities before (see {@linkcode uncorrectedThreshold}).
 *
 * @param probabilities One a class; the last class is the positive one.
 * @returns As many, which sum to 1.
 */
export function correctProbabilities(
  probabilities: readonly number[],
  { reference, share }: ShareChange,
): number[] {
  const last = probabilities.length - 1;
  const parts = probabilities.map((p, i) =>
    i === last ? p * share / reference : p * (1 - share) / (1 - reference)
  );
  const sum = parts.reduce((total, part) => total + part, 0);
  return parts.map((part) => part / sum);
}

/** The threshold on probabilities before a correction that answers as `threshold` does after it. */
export function uncorrectedThreshold(threshold: number, { reference, share }: ShareChange): number {
  return correctProbabilities([1 - threshold, threshold], {
    reference: share,
    share: reference,
  })[1]!;
}

/**
 * The threshold on corrected probabilities.
 *
 * That of rule `default` or `costs` weighs errors by their number or cost and is meant for
 * probabilities that hold here: it stays as it is, so that answers change. Sensitivity and
 * specificity do not depend on the share, and `youden` and `sensitivity` chose a point of these:
 * the threshold moves with the probabilities, so that answers and their promise stay.
 */
export function correctedThreshold(
  { threshold, rule }: Pick<Decision, "threshold" | "rule">,
  { reference, share }: ShareChange,
): number {
  return keepsAnswers(rule)
    ? correctProbabilities([1 - threshold, threshold], { reference, share })[1]!
    : threshold;
}

/** Whether a threshold of this rule answers as before a correction. */
export function keepsAnswers(rule: Decision["rule"]): boolean {
  return rule === "youden" || rule === "sensitivity";
}
