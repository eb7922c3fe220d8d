import { writeAtomic, writeJson } from "../core/files.ts";
import type { OnProgress } from "../core/long_work.ts";
import type { Config, MetricsConfig } from "../core/settings.ts";
import { median } from "../core/stats.ts";
import { compareCodePoints } from "../core/words.ts";
import { predictOutOfFold, predictSubset, type RowPrediction } from "../model/predict.ts";
import { fitRunReference } from "../model/reference.ts";
import type { RunModel } from "../model/saved.ts";
import { calibrate, decide, type Decision } from "../run/decision.ts";
import {
  countTestRead,
  type Metrics,
  otherTestRuns,
  type Scores,
  type TestReads,
} from "../run/metrics_file.ts";
import type { ModelCard } from "../run/model_card.ts";
import { modelCardMarkdown } from "../run/model_card_text.ts";
import {
  type PredictionRow,
  type Predictions,
  predictionsOf,
  writePredictions,
} from "../run/predictions.ts";
import type { Run } from "../run/run.ts";
import { isFold, members, testedRows } from "../run/split_file.ts";
import { betterThanBaseline } from "./baseline.ts";
import { chooseDecision, crossFitDecisions, withRunModel } from "./decision.ts";
import { testProbe } from "./probe.ts";
import { computeScores } from "./scores.ts";

/**
 * Tests the run's saved model, which is loaded once: chooses its decision on the validation images
 * (`chooseDecision`), learns what ordinary images look like (`fitRunReference`), and scores the test
 * images ({@linkcode testRun}). What is found goes to the model folder and to the run's results.
 *
 * @param options `loaded`: the run's model, where it is loaded already; its own card is then out of
 * date, and the one returned counts.
 * @returns With the `reference` of ordinary images (`null`: too few images to tell), the `verdict`:
 * whether the model is better than always predicting the more frequent class, and what it gains over a
 * linear `probe` ({@linkcode testProbe}).
 * @throws As `chooseDecision` and {@linkcode testRun}.
 */
export async function testModel(
  run: Run,
  { loaded, onProgress }: { loaded?: RunModel; onProgress?: OnProgress } = {},
) {
  return await withRunModel(run, loaded, async (loaded) => {
    const decision = await chooseDecision(run, onProgress, loaded);
    const decided = { ...loaded, card: decision.card };
    const reference = await fitRunReference(decided, run, onProgress, decision.predicted);
    const tested = await testRun(run, onProgress, decided, decision.predicted);
    const heldOut = loaded.split.filter(({ subset }) => subset === "test");
    const parts = members(loaded.split).map(({ train, test }) => {
      return { train, test: heldOut.length > 0 ? heldOut : test };
    });
    const probe = await testProbe(run, decided, parts, tested.predictions, onProgress);
    const verdict = betterThanBaseline(tested.predictions);
    return { ...tested, decision, reference, verdict, probe };
  });
}

/**
 * Scores the run's saved model on the test split, with the calibration and the threshold on its
 * card; writes predictions_test.csv and metrics.json: the scores by name, and `test_reads`.
 *
 * With folds, and none held out, every image is a test image: predicted by the member that never saw
 * its patient, and decided as learnt on the other folds.
 *
 * @param given The run's model, where it is loaded already.
 * @param outOfFold What its members predict (`predictOutOfFold`), where that is known already.
 * @returns With the `reads` of these test images, this one included.
 * @throws {ModelError} When there is no usable model.
 * @throws {DataError} When the split is missing, or is not the one that the model was trained on:
 * its test images could then be ones the model has learnt.
 * @throws {ImageError} When an image of the test split has gone or broken since.
 */
export async function testRun(
  run: Run,
  onProgress?: OnProgress,
  given?: RunModel,
  outOfFold?: readonly RowPrediction[],
) {
  const { config, name, paths } = run;
  return await withRunModel(run, given, async (loaded) => {
    const { card, split } = loaded;
    const rows = testedRows(split);
    const reader = { weightsSha256: card.weights.sha256, decision: card.decision };
    const counted = await countTestRead(paths.metrics, rows, reader);
    const other_runs = await otherTestRuns(name, counted.test_sha256);
    const reads: TestReads = { ...counted, other_runs };
    const isOutOfFold = isFold(rows[0]?.subset ?? "");
    const predicted = isOutOfFold
      ? outOfFold ?? await predictOutOfFold(loaded, config, onProgress)
      : await predictSubset(loaded, "test", config, onProgress);
    const { classes } = card.architecture;
    const decisions = isOutOfFold ? crossFitDecisions(predicted, classes, config) : null;
    const predictions = testPredictions(predicted, card, decisions, config);
    const scores = withReferences(computeScores(predictions), config.metrics.references);
    await writePredictions(paths.predictionsTest, predictions);
    await writeJson(paths.metrics, { ...scores, test_reads: reads });
    return { predictions, scores, reads, card };
  });
}

function testPredictions(
  predicted: readonly RowPrediction[],
  { architecture: { classes }, decision }: ModelCard,
  decisions: ReadonlyMap<string, Decision> | null,
  { run, seed }: Config,
): Predictions {
  const rows = predicted.map(({ path, label, group, probabilities, fold = "" }) => {
    const { calibration, threshold } = decisions?.get(fold) ?? decision;
    const calibrated = calibrate(probabilities, calibration);
    return {
      path,
      label,
      group,
      predicted: classes[decide(calibrated, threshold)]!,
      probability: calibrated.at(-1)!,
      uncalibrated: probabilities.at(-1)!,
      ...fold !== "" && { fold },
    };
  });
  const source = decisions ? "out of fold" : "test";
  return predictionsOf(rows, { run, source, classes, seed, threshold: decision.threshold });
}

/** Puts each published value beside the score that it is one of. */
function withReferences(scores: Scores, references: MetricsConfig["references"]): Scores {
  const result = { ...scores };
  for (const { score, ...reference } of references) {
    const others = result[score].references ?? [];
    result[score] = { ...result[score], references: [...others, reference] };
  }
  return result;
}

/**
 * Writes the model card for people, model/RUN/model_card.md, with the test scores.
 *
 * @param test Of notebook 06, by the model of `card`.
 */
export async function writeModelCard(
  { paths }: Run,
  card: ModelCard,
  { scores, reads, probe }: Pick<Metrics, "probe"> & { scores: Scores; reads: TestReads },
): Promise<void> {
  const test = { scores, reads: reads.count, probe };
  await writeAtomic(paths.modelCardText, modelCardMarkdown(card, test));
}

/** Predictions worth looking at for one reason. */
export interface ExampleGroup<T> {
  kind: "mistakes" | "uncertain" | "typical";
  /** Class folder name of typical ones; else `null`. */
  label: string | null;
  examples: T[];
  /** How many there were to choose from. */
  of: number;
}

/** Predictions with what of them is needed to choose some. */
export type ExamplePredictions<T> = Pick<Predictions, "classes" | "threshold"> & {
  rows: readonly T[];
};

/**
 * The predictions to look at first: the most confident mistakes, the least certain of the others,
 * and of each class those right ones that are as certain as half of its right ones. Each prediction
 * is in one group at most, and equally good ones are taken in the order of their paths.
 *
 * @param most Predictions a group.
 */
export function chooseExamples<T extends PredictionRow>(
  { rows, classes, threshold }: ExamplePredictions<T>,
  most: number,
): ExampleGroup<T>[] {
  const certainty = new Map(rows.map((row) => [row, certaintyOf(row, threshold)]));
  const nearest = (some: readonly T[], target: number): T[] =>
    some.toSorted((a, b) =>
      Math.abs(certainty.get(a)! - target) - Math.abs(certainty.get(b)! - target) ||
      compareCodePoints(a.path, b.path)
    ).slice(0, most);
  const wrong = rows.filter((row) => row.predicted !== row.label);
  const mistakes = nearest(wrong, 1);
  const others = rows.filter((row) => !mistakes.includes(row));
  const uncertain = nearest(others, 0);
  const typical = classes.map((label): ExampleGroup<T> => {
    const right = rows.filter((row) => row.label === label && row.predicted === label);
    const usual = right.length === 0 ? 0 : median(right.map((row) => certainty.get(row)!));
    const examples = nearest(right.filter((row) => !uncertain.includes(row)), usual);
    return { kind: "typical", label, examples, of: right.length };
  });
  return [
    { kind: "mistakes", label: null, examples: mistakes, of: wrong.length },
    { kind: "uncertain", label: null, examples: uncertain, of: others.length },
    ...typical,
  ];
}

/**
 * How certain a prediction is: how far its probability is from the threshold, as a share of how far
 * it could be on its side, so that both sides compare where the threshold is not 0.5.
 *
 * @param threshold `null`, with three classes or more: 0.5.
 * @returns 0 at the threshold, 1 at a probability of 0 or 1.
 */
export function certaintyOf(
  { probability }: Pick<PredictionRow, "probability">,
  threshold: number | null,
): number {
  const from = threshold ?? 0.5;
  const room = probability >= from ? 1 - from : from;
  return room === 0 ? 0 : Math.abs(probability - from) / room;
}
