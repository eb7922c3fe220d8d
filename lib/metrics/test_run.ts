import { join } from "node:path";
import { writeCsv } from "../csv.ts";
import type { Config } from "../config_schema.ts";
import { DataError } from "../errors.ts";
import { sha256File, writeJson } from "../files.ts";
import { calibrate } from "../model/decision.ts";
import { decide } from "../model/decide.ts";
import { decodeOptions } from "../model/decode_options.ts";
import { loadModel } from "../model/load_model.ts";
import { disposeModel, type Model } from "../model/model.ts";
import type { ModelCard } from "../model/model_card.ts";
import { predictImages } from "../model/predict_images.ts";
import { createPredictor } from "../model/predictor.ts";
import { fromRoot, runPaths } from "../paths.ts";
import type { OnProgress } from "../progress.ts";
import { readSplit, type SplitRow } from "../split/split.ts";
import { positiveClass } from "./positive_class.ts";
import type { Scores } from "./score.ts";
import { computeScores } from "./scores.ts";

/** One image of the test split. */
export interface TestPrediction {
  /** Relative to the data folder. */
  path: string;
  /** True class folder name. */
  label: string;
  /** Predicted class folder name. */
  predicted: string;
  /** Of the positive class, 0 to 1. */
  probability: number;
  /** The same before calibration. */
  uncalibrated: number;
  group: string;
}

/**
 * Scores the run's saved model on the test split; writes predictions_test.csv and metrics.json.
 *
 * @throws {ModelError} When there is no usable model.
 * @throws {DataError} When the split is missing, or is not the one that the model was trained on:
 * its test images could then be ones the model has learnt.
 * @throws {ImageError} When an image of the test split has gone or broken since.
 */
export async function testRun(
  config: Config,
  onProgress?: OnProgress,
): Promise<{ predictions: TestPrediction[]; scores: Scores; card: ModelCard }> {
  const paths = runPaths(config.run);
  const split = await readSplit(paths.split);
  const { model, card } = await loadModel(paths.model);
  try {
    await checkSplit(paths.split, card);
    const { classes } = card.architecture;
    const rows = split.filter(({ subset }) => subset === "test");
    const predictions = await predictRows(rows, model, card, config, onProgress);
    const { indexOf: index } = positiveClass(classes);
    const scores = computeScores({
      labels: predictions.map(({ label }) => index(label)),
      predicted: predictions.map(({ predicted }) => index(predicted)),
      probabilities: predictions.map(({ probability }) => probability),
      groups: predictions.map(({ group }) => group),
      seed: config.seed,
    });
    const columns = ["path", "label", "predicted", "probability"] as const;
    await writeCsv(paths.predictionsTest, columns, predictions.map((row) => ({ ...row })));
    await writeJson(paths.metrics, scores);
    return { predictions, scores, card };
  } finally {
    disposeModel(model);
  }
}

/** @throws {ImageError} When an image cannot be read: a score over fewer images is another score. */
async function predictRows(
  rows: readonly SplitRow[],
  model: Model,
  card: ModelCard,
  config: Config,
  onProgress?: OnProgress,
): Promise<TestPrediction[]> {
  const folder = fromRoot(config.data.folder);
  const predictor = createPredictor(model, card.preprocessing);
  const predictions: TestPrediction[] = [];
  try {
    const results = predictImages(predictor, rows.map(({ path }) => join(folder, path)), {
      ...decodeOptions(card),
      batchSize: config.training.batchSize,
    });
    for await (const result of results) {
      if ("error" in result) throw result.error;
      const { path, label, group } = rows[predictions.length]!;
      const { decision } = card;
      const calibrated = calibrate(result.probabilities, decision.calibration);
      const probability = calibrated.at(-1)!;
      const predicted = card.architecture.classes[decide(calibrated, decision.threshold)]!;
      const uncalibrated = result.probabilities.at(-1)!;
      predictions.push({ path, label, predicted, probability, uncalibrated, group });
      onProgress?.(predictions.length, rows.length, path);
    }
  } finally {
    predictor.dispose();
  }
  return predictions;
}

async function checkSplit(path: string, card: ModelCard): Promise<void> {
  if (await sha256File(path) === card.data.splitSha256) return;
  throw new DataError(
    `${path} is not the split that the model was trained on: some of its test images may be ones ` +
      "that the model has learnt.",
    "Train again with this split (notebook 05), then run notebook 06.",
  );
}
