import { join } from "node:path";
import { breathe } from "../breathe.ts";
import type { Config } from "../config_schema.ts";
import { epochDraws } from "../images/epoch_draws.ts";
import { subsetItems } from "../images/subset_items.ts";
import { cutGraph } from "../model/cut.ts";
import { disposeModel } from "../model/model.ts";
import { frozenLayerCount } from "../model/stages.ts";
import { startRun } from "../model/start_run.ts";
import { FEATURES_FOLDER, fromRoot } from "../paths.ts";
import type { OnProgress } from "../progress.ts";
import { createRandom } from "../random.ts";
import { tf } from "../setup/tensorflow.ts";
import { stoppable, throwIfStopped } from "../stop.ts";
import { createFeatureExtractor, hashFrozenPart } from "./feature_extractor.ts";
import type { FeatureBatch, FeatureSource } from "./features.ts";
import { openSources, type Sources } from "./open_sources.ts";
import { weightsOfClasses } from "./run_epoch.ts";
import {
  averageLosses,
  type RangePoint,
  type Suggestion,
  suggestLearningRate,
} from "./suggest_learning_rate.ts";
import { createTrainable, disposeTrainable, type Trainable, trainStep } from "./trainable.ts";

/** Learning rates that are tried, from the first to the last in equal factors. */
const [LOWEST, HIGHEST] = [1e-7, 10];

/** Steps of training, as in fastai's `lr_find`. */
export const RANGE_TEST_STEPS = 100;

/** The test ends where the averaged loss is this many times its least so far, as in fastai. */
const DIVERGED = 4;

/** What a range test found. */
export interface RangeTest {
  /** Steps in order; fewer than 100 where the loss diverged. */
  points: RangePoint[];
  suggestion: Suggestion;
  /** Of the steps, without the frozen part. */
  seconds: number;
}

/**
 * The learning rate range test (Smith, WACV 2017; fastai's `lr_find`): trains a copy of the run's
 * model for 100 steps, with a learning rate that grows in equal factors from 1e-7 to 10, and watches
 * where the loss falls and where it goes wild. Batches, class weights, augmentation and dropout are
 * those of a training, all seeded; Adam's own warm-up is part of it. The copy is thrown away: no
 * file of the run is touched.
 *
 * It costs 100 steps of training and, where they are not yet cached, the frozen layers' outputs of
 * the training images.
 *
 * @throws {DataError} When notebook 03 has not been run.
 * @throws {ModelError} When the starting weights are not to be had.
 * @throws {ImageError} When an image of the split has gone or broken since.
 * @throws {StoppedError} When the person asks to stop.
 * @example
 * ```ts
 * const { suggestion } = await findLearningRate(config, showProgress("Learning rates"));
 * ```
 */
export async function findLearningRate(
  config: Config,
  onProgress?: OnProgress,
): Promise<RangeTest> {
  const { split, model, decode } = await startRun(config, onProgress);
  try {
    const folder = fromRoot(config.data.folder);
    const train = subsetItems(split, "train", folder, config.data.classes);
    const frozenLayers = frozenLayerCount(model.architecture.backbone, config.model.unfreezeLast);
    const cut = cutGraph(model.graph, frozenLayers);
    const extractor = createFeatureExtractor(model, cut);
    const part = createTrainable(model, cut, extractor.shapes, config.training.batchNorm);
    let sources: Sources | null = null;
    try {
      const job = { config, decode, train, validation: [] };
      const folder = join(FEATURES_FOLDER, await hashFrozenPart(model, cut, decode));
      sources = await openSources(job, extractor, folder);
      const labels = train.map(({ label }) => label);
      return await runTest(part, endlessBatches(sources.train, labels, config), {
        config,
        classWeights: weightsOfClasses(job),
        onProgress,
      });
    } finally {
      await sources?.close();
      disposeTrainable(part);
      extractor.dispose();
    }
  } finally {
    disposeModel(model);
  }
}

/** The learning rate of a step, from 0. */
function rateOf(step: number): number {
  return LOWEST * (HIGHEST / LOWEST) ** (step / (RANGE_TEST_STEPS - 1));
}

/** One epoch's batches after another's. */
async function* endlessBatches(
  source: FeatureSource,
  labels: readonly number[],
  { seed, training: { sampling, batchSize } }: Config,
): AsyncGenerator<FeatureBatch> {
  for (let epoch = 1;; epoch++) {
    yield* source.read(epochDraws(labels, { seed, epoch, sampling }), batchSize);
  }
}

async function runTest(
  part: Trainable,
  batches: AsyncGenerator<FeatureBatch>,
  { config, classWeights, onProgress }: {
    config: Config;
    classWeights: readonly number[];
    onProgress: OnProgress | undefined;
  },
): Promise<RangeTest> {
  const started = performance.now();
  const random = createRandom(`${config.seed}/range test`);
  const average = averageLosses();
  const points: RangePoint[] = [];
  let least = Infinity;
  await stoppable(async (stopRequested) => {
    onProgress?.(0, RANGE_TEST_STEPS);
    for await (const batch of batches) {
      const learningRate = rateOf(points.length);
      const { loss } = await trainStep(part, batch, { learningRate, classWeights, random });
      tf.dispose([...batch.features.values()]);
      if (!Number.isFinite(loss)) break;
      const smoothed = average(loss);
      points.push({ learningRate, loss, smoothed });
      least = Math.min(least, smoothed);
      onProgress?.(
        points.length,
        RANGE_TEST_STEPS,
        `learning rate ${learningRate.toExponential(1)}`,
      );
      if (smoothed > DIVERGED * least || points.length === RANGE_TEST_STEPS) break;
      throwIfStopped(stopRequested);
      await breathe();
    }
  });
  onProgress?.(points.length, points.length);
  const seconds = (performance.now() - started) / 1000;
  return { points, suggestion: suggestLearningRate(points), seconds };
}
