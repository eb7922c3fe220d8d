import type { Config } from "../config_schema.ts";
import { decide } from "../model/decide.ts";
import { calibrate, type Decision } from "../model/decision.ts";
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
      },
    },
    labels,
    raw: sample.probabilities.map((row) => row[positive]!),
    calibrated,
    logLoss,
    reasons: { calibration: reason, threshold: choice.reason, acceptBand: band.reason },
  };
}

const ofMoreClasses: ThresholdChoice = {
  threshold: 0.5,
  rule: "default",
  reason: "There is no threshold: of three classes or more the most probable one is the answer.",
};
