import type { Config } from "../../config_schema.ts";
import { ModelError } from "../../errors.ts";
import type { Decision } from "../../model/decision.ts";
import { logOdds } from "../../model/log_odds.ts";
import { FEWEST_IMAGES, FEWEST_OF_A_CLASS, MOST_UNLIKE, SIGNIFICANT } from "./auto_limits.ts";
import { correctedThreshold, type ShareChange, uncorrectedThreshold } from "./correct.ts";
import { type CorrectionGain, correctionGain, type ThresholdChange } from "./correction_gain.ts";
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
  /** What the correction may do to F1; `null`: none was in question. */
  gain: CorrectionGain | null;
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
 * the share has moved (by the likelihood-ratio test and the intervals of both estimates), the
 * estimates agree, the scores as such have not moved, and no share and errors that explain the folder
 * make the corrected answers worse (see `correctionGain`). It corrects only as far as the images show beyond doubt: to the end, next
 * to the share of validation, of what both 95 % intervals hold. The correction is monotone: p in
 * proportion to p · new share / old share.
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
  const { reason, change, gain } = choose(input, estimate, validation);
  const threshold = change ? correctedThreshold(decision, change) : decision.threshold;
  const unlikeShare = unlike / summary.n;
  const text = describePriorShift({
    ...{ reason, change, estimate, gain, decision, classes, unlikeShare },
  });
  return { change, reason, estimate, gain, threshold, text };
}

type Choice = Pick<PriorShift, "reason" | "change" | "gain">;

function choose(
  { setting, summary, decision, unlike, seed }: PriorShiftInput,
  estimate: ShareShift | null,
  validation: Validation | null,
): Choice {
  const not = (reason: PriorShiftReason): Choice => ({ reason, change: null, gain: null });
  if (setting === "off") return not("off");
  if (!estimate || !validation) return not("no_validation");
  const { reference } = estimate;
  if (setting !== "auto") {
    return { reason: "given", change: { reference, share: setting }, gain: null };
  }
  if (!validation.scores) return not("no_scores");
  const doubt = findDoubt(estimate, validation, unlike / summary.n);
  if (doubt !== null) return not(doubt);
  const change = { reference, share: inside(nearEnd(estimate), summary.n) };
  const thresholds = thresholdsOf(decision.threshold, change);
  const gain = correctionGain(summary, validation.scores, thresholds, seed);
  const { low, high } = gain.moved;
  if (low > 0 || high < 0) return { reason: "scores_moved", change: null, gain };
  if (gain.least < 0) return { reason: "may_harm", change: null, gain };
  return { reason: "moved", change, gain };
}

/** A correction as a change of the threshold, whatever rule will have chosen the answers. */
function thresholdsOf(threshold: number, change: ShareChange): ThresholdChange {
  return { before: logOdds(threshold), after: logOdds(uncorrectedThreshold(threshold, change)) };
}

type Validation = NonNullable<Decision["validation"]>;

/** The counts, where they hold images of both classes. */
function usable(validation: Decision["validation"]): Validation | null {
  if (!validation) return null;
  const { truePositives, falsePositives, trueNegatives, falseNegatives } = validation;
  const both = truePositives + falseNegatives > 0 && trueNegatives + falsePositives > 0;
  return both ? validation : null;
}

/** What speaks against a correction before its effect is looked at; `null`: nothing does. */
function findDoubt(
  estimate: ShareShift,
  validation: Validation,
  unlike: number,
): PriorShiftReason | null {
  if (estimate.n < FEWEST_IMAGES) return "too_few_images";
  const { truePositives, falsePositives, trueNegatives, falseNegatives } = validation;
  const fewest = Math.min(truePositives + falseNegatives, trueNegatives + falsePositives);
  if (fewest < FEWEST_OF_A_CLASS) return "too_few_validation_images";
  if (estimate.p >= SIGNIFICANT) return "not_moved";
  if (unlike > MOST_UNLIKE) return "unlike_training";
  if (estimate.agree === null) return "no_cross_check";
  if (!estimate.agree) return "contradicted";
  return isBeyondDoubt(estimate) ? null : "not_confirmed";
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
