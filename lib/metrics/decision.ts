import { DataError } from "../core/errors.ts";
import type { OnProgress } from "../core/long_work.ts";
import type { Config } from "../core/settings.ts";
import { disposeModel } from "../model/model.ts";
import { predictOutOfFold, predictSubset, type RowPrediction } from "../model/predict.ts";
import { loadRunModel, type RunModel, updateCard } from "../model/saved.ts";
import {
  calibrate,
  decide,
  type Decision,
  logOdds,
  MOST_SCORES,
  type ValidationScores,
} from "../run/decision.ts";
import type { ModelCard } from "../run/model_card.ts";
import { classIndex } from "../run/predictions.ts";
import type { Run } from "../run/run.ts";
import { chooseAcceptBand } from "./accept_band.ts";
import { type CalibrationSample, chooseCalibration } from "./calibration.ts";
import { confusionMatrix } from "./rates.ts";
import { chooseThreshold, type ThresholdChoice } from "./threshold.ts";

/** The decision that is now on the model's card, the predictions it was chosen on, and why. */
export interface ChosenDecision extends ReturnType<typeof fitDecision> {
  card: ModelCard;
  predicted: RowPrediction[];
}

/**
 * Chooses calibration, threshold and accept band of the run's saved model on its validation images
 * (with folds on all of them, each as predicted by a member that never saw its patient), and stores
 * them with the model. Test images are not looked at. The same config and data give the same files
 * again.
 *
 * @param given The run's model, where it is loaded already.
 * @throws {ModelError} When there is no usable model.
 * @throws {DataError} When the split is missing, has no validation image, or is not the one that
 * the model was trained on.
 * @throws {ImageError} When a validation image has gone or broken since.
 */
export async function chooseDecision(
  run: Run,
  onProgress?: OnProgress,
  given?: RunModel,
): Promise<ChosenDecision> {
  const { config, name, paths } = run;
  return await withRunModel(run, given, async (loaded) => {
    const { testTimeAugmentation } = config.metrics;
    const decision = { ...loaded.card.decision, testTimeAugmentation };
    const asked = { ...loaded, card: { ...loaded.card, decision } };
    const how = { withAppearance: true };
    const predicted = loaded.card.data.folds
      ? await predictOutOfFold(asked, config, onProgress)
      : await predictSubset(asked, "validation", config, onProgress, how);
    if (predicted.length === 0) {
      throw new DataError(
        `The split of the run ${JSON.stringify(name)} has no validation image.`,
        "Make another split (notebook 03), then train again.",
      );
    }
    const { classes } = loaded.card.architecture;
    const fitted = fitDecision(calibrationSample(predicted, classes, config.seed), config);
    const card = { ...loaded.card, decision: fitted.decision };
    await updateCard(paths.model, loaded.model, card);
    return { ...fitted, card, predicted };
  });
}

/**
 * The decision for each fold that was learnt on the other folds alone: with it a fold is scored, whose
 * images the decision of the card has seen.
 *
 * @param predicted By `predictOutOfFold`.
 */
export function crossFitDecisions(
  predicted: readonly RowPrediction[],
  classes: readonly string[],
  config: Config,
): Map<string, Decision> {
  const folds = new Set(predicted.map(({ fold }) => fold!));
  return new Map([...folds].map((fold) => {
    const others = predicted.filter((row) => row.fold !== fold);
    return [fold, fitDecision(calibrationSample(others, classes, config.seed), config).decision];
  }));
}

function calibrationSample(
  predicted: readonly RowPrediction[],
  classes: readonly string[],
  seed: number,
): CalibrationSample {
  return {
    probabilities: predicted.map(({ probabilities }) => probabilities),
    labels: predicted.map(({ label }) => classIndex(classes, label)),
    groups: predicted.map(({ group }) => group),
    classes,
    seed,
  };
}

/** Does some work with the run's model: the one given, else its saved one, which is freed after. */
export async function withRunModel<T>(
  run: Run,
  given: RunModel | undefined,
  work: (loaded: RunModel) => Promise<T>,
): Promise<T> {
  const loaded = given ?? await loadRunModel(run);
  try {
    return await work(loaded);
  } finally {
    if (!given) disposeModel(loaded.model);
  }
}

/**
 * Chooses calibration, threshold and accept band on validation predictions. Pure.
 *
 * Of three classes or more the most probable one is predicted, so there is no threshold to choose;
 * the confusion matrix is then that of the positive class against the rest.
 *
 * @param sample At least one image.
 * @returns Beside the decision and its reasons, of each image: whether it is of the positive class (1
 * or 0), and the calibrated probability of that class.
 */
export function fitDecision(sample: CalibrationSample, { metrics }: Pick<Config, "metrics">) {
  const positive = sample.classes.length - 1;
  const isPositive = (label: number) => label === positive ? 1 : 0;
  const { calibration, reason, logLoss } = chooseCalibration(sample, metrics.calibration);
  const rows = sample.probabilities.map((row) => calibrate(row, calibration));
  const calibrated = rows.map((row) => row[positive]!);
  const labels = sample.labels.map(isPositive);
  const choice = sample.classes.length === 2
    ? chooseThreshold({ labels, probabilities: calibrated }, metrics.threshold)
    : NO_THRESHOLD;
  const { threshold, rule } = choice;
  const predicted = rows.map((row) => decide(row, threshold));
  const right = predicted.map((label, i) => label === sample.labels[i]);
  const accepted = { probabilities: calibrated, right, groups: sample.groups, threshold };
  const band = chooseAcceptBand(accepted, metrics.acceptErrorRate);
  const m = confusionMatrix(labels, predicted.map(isPositive));
  const validation = {
    truePositives: m.truePositive,
    falsePositives: m.falsePositive,
    trueNegatives: m.trueNegative,
    falseNegatives: m.falseNegative,
    scores: validationScores(labels, calibrated),
  };
  const { testTimeAugmentation } = metrics;
  const { acceptBand } = band;
  const decision = { calibration, threshold, rule, testTimeAugmentation, acceptBand, validation };
  const reasons = { calibration: reason, threshold: choice.reason, acceptBand: band.reason };
  return { decision, labels, calibrated, logLoss, reasons };
}

const NO_THRESHOLD: ThresholdChoice = {
  threshold: 0.5,
  rule: "default",
  reason: "There is no threshold: of three classes or more the most probable one is predicted.",
};

/** Log odds of each class, rising; `null` where a class is absent. */
function validationScores(
  labels: readonly number[],
  probabilities: readonly number[],
): ValidationScores | null {
  const [negatives, positives] = [0, 1].map((label) => {
    const sorted = probabilities.filter((_, i) => labels[i] === label).map(logOdds)
      .sort((a, b) => a - b);
    const count = Math.min(MOST_SCORES, sorted.length); // spread evenly, to four decimals
    return Array.from({ length: count }, (_, i) => {
      const value = sorted[Math.floor((i + 0.5) * sorted.length / count)]!;
      return Math.round(value * 1e4) / 1e4;
    });
  }) as [number[], number[]];
  return negatives.length > 0 && positives.length > 0 ? { positives, negatives } : null;
}
