import type { Config } from "../config_schema.ts";
import { decide } from "../model/decide.ts";
import { calibrate, type Decision, MOST_SCORES, type ValidationScores } from "../model/decision.ts";
import { logOdds } from "../model/log_odds.ts";
import {
  type CalibrationChoice,
  type CalibrationSample,
  chooseCalibration,
} from "./calibration/choose_calibration.ts";
import { confusionMatrix } from "./confusion_matrix.ts";
import { chooseAcceptBand } from "./threshold/choose_accept_band.ts";
import { chooseThreshold, type ThresholdChoice } from "./threshold/choose_threshold.ts";

/** A decision and what led to it. */
export interface FittedDecision {
  decision: Decision;
  /** Of each validation image: 1 for the positive class, else 0. */
  labels: number[];
  /** Probability of the positive class, as the model gives it. */
  raw: number[];
  /** The same, calibrated. */
  calibrated: number[];
  logLoss: CalibrationChoice["logLoss"];
  /** Why each part is what it is, in a sentence. */
  reasons: { calibration: string; threshold: string; acceptBand: string };
}

/**
 * Chooses calibration, threshold and accept band on validation predictions; see
 * `chooseCalibration`, `chooseThreshold` and `chooseAcceptBand`. A pure function of its arguments.
 *
 * Of three classes or more the most probable one is the answer, so there is no threshold to choose;
 * the confusion matrix is then that of the positive class against the rest.
 *
 * @param sample At least one image.
 */
export function fitDecision(
  sample: CalibrationSample,
  { metrics }: Pick<Config, "metrics">,
): FittedDecision {
  const positive = sample.classes.length - 1;
  const { calibration, reason, logLoss } = chooseCalibration(sample, metrics.calibration);
  const rows = sample.probabilities.map((row) => calibrate(row, calibration));
  const calibrated = rows.map((row) => row[positive]!);
  const labels = sample.labels.map((label) => label === positive ? 1 : 0);
  const choice = sample.classes.length === 2
    ? chooseThreshold({ labels, probabilities: calibrated }, metrics.threshold)
    : ofMoreClasses;
  const { threshold, rule } = choice;
  const answers = rows.map((row) => decide(row, threshold));
  const right = answers.map((answer, i) => answer === sample.labels[i]);
  const band = chooseAcceptBand(
    { probabilities: calibrated, right, threshold },
    metrics.acceptErrorRate,
  );
  const m = confusionMatrix(labels, answers.map((answer) => answer === positive ? 1 : 0));
  return {
    decision: {
      calibration,
      threshold,
      rule,
      testTimeAugmentation: metrics.testTimeAugmentation,
      acceptBand: band.acceptBand,
      validation: {
        truePositives: m.truePositive,
        falsePositives: m.falsePositive,
        trueNegatives: m.trueNegative,
        falseNegatives: m.falseNegative,
        scores: validationScores(labels, calibrated),
      },
    },
    labels,
    raw: sample.probabilities.map((row) => row[positive]!),
    calibrated,
    logLoss,
    reasons: { calibration: reason, threshold: choice.reason, acceptBand: band.reason },
  };
}

function validationScores(
  labels: readonly number[],
  calibrated: readonly number[],
): ValidationScores | null {
  const of = (label: number) =>
    calibrated.filter((_, i) => labels[i] === label).map(logOdds).sort((a, b) => a - b);
  const [negatives, positives] = [of(0), of(1)].map(quantiles) as [number[], number[]];
  return negatives.length > 0 && positives.length > 0 ? { positives, negatives } : null;
}

/** At most {@linkcode MOST_SCORES} of sorted values, evenly among them, to four decimals. */
function quantiles(sorted: readonly number[]): number[] {
  const count = Math.min(MOST_SCORES, sorted.length);
  return Array.from({ length: count }, (_, i) => {
    const value = sorted[Math.floor((i + 0.5) * sorted.length / count)]!;
    return Math.round(value * 1e4) / 1e4;
  });
}

const ofMoreClasses: ThresholdChoice = {
  threshold: 0.5,
  rule: "default",
  reason: "There is no threshold: of three classes or more the most probable one is the answer.",
};
