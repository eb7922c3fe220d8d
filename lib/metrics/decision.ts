import { DataError } from "../core/errors.ts";
import { runPaths } from "../core/paths.ts";
import type { Config } from "../core/settings.ts";
import type { OnProgress } from "../core/stop.ts";
import { disposeModel } from "../model/model.ts";
import { predictSubset } from "../model/predict.ts";
import { loadRunModel, updateCard } from "../model/saved.ts";
import {
  calibrate,
  decide,
  type Decision,
  logOdds,
  type ModelCard,
  MOST_SCORES,
  type ValidationScores,
} from "../run/model_card.ts";
import {
  type CalibrationChoice,
  type CalibrationSample,
  chooseCalibration,
} from "./calibration.ts";
import { confusionMatrix } from "./rates.ts";
import { chooseAcceptBand, chooseThreshold, type ThresholdChoice } from "./threshold.ts";

/** The decision that is now on the model's card, and what led to it. */
export interface ChosenDecision extends FittedDecision {
  card: ModelCard;
}

/**
 * Chooses how the run's saved model answers (calibration, threshold, accept band) on its validation
 * images, and stores that with the model. The test images are not looked at. The same config and
 * data give the same files again.
 *
 * @throws {ModelError} When there is no usable model.
 * @throws {DataError} When the split is missing, has no validation image, or is not the one that
 * the model was trained on.
 * @throws {ImageError} When a validation image has gone or broken since.
 */
export async function chooseDecision(
  config: Config,
  onProgress?: OnProgress,
): Promise<ChosenDecision> {
  const loaded = await loadRunModel(config);
  const { testTimeAugmentation } = config.metrics;
  const decision = { ...loaded.card.decision, testTimeAugmentation };
  const run = { ...loaded, card: { ...loaded.card, decision } };
  try {
    const predictions = await predictSubset(run, "validation", config, onProgress);
    if (predictions.length === 0) {
      throw new DataError(
        `The split of the run ${JSON.stringify(config.run)} has no validation image.`,
        "Make another split (notebook 03), then train again.",
      );
    }
    const { classes } = run.card.architecture;
    const fitted = fitDecision({
      probabilities: predictions.map(({ probabilities }) => probabilities),
      labels: predictions.map(({ label }) => classes.indexOf(label)),
      groups: predictions.map(({ group }) => group),
      classes,
      seed: config.seed,
    }, config);
    const card = { ...run.card, decision: fitted.decision };
    await updateCard(runPaths(config.run).model, run.model, card);
    return { ...fitted, card };
  } finally {
    disposeModel(run.model);
  }
}

/** A decision and what led to it. */
interface FittedDecision {
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
