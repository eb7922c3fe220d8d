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
 * "auto" corrects where there are at least 100 images, at most 10 % of them unlike the training data,
 * the share has moved (by the likelihood-ratio test and the intervals of both estimates), and the
 * estimates agree; and it corrects only as far as the images show beyond doubt: to the end, next to
 * the share of validation, of what both 95 % intervals hold. The correction is monotone: p in proportion to p · new share / old
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
  const unlikeShare = unlike / summary.n;
  const reason = decide(setting, estimate, validation, unlikeShare);
  const share = reason === "given"
    ? setting as number
    : reason === "moved"
    ? inside(nearEnd(estimate!), summary.n)
    : null;
  const change = share === null ? null : { reference: estimate!.reference, share };
  const threshold = change ? correctedThreshold(decision, change) : decision.threshold;
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
  if (estimate.p >= SIGNIFICANT) return "not_moved";
  if (unlike > MOST_UNLIKE) return "unlike_training";
  if (estimate.agree === null) return "no_cross_check";
  if (!estimate.agree) return "contradicted";
  return isBeyondDoubt(estimate) ? "moved" : "not_confirmed";
}

/** A share of none or all would leave no image a chance: that of half an image is the least. */
function inside(share: number, n: number): number {
  return Math.min(1 - 0.5 / n, Math.max(0.5 / n, share));
}

/** Whether both intervals lie to the same side of the reference share. */
function isBeyondDoubt(estimate: ShareShift): boolean {
  const { share, reference } = estimate;
  const end = nearEnd(estimate);
  return share < reference ? end < reference : end > reference;
}

/**
 * The end next to the reference share of what the intervals of both estimates hold. In simulations
 * (see `FEWEST_IMAGES`) correcting to the estimate itself cost up to 0.05 in F1 at shares of 5 to
 * 20 %, this no more than 0.01. It gains more than the estimate at shares below 5 % and nearly as much
 * above 60 %, and overdoes less where scores of one class are other than in validation. With more
 * images, here and in validation, it comes to the estimate.
 *
 * There is no interval where all resamples give one value, as where no image is like the positive
 * class.
 */
function nearEnd({ share, interval, blackBox, reference }: ShareShift): number {
  const ends = [interval, blackBox.interval].map(({ low, high }) => share < reference ? high : low);
  const known = [share, ...ends.filter((end) => end !== null)];
  return share < reference ? Math.max(...known) : Math.min(...known);
}
