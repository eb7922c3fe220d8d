import { writeCsv } from "../csv.ts";
import type { Config, MetricsConfig } from "../config_schema.ts";
import { writeJson } from "../files.ts";
import { decide } from "../model/decide.ts";
import { calibrate } from "../model/decision.ts";
import { disposeModel } from "../model/model.ts";
import type { ModelCard } from "../model/model_card.ts";
import { runPaths } from "../paths.ts";
import type { OnProgress } from "../progress.ts";
import type { ScoreName } from "../score_names.ts";
import { otherTestRuns } from "./other_test_runs.ts";
import { positiveClass } from "./positive_class.ts";
import { predictSubset } from "./predict_subset.ts";
import { loadRunModel } from "./run_model.ts";
import type { Scores } from "./score.ts";
import { computeScores } from "./scores.ts";
import { countTestRead, type TestReads } from "./test_reads.ts";

/** One image of the test split. */
export interface TestPrediction {
  /** Relative to the data folder. */
  path: string;
  /** True class folder name. */
  label: string;
  /** Predicted class folder name. */
  predicted: string;
  /** Of the positive class, calibrated, 0 to 1. */
  probability: number;
  /** The same before calibration. */
  uncalibrated: number;
  group: string;
}

/** What {@linkcode testRun} found. */
export interface TestResult {
  predictions: TestPrediction[];
  scores: Scores;
  /** How often these test images have been read, this time included. */
  reads: TestReads;
  card: ModelCard;
}

/**
 * Scores the run's saved model on the test split, with the calibration and the threshold on its
 * card; writes predictions_test.csv and metrics.json: the scores by name, and `test_reads`.
 *
 * @throws {ModelError} When there is no usable model.
 * @throws {DataError} When the split is missing, or is not the one that the model was trained on:
 * its test images could then be ones the model has learnt.
 * @throws {ImageError} When an image of the test split has gone or broken since.
 */
export async function testRun(config: Config, onProgress?: OnProgress): Promise<TestResult> {
  const paths = runPaths(config.run);
  const run = await loadRunModel(config);
  try {
    const { card, split } = run;
    const rows = split.filter(({ subset }) => subset === "test");
    const reader = { weightsSha256: card.weights.sha256, decision: card.decision };
    const counted = await countTestRead(paths.metrics, rows, reader);
    const other_runs = await otherTestRuns(config.run, counted.test_sha256);
    const reads = { ...counted, other_runs };
    const raw = await predictSubset(run, "test", config, onProgress);
    const predictions = raw.map(({ probabilities, ...image }): TestPrediction => {
      const calibrated = calibrate(probabilities, card.decision.calibration);
      const predicted = card.architecture.classes[decide(calibrated, card.decision.threshold)]!;
      const uncalibrated = probabilities.at(-1)!;
      return { ...image, predicted, probability: calibrated.at(-1)!, uncalibrated };
    });
    const { indexOf: index } = positiveClass(card.architecture.classes);
    const scores = withReferences(
      computeScores({
        labels: predictions.map(({ label }) => index(label)),
        predicted: predictions.map(({ predicted }) => index(predicted)),
        probabilities: predictions.map(({ probability }) => probability),
        groups: predictions.map(({ group }) => group),
        seed: config.seed,
      }),
      config.metrics.references,
    );
    const columns = ["path", "label", "predicted", "probability"] as const;
    await writeCsv(paths.predictionsTest, columns, predictions.map((row) => ({ ...row })));
    await writeJson(paths.metrics, { ...scores, test_reads: reads });
    return { predictions, scores, reads, card };
  } finally {
    disposeModel(run.model);
  }
}

/** Puts each published value beside the score that it is one of. */
function withReferences(scores: Scores, references: MetricsConfig["references"]): Scores {
  const result = { ...scores };
  for (const [score, published] of Map.groupBy(references, (reference) => reference.score)) {
    const entries = published.map(({ name, value, note }) => ({ name, value, note }));
    result[score as ScoreName] = { ...result[score], references: entries };
  }
  return result;
}
