import { images, percent } from "../../in_words.ts";
import type { Interval } from "../../metrics/interval.ts";
import type { Decision } from "../../model/decision.ts";
import { FEWEST_IMAGES, FEWEST_OF_A_CLASS, MOST_UNLIKE, SIGNIFICANT } from "./auto_limits.ts";
import { keepsAnswers, type ShareChange, uncorrectedThreshold } from "./correct.ts";
import type { ShareShift } from "./estimate_shift.ts";
import { haveMoved, type ScoreExplanations } from "./explain_scores.ts";

/** Why the probabilities of a folder were corrected or not. */
export type PriorShiftReason =
  | "given"
  | "moved"
  | "off"
  | "no_validation"
  | "too_few_images"
  | "too_few_validation_images"
  | "unlike_training"
  | "not_moved"
  | "contradicted"
  | "not_confirmed"
  | "no_scores"
  | "scores_moved"
  | "may_harm"
  | "no_cross_check";

/** What {@linkcode describePriorShift} puts into words. */
export interface DecidedShift {
  reason: PriorShiftReason;
  change: ShareChange | null;
  estimate: ShareShift | null;
  moved: ScoreExplanations["moved"] | null;
  /** The least that the correction changes F1 by; `null`: none was in question. */
  leastGain: number | null;
  decision: Decision;
  classes: readonly string[];
  /** Share of the images that are unlike the training data. */
  unlikeShare: number;
}

/** What was found out about the share of the positive class, what was done about it, and why. */
export function describePriorShift(shift: DecidedShift): string {
  const { estimate, change } = shift;
  return [
    ...(estimate ? [estimated(estimate, shift.classes.at(-1)!)] : []),
    ...(estimate && estimate.agree === false ? [contradiction(estimate)] : []),
    ...(shift.moved && haveMoved(shift.moved) ? [describeMove(shift.moved)] : []),
    change ? corrected(shift, change) : notCorrected(shift),
    ...(change ? [consequence(shift, change)] : []),
  ].join(" ");
}

function estimated({ share, interval, reference, n }: ShareShift, positive: string): string {
  return `Of these ${images(n)}, an estimated ${percent(share)} are ` +
    `“${positive.replaceAll("_", " ")}”${limits(interval)}; of the validation images that the ` +
    `model was calibrated with, ${percent(reference)} are.`;
}

function contradiction(estimate: ShareShift): string {
  return "The cross-check contradicts: from the model's errors on validation the share would be " +
    `${crossCheck(estimate)}. Then something other than the share differs here (another scanner, ` +
    "stain or kind of image), or the calibration is off: look at the answers with care.";
}

function corrected({ reason, estimate }: DecidedShift, { share }: ShareChange): string {
  if (reason === "given") {
    return `Probabilities were corrected to the share of ${percent(share)} that ` +
      "evaluation.priorShift gives.";
  }
  return `Probabilities were corrected to a share of ${
    percent(share)
  }, as far as the images show ` +
    `it beyond doubt, because it has moved (likelihood-ratio test, ${chance(estimate!.p)}) and ` +
    `the cross-check from the model's errors on validation agrees: ${crossCheck(estimate!)}.`;
}

function notCorrected(shift: DecidedShift): string {
  return `Probabilities were not corrected for another share: ${whyNot(shift)}.`;
}

function whyNot({ reason, estimate, leastGain, unlikeShare }: DecidedShift): string {
  switch (reason) {
    case "off":
      return 'evaluation.priorShift is "off"' + (
        estimate && estimate.p < SIGNIFICANT
          ? `, although it seems to have moved (likelihood-ratio test, ${chance(estimate.p)})`
          : ""
      );
    case "no_validation":
      return "the model does not say with which share it was calibrated (run notebook 06 for it)";
    case "too_few_images":
      return `so few images cannot tell; ${FEWEST_IMAGES} are needed`;
    case "too_few_validation_images":
      return `the model's errors are known from too few validation images; ${FEWEST_OF_A_CLASS} of each ` +
        "class are needed";
    case "unlike_training":
      return `${percent(unlikeShare)} of the images look unlike the training data, and more than ` +
        `the share may differ (at most ${percent(MOST_UNLIKE)} may look so)`;
    case "contradicted":
      return "the cross-check must agree";
    case "no_scores":
      return "the model does not hold the scores of its validation images (run notebook 06 for it)";
    case "scores_moved":
      return "where scores have moved, an estimated share is not to be trusted";
    case "may_harm":
      return "from what these images and the validation images show, the answers could become worse " +
        `by it (F1 by ${(-leastGain!).toFixed(2)} at worst)`;
    case "no_cross_check":
      return "the model's errors on validation are too many for a cross-check";
    case "not_confirmed":
      return "the intervals of this estimate and of the cross-check from the model's errors on " +
        `validation, ${crossCheck(estimate!)}, do not both rule out that it is the same`;
    default:
      return `the difference can be chance (likelihood-ratio test, ${chance(estimate!.p)})`;
  }
}

/** Another kind of shift than that of the share. */
function describeMove({ low, high }: ScoreExplanations["moved"]): string {
  const ends = [Math.min(Math.abs(low), Math.abs(high)), Math.max(-low, high)];
  const [least, most] = ends.map((end) => end.toFixed(2));
  return `Whatever the share, the scores of both classes seem to lie ${
    low > 0 ? "higher" : "lower"
  } here than in validation (by ${least} to ${most} in log odds), as with another stain or ` +
    "scanner: look at the answers with care, the accepted ones too.";
}

/** What a correction does to the answers. */
function consequence({ decision, classes }: DecidedShift, change: ShareChange): string {
  const order = "The order of the images stays the same";
  if (classes.length > 2) return `${order}.`;
  if (keepsAnswers(decision.rule)) {
    return `${order}, and so do the answers: the threshold was chosen for sensitivity and ` +
      "specificity, which do not depend on the share, and moves with the probabilities.";
  }
  const before = uncorrectedThreshold(decision.threshold, change);
  return `${order}; the answers are those of a threshold of ${digits(before)} instead of ${
    digits(decision.threshold)
  } on the probabilities before.`;
}

/** The black-box estimate; less than none or more than all is as it comes out. */
function crossCheck({ blackBox: { share, interval } }: ShareShift): string {
  return share === null ? "none" : `${percent(share)}${limits(interval)}`;
}

function limits({ low, high }: Interval): string {
  return low === null || high === null
    ? ""
    : ` (95 % interval ${percent(low)} to ${percent(high)})`;
}

function chance(p: number): string {
  return p < 0.001 ? "p < 0.001" : `p = ${p.toFixed(3)}`;
}

/** Two decimals, more next to 0 and 1. */
function digits(threshold: number): string {
  const rest = Math.min(threshold, 1 - threshold);
  return threshold.toFixed(rest >= 0.01 || rest === 0 ? 2 : 2 - Math.floor(Math.log10(rest) + 2));
}
