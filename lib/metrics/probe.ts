import { join } from "node:path";
import { DataError, ModelError, reasonOf } from "../core/errors.ts";
import { sha256Of } from "../core/files.ts";
import { breathe, type OnProgress } from "../core/long_work.ts";
import { FEATURES_FOLDER } from "../core/paths.ts";
import { createRandom } from "../core/random.ts";
import { type Config, DEFAULT_HEAD } from "../core/settings.ts";
import { rankByProbability, rocAuc } from "../core/stats.ts";
import { type FeatureRecord, openFeatureCache } from "../model/feature_cache.ts";
import { disposeModel, featureCount } from "../model/model.ts";
import { createPredictor, decodeOptions, predictImages } from "../model/predict.ts";
import type { RunModel } from "../model/saved.ts";
import { startingModel } from "../model/start.ts";
import { probabilityOf } from "../run/decision.ts";
import { type ProbeScores, writeProbe } from "../run/metrics_file.ts";
import type { ModelCard } from "../run/model_card.ts";
import type { Predictions } from "../run/predictions.ts";
import type { Run } from "../run/run.ts";
import { learntRows, splitContents, type SplitRow } from "../run/split_file.ts";
import { bootstrap, sharedGroups } from "./intervals.ts";
import { fitProbe, probeLogOdds } from "./logistic.ts";
import { weightedScores } from "./scores.ts";

/** What a probe is fitted to, as the model was, and what it then predicts. */
export type ProbePart = Record<"train" | "test", readonly SplitRow[]>;

/** Images to learn from, and to predict, of all parts: bounds the minutes and the memory. */
const MOST = 3000;

/**
 * Sets the model's test predictions beside those of a linear probe ({@linkcode probeRun}), and puts
 * the comparison into metrics.json. Where there can be no probe, it says why.
 *
 * @param parts One a model of which `predictions` are: the split itself, or each fold.
 * @throws {ImageError} When an image has gone or broken since.
 */
export async function testProbe(
  run: Run,
  loaded: Pick<RunModel, "card" | "split">,
  parts: readonly ProbePart[],
  predictions: Predictions,
  onProgress?: OnProgress,
): Promise<ProbeScores> {
  let scores: ProbeScores;
  try {
    scores = compareWithProbe(predictions, await probeRun(run, loaded, parts, onProgress));
  } catch (error) {
    if (!(error instanceof ModelError || error instanceof DataError)) throw error;
    scores = { reason: reasonOf(error) };
  }
  await writeProbe(run.paths.metrics, scores);
  return scores;
}

/** What {@linkcode probeRun} finds: the log odds of the positive class by path, and each fit's l2. */
export type ProbePredictions = { l2: number[]; logOdds: Map<string, number> };

/**
 * Fits a linear probe for each part and predicts the images that the part tests: a logistic
 * regression on the features of the backbone that training started from, of the images as they are.
 * Of more than 3000 images to learn from, or to predict, so many are drawn by the seed. An image that
 * several parts test gets the mean of their log odds.
 *
 * @throws {ModelError} When the weights that training started from cannot be obtained any more.
 * @throws {DataError} When the images to learn from are all on one side.
 * @throws {ImageError} When an image has gone or broken since.
 */
export async function probeRun(
  run: Run,
  { card, split }: Pick<RunModel, "card" | "split">,
  parts: readonly ProbePart[],
  onProgress?: OnProgress,
): Promise<ProbePredictions> {
  const { seed } = run.config;
  const draw = (rows: readonly SplitRow[]) =>
    createRandom(`${seed}/probe`).shuffle(distinct(rows)).slice(0, MOST);
  const learnt = draw(parts.flatMap(({ train }) => train));
  const tested = draw(parts.flatMap(({ test }) => test));
  const rows = distinct([...learnt, ...tested]);
  const features = await startFeatures(run, card, { rows, learnt: learntRows(split) }, onProgress);
  const positive = card.architecture.classes.at(-1)!;
  const found = new Map<string, number[]>();
  const l2: number[] = [];
  for (const part of parts) {
    await breathe();
    const paths = (rows: readonly SplitRow[]) => new Set(rows.map(({ path }) => path));
    const [train, test] = [paths(part.train), paths(part.test)];
    const own = learnt.filter(({ path }) => train.has(path));
    const probe = fitProbe(
      own.map(({ path }) => features.get(path)!),
      own.map(({ label }) => label === positive ? 1 : 0),
      own.map(({ group }) => group),
      seed,
    );
    l2.push(probe.l2);
    for (const row of tested) {
      if (!test.has(row.path)) continue;
      const logOdds = probeLogOdds(probe, features.get(row.path)!);
      found.set(row.path, [...found.get(row.path) ?? [], logOdds]);
    }
  }
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  return { l2, logOdds: new Map([...found].map(([path, values]) => [path, mean(values)])) };
}

/** Each image once: folds that are dealt again have it in rows of their own. */
const distinct = (
  rows: readonly SplitRow[],
): SplitRow[] => [...new Map(rows.map((row) => [row.path, row])).values()];

/** What probe features are kept by, beside the weights: a change here computes them anew. */
const FORMAT = 1;

/**
 * Features of images by the backbone as training started from it. They pass through 16 bits and are
 * kept on disk, so that the next test of this or another run has them at once; those of a random
 * start are not.
 *
 * @param images `learnt`: those that a random start takes its BatchNorm statistics from.
 */
async function startFeatures(
  { config }: Run,
  card: ModelCard,
  { rows, learnt }: Record<"rows" | "learnt", readonly SplitRow[]>,
  onProgress?: OnProgress,
): Promise<Map<string, Float32Array>> {
  const { backbone, imageSize } = card.architecture;
  const features = new Map<string, Float32Array>(); // by path
  const keep = ({ path }: SplitRow, record: FeatureRecord) =>
    features.set(path, Float32Array.from(record));
  const { sha256 } = card.startingWeights;
  const depends = [FORMAT, sha256, backbone, imageSize, card.preprocessing];
  const cache = sha256 === null ? null : await openFeatureCache({
    folder: join(
      FEATURES_FOLDER,
      await sha256Of(new TextEncoder().encode(JSON.stringify(depends))),
    ),
    values: featureCount(card.architecture),
    memoryBytes: 0,
    diskBytes: config.training.cacheGigabytes * 1e9,
  });
  try {
    for (const row of rows) {
      const record = await cache?.read(row.sha256);
      if (record) keep(row, record);
    }
    const missing = rows.filter(({ path }) => !features.has(path));
    if (missing.length === 0) return features;
    for await (const [i, values] of computeFeatures(config, card, { rows: missing, learnt })) {
      const record = new Float16Array(values);
      keep(missing[i]!, record);
      await cache?.add(new Map([[missing[i]!.sha256, record]]));
      onProgress?.(i + 1, missing.length, "linear probe");
    }
    return features;
  } finally {
    await cache?.close();
  }
}

/** Runs the backbone as training started from it; yields the place of an image and its features. */
async function* computeFeatures(
  config: Config,
  card: ModelCard,
  { rows, learnt }: Record<"rows" | "learnt", readonly SplitRow[]>,
): AsyncGenerator<[number, Float32Array]> {
  const { kind, sha256, note } = card.startingWeights;
  const { classes, head = DEFAULT_HEAD, ensemble: _, ...network } = card.architecture;
  const weights = kind === "imagenet" || kind === "random" ? kind : config.model.weights;
  const asTrained = {
    seed: card.training.seed,
    data: { ...config.data, classes },
    model: { ...config.model, ...network, head, weights },
  };
  const decode = decodeOptions(card);
  const paths = [...splitContents(learnt, config).keys()];
  const start = await startingModel(asTrained, paths, { fallBack: false, decode });
  const { model, startingWeights } = start;
  const predictor = createPredictor(model, card.preprocessing, { consume: true });
  try {
    if (startingWeights.sha256 !== sha256) {
      throw new ModelError(`Training started from other weights: ${note}.`, "Train again.");
    }
    const contents = splitContents(rows, config);
    const reading = { ...decode, batchSize: config.training.batchSize, contents };
    let place = 0;
    for await (const image of predictImages(predictor, contents.keys(), reading)) {
      if ("error" in image) throw image.error;
      yield [place++, image.features];
    }
  } finally {
    predictor.dispose();
    disposeModel(model);
  }
}

/**
 * How much better a model's predictions are than a probe's for the same images, with paired 95 %
 * bootstrap intervals: each resample, of whole groups where images share them, scores both. The
 * probe's threshold is 0.5.
 *
 * @param probe Of some of the images, at least; the others are left out.
 */
export function compareWithProbe(
  { rows, ...all }: Pick<
    Predictions,
    "rows" | "labels" | "predicted" | "probabilities" | "groups" | "seed"
  >,
  { l2, logOdds }: ProbePredictions,
): ProbeScores {
  const tested = [...rows.keys()].filter((i) => logOdds.has(rows[i]!.path));
  if (tested.length === 0) return { reason: "it has predicted no image." };
  const own = <T>(values: readonly T[]) => tested.map((i) => values[i]!);
  const labels = own(all.labels);
  const model = { predicted: own(all.predicted), probabilities: own(all.probabilities) };
  const probabilities = own(rows).map(({ path }) => probabilityOf(logOdds.get(path)!));
  const probe = { predicted: probabilities.map((p) => p >= 0.5 ? 1 : 0), probabilities };
  const lead = labels.map((label, i) =>
    Number(model.predicted[i] === label) - Number(probe.predicted[i] === label)
  );
  const rankings = [model, probe].map(({ probabilities }) => rankByProbability(probabilities));
  const gain = (weights: Uint32Array) => {
    const [ours, its] = [model, probe].map(({ probabilities }, side) =>
      rocAuc(labels, probabilities, { ranking: rankings[side]!, weights })
    ) as [number | null, number | null];
    const sum = lead.reduce((total, value, i) => total + weights[i]! * value, 0);
    return {
      roc_auc: ours === null || its === null ? null : ours - its,
      accuracy: sum / weights.reduce((total, weight) => total + weight, 0),
    };
  };
  const [n, groups] = [labels.length, sharedGroups(own(all.groups))];
  const once = new Uint32Array(n).fill(1);
  const values = gain(once);
  const intervals = bootstrap(gain, { n, groups, seed: all.seed });
  return {
    l2,
    images: n,
    scores: weightedScores({ labels, ...probe })(once),
    gains: {
      roc_auc: { value: values.roc_auc, ...intervals.roc_auc },
      accuracy: { value: values.accuracy, ...intervals.accuracy },
    },
  };
}
