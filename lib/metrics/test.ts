import { writeCsv } from "../core/csv.ts";
import { writeAtomic, writeJson } from "../core/files.ts";
import { runPaths } from "../core/paths.ts";
import type { Config, MetricsConfig } from "../core/settings.ts";
import { median } from "../core/stats.ts";
import type { OnProgress } from "../core/stop.ts";
import { compareCodePoints, type ScoreName } from "../core/words.ts";
import { disposeModel } from "../model/model.ts";
import { predictSubset } from "../model/predict.ts";
import { loadRunModel } from "../model/saved.ts";
import { countTestRead, otherTestRuns, type Scores, type TestReads } from "../run/metrics_file.ts";
import {
  calibrate,
  decide,
  type ModelCard,
  modelCardMarkdown,
  type ModelTest,
} from "../run/model_card.ts";
import { positiveClass } from "./rates.ts";
import { computeScores } from "./scores.ts";

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

/** What of a prediction decides whether it is chosen. */
export type ExamplePrediction = Pick<
  TestPrediction,
  "path" | "label" | "predicted" | "probability"
>;

/** Predictions worth looking at for one reason. */
export interface ExampleGroup<T> {
  kind: "mistakes" | "uncertain" | "typical";
  /** Class folder name of typical ones; else `null`. */
  label: string | null;
  examples: T[];
  /** How many there were to choose from. */
  of: number;
}

/**
 * The predictions to look at first: the most confident mistakes, the least certain of the others,
 * and of each class those right ones that are as certain as half of its right ones. Each prediction
 * is in one group at most, and equally good ones are taken in the order of their paths.
 *
 * How certain a prediction is, is how far its probability is from the threshold, as a share of how
 * far it could be on its side: so both sides compare where the threshold is not 0.5.
 *
 * @param options `threshold`: of the positive class. `classes`: folder names, in the model's order.
 * `most`: predictions a group.
 */
export function chooseExamples<T extends ExamplePrediction>(
  predictions: readonly T[],
  { threshold, classes, most }: { threshold: number; classes: readonly string[]; most: number },
): ExampleGroup<T>[] {
  const certainty = new Map(predictions.map((row) => [row, certaintyOf(row, threshold)]));
  const nearest = (rows: readonly T[], target: number): T[] =>
    rows.toSorted((a, b) =>
      Math.abs(certainty.get(a)! - target) - Math.abs(certainty.get(b)! - target) ||
      compareCodePoints(a.path, b.path)
    ).slice(0, most);
  const wrong = predictions.filter((row) => row.predicted !== row.label);
  const mistakes = nearest(wrong, 1);
  const others = predictions.filter((row) => !mistakes.includes(row));
  const uncertain = nearest(others, 0);
  const typical = classes.map((name): ExampleGroup<T> => {
    const right = predictions.filter((row) => row.label === name && row.predicted === name);
    const usual = right.length === 0 ? 0 : median(right.map((row) => certainty.get(row)!));
    return {
      kind: "typical",
      label: name,
      examples: nearest(right.filter((row) => !uncertain.includes(row)), usual),
      of: right.length,
    };
  });
  return [
    { kind: "mistakes", label: null, examples: mistakes, of: wrong.length },
    { kind: "uncertain", label: null, examples: uncertain, of: others.length },
    ...typical,
  ];
}

/**
 * How certain a prediction is: how far its probability is from the threshold, as a share of how far
 * it could be on its side. 0 at the threshold, 1 at a probability of 0 or 1.
 */
export function certaintyOf(
  { probability }: Pick<ExamplePrediction, "probability">,
  threshold: number,
): number {
  const room = probability >= threshold ? 1 - threshold : threshold;
  return room === 0 ? 0 : Math.abs(probability - threshold) / room;
}

/**
 * Writes the model card for people, model/RUN/model_card.md, with the test scores.
 *
 * @param test Of notebook 06, by the model of `card`.
 */
export async function writeModelCard(
  { run }: Pick<Config, "run">,
  card: ModelCard,
  { scores, reads }: Pick<TestResult, "scores" | "reads">,
): Promise<void> {
  const test: ModelTest = { scores, reads: reads.count };
  await writeAtomic(runPaths(run).modelCardText, modelCardMarkdown(card, test));
}
