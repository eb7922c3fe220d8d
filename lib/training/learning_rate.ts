import { join } from "node:path";
import { breathe, type OnProgress, stoppable, throwIfStopped } from "../core/long_work.ts";
import { FEATURES_FOLDER } from "../core/paths.ts";
import { createRandom } from "../core/random.ts";
import type { Config } from "../core/settings.ts";
import { tf } from "../core/tensorflow.ts";
import { epochDraws } from "../images/decode.ts";
import { disposeModel } from "../model/model.ts";
import { startRun } from "../model/start.ts";
import type { Run } from "../run/run.ts";
import { labelledFiles, members } from "../run/split_file.ts";
import {
  type FeatureBatch,
  type FeatureSource,
  hashFrozenPart,
  openSources,
  type Sources,
} from "./features.ts";
import { type TrainingJob, weightsOfClasses } from "./fit.ts";
import { cutModel, type Trainable, trainStep } from "./trainable.ts";

/** Rates that are tried, in equal factors from the first to the last, as many as in fastai. */
const [LOWEST, HIGHEST, RANGE_TEST_STEPS] = [1e-7, 10, 100];

/** The test ends where the averaged loss is this many times its least so far, as in fastai. */
const DIVERGED = 4;

/** One step of a learning rate range test. */
export interface RangePoint {
  learningRate: number;
  /** Of this step's batch. */
  loss: number;
  /** Moving average of the losses so far. */
  smoothed: number;
}

/** What a range test found. */
export interface RangeTest {
  /** Steps in order; fewer than 100 where the loss diverged. */
  points: RangePoint[];
  /** `learningRate` is `null` where the curve does not tell; `reason` says why, in a sentence. */
  suggestion: { learningRate: number | null; reason: string };
  /** Of the steps, without the frozen part. */
  seconds: number;
}

/**
 * The learning rate range test (Smith, WACV 2017; fastai's `lr_find`): trains a copy of the run's
 * model for 100 steps, with a learning rate that grows in equal factors from 1e-7 to 10, and watches
 * where the loss falls and where it goes wild. Batches, class weights, augmentation and dropout are
 * those of a training, all seeded; Adam's own warm-up is part of it. The copy is thrown away: no
 * file of the run is touched. Beside 100 steps it costs the frozen layers' outputs of the training
 * images, where they are not yet cached.
 *
 * @throws {DataError} When notebook 03 has not been run.
 * @throws {ModelError} When the starting weights cannot be obtained.
 * @throws {ImageError} When an image of the split has gone or broken since.
 * @throws {StoppedError} When the person asks to stop.
 */
export async function findLearningRate(run: Run, onProgress?: OnProgress): Promise<RangeTest> {
  const { config } = run;
  const { split, model, decode } = await startRun(run, onProgress);
  try {
    const train = labelledFiles(members(split)[0]!.train, config);
    const { cut, extractor, part, dispose } = cutModel(model, config);
    let sources: Sources | null = null;
    try {
      const job = { config, decode, train, validation: [] };
      const features = join(FEATURES_FOLDER, await hashFrozenPart(model, cut, decode));
      sources = await openSources(job, extractor, features);
      const batches = endlessBatches(sources.train, train.map(({ label }) => label), config);
      const started = performance.now();
      const points = await trainThroughRates(part, batches, job, onProgress);
      const seconds = (performance.now() - started) / 1000;
      return { points, suggestion: suggestLearningRate(points), seconds };
    } finally {
      await sources?.cache.close();
      dispose();
    }
  } finally {
    disposeModel(model);
  }
}

/** One epoch's batches after another's. */
async function* endlessBatches(
  source: FeatureSource,
  labels: readonly number[],
  { seed, training: { sampling, batchSize } }: Config,
) {
  for (let epoch = 1;; epoch++) {
    yield* source(epochDraws(labels, { seed, epoch, sampling }), batchSize);
  }
}

/** A step at each rate, until the loss has diverged. */
async function trainThroughRates(
  part: Trainable,
  batches: AsyncGenerator<FeatureBatch>,
  job: Pick<TrainingJob, "config" | "train">,
  onProgress?: OnProgress,
): Promise<RangePoint[]> {
  const classWeights = weightsOfClasses(job);
  const { backboneRate } = job.config.training;
  const random = createRandom(`${job.config.seed}/range test`);
  const average = averageLosses();
  const points: RangePoint[] = [];
  let least = Infinity;
  await stoppable(async (stopRequested) => {
    onProgress?.(0, RANGE_TEST_STEPS);
    for await (const batch of batches) {
      const learningRate = LOWEST * (HIGHEST / LOWEST) ** (points.length / (RANGE_TEST_STEPS - 1));
      const options = { learningRate, classWeights, random, backboneRate };
      const { loss } = await trainStep(part, batch, options);
      tf.dispose([...batch.features.values()]);
      if (!Number.isFinite(loss)) break;
      const smoothed = average(loss);
      points.push({ learningRate, loss, smoothed });
      least = Math.min(least, smoothed);
      const note = `learning rate ${learningRate.toExponential(1)}`;
      onProgress?.(points.length, RANGE_TEST_STEPS, note);
      if (smoothed > DIVERGED * least || points.length === RANGE_TEST_STEPS) break;
      throwIfStopped(stopRequested);
      await breathe();
    }
  });
  onProgress?.(points.length, points.length);
  return points;
}

/** Weight of the past in the moving average, as in fastai. */
const BETA = 0.98;

/**
 * A bias-corrected exponential moving average (Kingma and Ba, ICLR 2015, section 3), fed one value
 * after another: of equal values it is that value, from the first on.
 */
export function averageLosses(): (loss: number) => number {
  let [sum, count] = [0, 0];
  return (loss) => {
    sum = BETA * sum + (1 - BETA) * loss;
    count += 1;
    return sum / (1 - BETA ** count);
  };
}

/** Steps at the start in which the average has not settled, so that its slope is mostly noise. */
const SETTLING = 20;

/** Slopes are those of a line through this many steps to each side; 13 steps are one decade. */
const REACH = 6;

/** Of rates whose slopes are this near the steepest, the lowest is suggested. */
const NEARLY_STEEPEST = 0.9;

/**
 * A fall is one when it is more than this many times the noise of a step. Of 4,000 curves of pure
 * noise, normal and skewed, none fell by more than 2.15; real ones by 2.9 (batches of 8) to 7.4.
 */
const LEAST_FALL = 2.2;

/**
 * The learning rate at which the averaged loss falls most steeply over the logarithm of the rate.
 * Curves are noisy: slopes are those of lines through a decade of rates, and of nearly equal ones the
 * lowest rate is taken: too low costs time, too high the training. There is no suggestion where the
 * loss does not fall by more than noise does, does not rise again, or went wild at once.
 *
 * @param points In order of the learning rate, in equal factors.
 */
export function suggestLearningRate(points: readonly RangePoint[]): RangeTest["suggestion"] {
  const none = (reason: string) => ({ learningRate: null, reason });
  if (points.length < SETTLING + REACH) {
    return none(`The loss went wild after ${points.length} steps: too few to tell anything from.`);
  }
  const [losses, smoothed] = [points.map(({ loss }) => loss), points.map((of) => of.smoothed)];
  const least = smoothed.indexOf(Math.min(...smoothed.slice(SETTLING)), SETTLING);
  const noise = noiseOf(losses.slice(0, Math.max(least, SETTLING)));
  const start = meanOf(losses.slice(0, SETTLING));
  const span = 2 * REACH;
  const decades = losses.slice(span).map((_, from) => losses.slice(from, from + span + 1));
  const floor = Math.min(...decades.map(meanOf));
  if (!(start - floor > LEAST_FALL * noise)) {
    return none("The loss falls by no more than chance would have it, at any learning rate.");
  }
  if (!(smoothed.at(-1)! - smoothed[least]! > noise)) {
    return none("The loss was still falling, or had not risen again, at the highest rate.");
  }
  const slopes = smoothed.slice(SETTLING, least + 1).map((_, i) => slopeAt(smoothed, SETTLING + i));
  const steepest = Math.min(...slopes);
  const chosen = slopes.findIndex((slope) => slope <= NEARLY_STEEPEST * steepest);
  const learningRate = Number(points[SETTLING + chosen]!.learningRate.toPrecision(1));
  const reason = `The loss falls most steeply at about ${learningRate.toExponential()}.`;
  return { learningRate, reason };
}

/** Slope, a step, of the line of least squares through the values around one of them. */
function slopeAt(values: readonly number[], centre: number): number {
  const around = values.slice(Math.max(0, centre - REACH), centre + REACH + 1);
  const [middle, mean] = [(around.length - 1) / 2, meanOf(around)];
  const product = around.reduce((sum, value, x) => sum + (x - middle) * (value - mean), 0);
  return product / around.reduce((sum, _, x) => sum + (x - middle) ** 2, 0);
}

/** Standard deviation of a step's loss around its trend, from the median of the steps' changes. */
function noiseOf(losses: readonly number[]): number {
  const changes = losses.slice(1).map((loss, index) => Math.abs(loss - losses[index]!))
    .sort((a, b) => a - b);
  const MEDIAN_OF_CHANGES = 0.954; // of normal noise with a standard deviation of 1
  return changes[changes.length >> 1]! / MEDIAN_OF_CHANGES;
}

const meanOf = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;
