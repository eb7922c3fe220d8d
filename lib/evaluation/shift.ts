import { ModelError } from "../core/errors.ts";
import type { Config } from "../core/settings.ts";
import { images, percent } from "../core/words.ts";
import type { Interval } from "../run/metrics_file.ts";
import { type Decision, logOdds } from "../run/model_card.ts";
import { estimateShift, type ShareShift } from "./estimate_shift.ts";
import {
  correctedThreshold,
  explainScores,
  type Explanation,
  haveMoved,
  keepsAnswers,
  type ScoreExplanations,
  type ShareChange,
  shareFrom,
  uncorrectedThreshold,
} from "./explain_scores.ts";
import type { ScoreSummary } from "./score_summary.ts";

/** What was decided about the share of classes in a folder. */
export interface PriorShift {
  /** How to correct every probability (see `correctProbabilities`); `null`: not at all. */
  change: ShareChange | null;
  reason: PriorShiftReason;
  /** `null`: nothing is known of validation. */
  estimate: ShareShift | null;
  /** By how much all scores may lie elsewhere than in validation; `null`: too few images to tell. */
  moved: ScoreExplanations["moved"] | null;
  /**
   * Whether something else than the share differs from the images that the model knows: many of these
   * look unlike them, the scores have moved, or the two estimates of the share contradict each other.
   */
  anotherShift: boolean;
  /** The least that the correction changes F1 by; `null`: none was in question. */
  leastGain: number | null;
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
 * estimates agree, the scores as such have not moved (see `explainScores`), and no explanation of the
 * folder makes the corrected answers worse (see `leastGain`). It corrects only as far as the images
 * show beyond doubt: to the end, next to the share of validation, of what both 95 % intervals hold.
 * The correction is monotone: p in proportion to p · new share / old share.
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
  const explained = estimate && validation?.scores && haveEnough(estimate, validation)
    ? explainScores(summary, validation.scores, seed)
    : null;
  const { reason, change, leastGain } = choose(input, { estimate, validation, explained });
  const threshold = change ? correctedThreshold(decision, change) : decision.threshold;
  const decided = { reason, change, estimate, moved: explained?.moved ?? null, leastGain };
  const unlikeShare = unlike / summary.n;
  const anotherShift = unlikeShare > MOST_UNLIKE || estimate?.agree === false ||
    (explained !== null && haveMoved(explained.moved));
  const text = describePriorShift({ ...decided, decision, classes, unlikeShare });
  return { ...decided, anotherShift, threshold, text };
}

interface Evidence {
  estimate: ShareShift | null;
  validation: Validation | null;
  explained: ScoreExplanations | null;
}

type Choice = Pick<PriorShift, "reason" | "change" | "leastGain">;

function choose(
  { setting, summary, decision, unlike }: PriorShiftInput,
  { estimate, validation, explained }: Evidence,
): Choice {
  const not = (reason: PriorShiftReason): Choice => ({ reason, change: null, leastGain: null });
  if (setting === "off") return not("off");
  if (!estimate || !validation) return not("no_validation");
  const { reference } = estimate;
  if (setting !== "auto") {
    return { reason: "given", change: { reference, share: setting }, leastGain: null };
  }
  if (!validation.scores) return not("no_scores");
  if (estimate.n < FEWEST_IMAGES) return not("too_few_images");
  if (!explained) return not("too_few_validation_images");
  const doubt = findDoubt(estimate, explained, unlike / summary.n);
  if (doubt !== null) return not(doubt);
  const change = { reference, share: inside(nearEnd(estimate), summary.n) };
  const gain = leastGain(explained.possible, {
    before: logOdds(decision.threshold),
    // of the plain correction, also where the rule of the threshold keeps the answers
    after: logOdds(uncorrectedThreshold(decision.threshold, change)),
  });
  return gain < 0
    ? { reason: "may_harm", change: null, leastGain: gain }
    : { reason: "moved", change, leastGain: gain };
}

type Validation = NonNullable<Decision["validation"]>;

/** The counts, where they hold images of both classes. */
function usable(validation: Decision["validation"]): Validation | null {
  if (!validation) return null;
  const { truePositives, falsePositives, trueNegatives, falseNegatives } = validation;
  const both = truePositives + falseNegatives > 0 && trueNegatives + falsePositives > 0;
  return both ? validation : null;
}

function haveEnough({ n }: ShareShift, validation: Validation): boolean {
  const { truePositives, falsePositives, trueNegatives, falseNegatives } = validation;
  const fewest = Math.min(truePositives + falseNegatives, trueNegatives + falsePositives);
  return n >= FEWEST_IMAGES && fewest >= FEWEST_OF_A_CLASS;
}

/** What speaks against a correction before its effect is looked at; `null`: nothing does. */
function findDoubt(
  estimate: ShareShift,
  { moved }: ScoreExplanations,
  unlike: number,
): PriorShiftReason | null {
  if (estimate.p >= SIGNIFICANT) return "not_moved";
  if (unlike > MOST_UNLIKE) return "unlike_training";
  if (estimate.agree === null) return "no_cross_check";
  if (!estimate.agree) return "contradicted";
  if (haveMoved(moved)) return "scores_moved";
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

/** Why the probabilities of a folder were corrected or not. */
type PriorShiftReason =
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
interface DecidedShift {
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
function describePriorShift(shift: DecidedShift): string {
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

/**
 * With fewer images "auto" never corrects. Simulated with models of an AUC of 0.92 and 0.98,
 * calibrated on 150 images, at shares from 2 to 90 %: with 30 images a correction cost up to 0.03 in
 * F1, from 50 on no more than 0.01. Twice as many, because a shift of another kind is noticed from
 * too few images only half of the time (real crops of another centre).
 */
const FEWEST_IMAGES = 100;

/**
 * With fewer validation images of a class, neither calibration nor cross-check is worth trusting. On
 * real crops of another centre, models with 14 to 16 of the positive class lost up to 0.05 in F1 at
 * single shares by corrections that all checks allowed.
 */
const FEWEST_OF_A_CLASS = 20;

/**
 * The share has moved where p is below this. Stricter than usual, because calibration has an error
 * that the test does not know; shifts that matter are far below it.
 */
const SIGNIFICANT = 0.001;

/**
 * Where more images than this share are unlike the training data, more than the share of classes may
 * differ. As many images can move an estimated share by as much.
 */
const MOST_UNLIKE = 0.1;

/** Thresholds on the probabilities before a correction, as log odds. */
interface ThresholdChange {
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
