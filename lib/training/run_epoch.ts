import { breathe } from "../breathe.ts";
import { epochDraws } from "../images/epoch_draws.ts";
import { createRandom } from "../random.ts";
import { tf } from "../setup/tensorflow.ts";
import type { TrainingState } from "./checkpoint.ts";
import { type EpochScores, epochScores } from "./epoch_scores.ts";
import { everyImage } from "./features.ts";
import type { TrainingJob } from "./fit.ts";
import type { HistoryRow } from "./history.ts";
import type { Sources } from "./open_sources.ts";
import { type Trainable, trainStep, validateBatch } from "./trainable.ts";
import { watchLoss } from "./watch_loss.ts";

/**
 * Trains on this epoch's draw of training images, then scores the validation images.
 * Warm-up epochs train the head alone (Keras guide "Transfer learning & fine-tuning": first the new
 * layers; then, at a lower rate, the unfrozen ones with them).
 *
 * @throws {TrainingError} When the loss is no longer a number, or has exploded.
 */
export async function runEpoch(
  job: TrainingJob,
  part: Trainable,
  sources: Sources,
  state: TrainingState,
): Promise<HistoryRow> {
  const { config } = job;
  const { batchSize } = config.training;
  const epoch = state.epoch + 1;
  const started = performance.now();
  const random = createRandom(`${config.seed}/dropout/${epoch}`);
  const classWeights = weightsOfClasses(job);
  const headOnly = epoch <= config.training.warmupEpochs;
  const learningRate = headOnly ? config.training.warmupLearningRate : state.plateau.learningRate;
  const watch = watchLoss({ classes: config.data.classes.length, epoch, learningRate });
  const report = reportEpoch(job, sources, epoch);

  const seen = epochScores(config.data.classes.length);
  const draws = epochDraws(job.train.map(({ label }) => label), {
    seed: config.seed,
    epoch,
    sampling: config.training.sampling,
  });
  for await (const batch of sources.train.read(draws, batchSize)) {
    const result = await trainStep(part, batch, {
      learningRate,
      classWeights,
      random,
      headOnly,
    });
    tf.dispose([...batch.features.values()]);
    const weight = batch.labels.reduce((sum, label) => sum + classWeights[label]!, 0);
    watch.step(result.loss, { images: batch.labels.length, weight });
    seen.add(result, batch.labels);
    report(seen);
    await breathe();
  }
  watch.endOfSteps();
  const held = epochScores(config.data.classes.length);
  const inOrder = everyImage(sources.validation.count);
  for await (const batch of sources.validation.read(inOrder, batchSize)) {
    const result = await validateBatch(part, batch);
    tf.dispose([...batch.features.values()]);
    watch.validation(result.loss);
    held.add(result, batch.labels);
    report(seen, held);
    await breathe();
  }
  const [train, validation] = [seen.summary(), held.summary()];
  return {
    epoch,
    ...train,
    val_loss: validation.loss,
    val_accuracy: validation.accuracy,
    val_auc: validation.auc,
    learning_rate: learningRate,
    seconds: (performance.now() - started) / 1000,
  };
}

/** Weight of each class's images: n / (classes · n of the class), as scikit-learn's "balanced". */
export function weightsOfClasses(
  { config, train }: Pick<TrainingJob, "config" | "train">,
): number[] {
  const { classes } = config.data;
  if (config.training.classWeights === "none") return classes.map(() => 1);
  return classes.map((_, label) =>
    train.length / (classes.length * train.filter((image) => image.label === label).length)
  );
}

/** Reports where an epoch is, at its start and after each batch. */
function reportEpoch(
  { config: { training }, onProgress }: TrainingJob,
  { train, validation }: Sources,
  epoch: number,
): (seen: EpochScores, held?: EpochScores) => void {
  const total = train.count + validation.count;
  const batchesOf = (images: number) => Math.ceil(images / training.batchSize);
  const report = (done: number, what: string, note?: string) =>
    onProgress?.((epoch - 1) * total + done, training.epochs * total, note, {
      place: `epoch ${epoch} of at most ${training.epochs}, ${what}`,
      unit: "images",
    });
  report(0, "starting"); // the speed is reckoned from here, in a continued training too
  return (seen, held) => {
    const [name, { count }, scores] = held
      ? ["validation batch", validation, held] as const
      : ["batch", train, seen] as const;
    report(
      seen.count() + (held?.count() ?? 0),
      `${name} ${batchesOf(scores.count())} of ${batchesOf(count)}`,
      `loss ${seen.meanLoss().toFixed(4)}`,
    );
  };
}
