import { ModelError } from "../core/errors.ts";
import type { Config } from "../core/settings.ts";
import { images, percent } from "../core/words.ts";
import { type Decision, logOdds } from "../run/decision.ts";
import type { Interval } from "../run/metrics_file.ts";
import {
  explainScores,
  haveMoved,
  leastGain,
  type ScoreExplanations,
  type ScoreSummary,
} from "./folder_scores.ts";
import {
  correctedThreshold,
  estimatePrevalence,
  keepsPredictions,
  type PrevalenceChange,
  type PrevalenceEstimate,
  uncorrectedThreshold,
} from "./prevalence.ts";

/** What was decided about the prevalence in a folder. */
export interface PriorShift {
  /** How to correct every probability (see `correctProbabilities`); `null`: not at all. */
  change: PrevalenceChange | null;
  reason: keyof typeof OUTCOMES;
  /** `null`: nothing is known of validation. */
  estimate: PrevalenceEstimate | null;
  /** By how much all scores may lie elsewhere than in validation; `null`: too few images to tell. */
  moved: ScoreExplanations["moved"] | null;
  /**
   * Whether something else than the prevalence differs from the images that the model knows: many of
   * these look unlike them, the scores have moved, or the two estimates contradict each other.
   */
  anotherShift: boolean;
  /** The least that the correction changes F1 by; `null`: none was in question. */
  leastGain: number | null;
  /** On the probabilities after the correction, if there is one. */
  threshold: number;
  /** All of it in plain words. */
  text: string;
}

/** What {@linkcode decidePriorShift} is told; `decision` and `classes` as the model card has them. */
export interface PriorShiftInput {
  /** `config.evaluation.priorShift`. */
  setting: Config["evaluation"]["priorShift"];
  /** Of all images; at least one. */
  summary: ScoreSummary;
  decision: Decision;
  classes: readonly string[];
  /** Images that are flagged as unlike the training data. */
  unlike: number;
  seed: string | number;
}

/**
 * With fewer images "auto" never corrects. Simulated with models of an AUC of 0.92 and 0.98,
 * calibrated on 150 images, at prevalences from 2 to 90 %: with 30 images a correction cost up to
 * 0.03 in F1, from 50 on no more than 0.01. Twice as many, because a shift of another kind is noticed
 * from too few images only half of the time (real crops of another centre).
 */
const FEWEST_IMAGES = 100;

/** Of validation: on real crops of another centre, models with 14 to 16 lost up to 0.05 in F1. */
const FEWEST_OF_A_CLASS = 20;

/** The prevalence has moved where p is below this: strict, since the test takes calibration as exact. */
const SIGNIFICANT = 0.001;

/** Share of images unlike the training data; above it more than the prevalence may differ. */
const MOST_UNLIKE = 0.1;

/** What is known before it is decided; `unlikeShare`: of the images those unlike the training data. */
interface Evidence extends PriorShiftInput {
  validation: Decision["validation"];
  estimate: PrevalenceEstimate | null;
  explained: ScoreExplanations | null;
  unlikeShare: number;
}

type Choice = Pick<PriorShift, "reason" | "change" | "leastGain">;

/**
 * Decides whether the probabilities of a folder are corrected for its own prevalence of the positive
 * class, and says why.
 *
 * "auto" corrects where there are at least 100 images, at most 10 % of them unlike the training data,
 * the prevalence has moved (by the likelihood-ratio test and the intervals of both estimates), the
 * estimates agree, the scores as such have not moved (see `explainScores`), and no explanation of the
 * folder makes the corrected predictions worse (see `leastGain`). It corrects only as far as both
 * 95 % confidence intervals show beyond doubt.
 *
 * @throws {ModelError} When a prevalence is given and the model's own is not known.
 * @throws {RangeError} When the summary has no image.
 */
export function decidePriorShift(input: PriorShiftInput): PriorShift {
  const { setting, summary, decision, unlike, seed } = input;
  const counts = decision.validation;
  const fewest = counts === null ? 0 : Math.min(
    counts.truePositives + counts.falseNegatives,
    counts.trueNegatives + counts.falsePositives,
  );
  const validation = fewest > 0 ? counts : null; // both classes are needed
  const estimate = validation && estimatePrevalence(summary, validation, { seed });
  if (typeof setting === "number" && !estimate) {
    throw new ModelError(
      `Probabilities cannot be corrected to a prevalence of ${setting}: the model does not say with ` +
        "which prevalence it was calibrated.",
      'Run notebook 06 for this model, or set evaluation.priorShift: "off".',
    );
  }
  const explained = validation?.scores && summary.n >= FEWEST_IMAGES && fewest >= FEWEST_OF_A_CLASS
    ? explainScores(summary, validation.scores, seed)
    : null;
  const evidence = { ...input, validation, estimate, explained, unlikeShare: unlike / summary.n };
  const choice = choose(evidence);
  return {
    ...choice,
    estimate,
    moved: explained && explained.moved,
    anotherShift: evidence.unlikeShare > MOST_UNLIKE || estimate?.agree === false ||
      (explained !== null && haveMoved(explained.moved)),
    threshold: choice.change ? correctedThreshold(decision, choice.change) : decision.threshold,
    text: describe(evidence, choice),
  };
}

function choose(evidence: Evidence): Choice {
  const { setting, summary, decision, validation, estimate, explained } = evidence;
  const not = (reason: Choice["reason"]): Choice => ({ reason, change: null, leastGain: null });
  if (setting === "off") return not("off");
  if (!estimate || !validation) return not("no_validation");
  const { reference } = estimate;
  if (setting !== "auto") {
    return { reason: "given", change: { reference, share: setting }, leastGain: null };
  }
  if (!validation.scores) return not("no_scores");
  if (estimate.n < FEWEST_IMAGES) return not("too_few_images");
  if (!explained) return not("too_few_validation_images");
  if (estimate.p >= SIGNIFICANT) return not("not_moved");
  if (evidence.unlikeShare > MOST_UNLIKE) return not("unlike_training");
  if (estimate.agree === null) return not("no_cross_check");
  if (!estimate.agree) return not("contradicted");
  if (haveMoved(explained.moved)) return not("scores_moved");
  const end = nearEnd(estimate);
  if (estimate.share < reference ? end >= reference : end <= reference) return not("not_confirmed");
  // a prevalence of 0 or 1 would leave no image a chance: that of half an image is the least
  const least = 0.5 / summary.n;
  const change = { reference, share: Math.min(1 - least, Math.max(least, end)) };
  const gain = leastGain(explained.possible, {
    before: logOdds(decision.threshold),
    // of the plain correction, also where the rule of the threshold keeps the predictions
    after: logOdds(uncorrectedThreshold(decision.threshold, change)),
  });
  if (gain < 0) return { ...not("may_harm"), leastGain: gain };
  return { reason: "moved", change, leastGain: gain };
}

/**
 * The end next to the reference prevalence of what the intervals of both estimates hold. In
 * simulations (see `FEWEST_IMAGES`) correcting to the estimate itself cost up to 0.05 in F1 at
 * prevalences of 5 to 20 %, this no more than 0.01.
 */
function nearEnd({ share, interval, blackBox, reference }: PrevalenceEstimate): number {
  const ends = [interval, blackBox.interval].map(({ low, high }) => share < reference ? high : low);
  const known = [share, ...ends.filter((end) => end !== null)];
  return share < reference ? Math.max(...known) : Math.min(...known);
}

/** What was done about the prevalence and why, by reason: the rest of a sentence. */
const OUTCOMES = {
  given: (_: Evidence, { change }: Choice) =>
    `were corrected to the prevalence of ${
      percent(change!.share)
    } that evaluation.priorShift gives`,
  moved: ({ estimate }: Evidence, { change }: Choice) =>
    `were corrected to a prevalence of ${percent(change!.share)}, as far as the images show it ` +
    `beyond doubt, because it has moved (${
      test(estimate!)
    }) and the cross-check from the model's ` +
    `errors on validation agrees: ${crossCheck(estimate!)}`,
  off: ({ estimate }: Evidence) =>
    `${NOT}: evaluation.priorShift is "off"` +
    (estimate && estimate.p < SIGNIFICANT
      ? `, although it seems to have moved (${test(estimate)})`
      : ""),
  no_validation: () =>
    `${NOT}: the model does not say with which prevalence it was calibrated (run notebook 06 for it)`,
  no_scores: () =>
    `${NOT}: the model does not hold the scores of its validation images (run notebook 06 for it)`,
  too_few_images: () => `${NOT}: so few images cannot tell; ${FEWEST_IMAGES} are needed`,
  too_few_validation_images: () =>
    `${NOT}: the model's errors are known from too few validation images; ${FEWEST_OF_A_CLASS} of ` +
    "each class are needed",
  not_moved: ({ estimate }: Evidence) =>
    `${NOT}: the difference can be chance (${test(estimate!)})`,
  unlike_training: ({ unlikeShare }: Evidence) =>
    `${NOT}: ${
      percent(unlikeShare)
    } of the images look unlike the training data, and more than the ` +
    `prevalence may differ (at most ${percent(MOST_UNLIKE)} may look so)`,
  no_cross_check: () => `${NOT}: the model's errors on validation are too many for a cross-check`,
  contradicted: () => `${NOT}: the cross-check must agree`,
  scores_moved: () =>
    `${NOT}: where scores have moved, an estimated prevalence is not to be trusted`,
  not_confirmed: ({ estimate }: Evidence) =>
    `${NOT}: the intervals of this estimate and of the cross-check from the model's errors on ` +
    `validation, ${crossCheck(estimate!)}, do not both rule out that it is the same`,
  may_harm: (_: Evidence, { leastGain }: Choice) =>
    `${NOT}: from what these images and the validation images show, the predictions could become ` +
    `worse by it (F1 by ${(-leastGain!).toFixed(2)} at worst)`,
};

const NOT = "were not corrected for another prevalence";

function describe(evidence: Evidence, choice: Choice): string {
  const { estimate, explained, classes } = evidence;
  const positive = classes.at(-1)!.replaceAll("_", " ");
  const sentences = [
    estimate &&
    `Of these ${images(estimate.n)}, an estimated ${percent(estimate.share)} are “${positive}”` +
      `${
        limits(estimate.interval)
      }; of the validation images that the model was calibrated with, ` +
      `${percent(estimate.reference)} are.`,
    estimate?.agree === false &&
    "The cross-check contradicts: from the model's errors on validation the prevalence would be " +
      `${crossCheck(estimate)}. Then something other than the prevalence differs here (another ` +
      "scanner, stain or kind of image), or the calibration is off: check the predictions with care.",
    explained && haveMoved(explained.moved) && describeMove(explained.moved),
    `Probabilities ${OUTCOMES[choice.reason](evidence, choice)}.`,
    choice.change && consequence(evidence, choice.change),
  ];
  return sentences.filter(Boolean).join(" ");
}

function describeMove({ low, high }: ScoreExplanations["moved"]): string {
  const least = Math.min(Math.abs(low), Math.abs(high)).toFixed(2);
  const most = Math.max(-low, high).toFixed(2);
  const way = low > 0 ? "higher" : "lower";
  return `Whatever the prevalence, the scores of both classes seem to lie ${way} here than in ` +
    `validation (by ${least} to ${most} in log odds), as with another stain or scanner: check the ` +
    "predictions with care, the accepted ones too.";
}

function consequence({ decision, classes }: Evidence, change: PrevalenceChange): string {
  const order = "The order of the images stays the same";
  if (classes.length > 2) return `${order}.`;
  if (keepsPredictions(decision.rule)) {
    return `${order}, and so do the predictions: the threshold was chosen for sensitivity and ` +
      "specificity, which do not depend on the prevalence, and moves with the probabilities.";
  }
  const before = digits(uncorrectedThreshold(decision.threshold, change));
  return `${order}; the predictions are those of a threshold of ${before} instead of ` +
    `${digits(decision.threshold)} on the probabilities before.`;
}

/** The black-box estimate, which may lie outside 0 to 1. */
function crossCheck({ blackBox: { share, interval } }: PrevalenceEstimate): string {
  return share === null ? "none" : `${percent(share)}${limits(interval)}`;
}

function limits({ low, high }: Interval): string {
  return low === null || high === null
    ? ""
    : ` (95 % confidence interval ${percent(low)} to ${percent(high)})`;
}

function test({ p }: PrevalenceEstimate): string {
  return `likelihood-ratio test, ${p < 0.001 ? "p < 0.001" : `p = ${p.toFixed(3)}`}`;
}

/** Two decimals, more next to 0 and 1. */
function digits(threshold: number): string {
  const rest = Math.min(threshold, 1 - threshold);
  return threshold.toFixed(rest >= 0.01 || rest === 0 ? 2 : 2 - Math.floor(Math.log10(rest) + 2));
}
