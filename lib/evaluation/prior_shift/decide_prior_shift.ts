import type { Config } from "../../config_schema.ts";
import { ModelError } from "../../errors.ts";
import type { Decision } from "../../model/decision.ts";
import type { KnownOutcomes } from "../rogan_gladen.ts";
import { FEWEST_IMAGES, FEWEST_OF_A_CLASS, MOST_UNLIKE, SIGNIFICANT } from "./auto_limits.ts";
import { correctedThreshold, type ShareChange } from "./correct.ts";
import { describePriorShift, type PriorShiftReason } from "./describe_prior_shift.ts";
import { estimateShift, type ShareShift } from "./estimate_shift.ts";
import type { ScoreSummary } from "./score_summary.ts";

/** What was decided about the share of classes in a folder. */
export interface PriorShift {
  /** How to correct every probability (see `correctProbabilities`); `null`: not at all. */
  change: ShareChange | null;
  reason: PriorShiftReason;
  /** `null`: nothing is known of validation. */
  estimate: ShareShift | null;
  /** On the probabilities after the correction, if there is one. */
  threshold: number;
  /** All of it in plain words. */
  text: string;
}

/** What {@linkcode decidePriorShift} is told. */
export interface PriorShiftInput {
  /** `config.evaluation.priorShift`. */
  setting: Config["evaluation"]["priorShift"];
  /** Of all images; at least one. */
  summary: ScoreSummary;
  /** From the model card. */
  decision: Decision;
  /** Class folder names; the last one is the positive class. */
  classes: readonly string[];
  /** Images that are flagged as unlike the training data. */
  unlike: number;
  seed: string | number;
}

/**
 * Decides whether the probabilities of a folder are corrected for its own share of the positive
 * class, and says why.
 *
 * "auto" corrects to the estimated share where there are at least 100 images, at most 10 % of them
 * unlike the training data, the share has moved (likelihood-ratio test and bootstrap interval), and
 * the black-box estimate agrees. The correction is monotone: p in proportion to p · new share / old
 * share.
 *
 * @throws {ModelError} When a share is given and the model's own is not known.
 * @throws {RangeError} When the summary has no image.
 */
export function decidePriorShift(input: PriorShiftInput): PriorShift {
  const { setting, summary, decision, classes, unlike, seed } = input;
  const validation = usable(decision.validation);
  const estimate = validation && estimateShift(summary, validation, { seed });
  if (typeof setting === "number" && !estimate) {
    throw new ModelError(
      `Probabilities cannot be corrected to a share of ${setting}: the model does not say with ` +
        "which share it was calibrated.",
      'Run notebook 06 for this model, or set evaluation.priorShift: "off".',
    );
  }
  const reason = decide(setting, estimate, validation, unlike / summary.n);
  const to = reason === "given" ? setting as number : estimate?.share;
  const corrects = reason === "given" || reason === "moved";
  const change = corrects
    ? { reference: estimate!.reference, share: inside(to!, summary.n) }
    : null;
  const threshold = change ? correctedThreshold(decision, change) : decision.threshold;
  const unlikeShare = unlike / summary.n;
  const text = describePriorShift({ reason, change, estimate, decision, classes, unlikeShare });
  return { change, reason, estimate, threshold, text };
}

/** The counts, where they hold images of both classes. */
function usable(validation: Decision["validation"]): KnownOutcomes | null {
  if (!validation) return null;
  const { truePositives, falsePositives, trueNegatives, falseNegatives } = validation;
  const both = truePositives + falseNegatives > 0 && trueNegatives + falsePositives > 0;
  return both ? validation : null;
}

function decide(
  setting: PriorShiftInput["setting"],
  estimate: ShareShift | null,
  validation: KnownOutcomes | null,
  unlike: number,
): PriorShiftReason {
  if (setting === "off") return "off";
  if (!estimate || !validation) return "no_validation";
  if (setting !== "auto") return "given";
  if (estimate.n < FEWEST_IMAGES) return "too_few_images";
  const { truePositives, falsePositives, trueNegatives, falseNegatives } = validation;
  const fewest = Math.min(truePositives + falseNegatives, trueNegatives + falsePositives);
  if (fewest < FEWEST_OF_A_CLASS) return "too_few_validation_images";
  if (!hasMoved(estimate)) return "not_moved";
  if (unlike > MOST_UNLIKE) return "unlike_training";
  if (estimate.agree === null) return "no_cross_check";
  return estimate.agree ? "moved" : "contradicted";
}

/**
 * There is no interval where all resamples give one value, as where none of many images is like the
 * positive class: the test then decides alone.
 */
function hasMoved({ p, interval: { low, high }, reference }: ShareShift): boolean {
  const outside = low === null || high === null || reference < low || reference > high;
  return p < SIGNIFICANT && outside;
}

/** A share that leaves every image a chance: that of half an image at least. */
function inside(share: number, n: number): number {
  const least = Math.min(0.5 / n, 0.5);
  return Math.min(1 - least, Math.max(least, share));
}
