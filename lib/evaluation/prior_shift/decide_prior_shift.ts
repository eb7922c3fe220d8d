import type { Config } from "../../config_schema.ts";
import { ModelError } from "../../errors.ts";
import type { Decision } from "../../model/decision.ts";
import { logOdds } from "../../model/log_odds.ts";
import { FEWEST_IMAGES, FEWEST_OF_A_CLASS, MOST_UNLIKE, SIGNIFICANT } from "./auto_limits.ts";
import { correctedThreshold, type ShareChange, uncorrectedThreshold } from "./correct.ts";
import { describePriorShift, type PriorShiftReason } from "./describe_prior_shift.ts";
import { estimateShift, type ShareShift } from "./estimate_shift.ts";
import { explainScores, haveMoved, type ScoreExplanations } from "./explain_scores.ts";
import { leastGain } from "./least_gain.ts";
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
