import { breathe } from "../breathe.ts";
import { epochDraws } from "../images/epoch_draws.ts";
import { createRandom } from "../random.ts";
import { tf } from "../setup/tensorflow.ts";
import type { PartialEpoch, TrainingState } from "./checkpoint.ts";
import { type EpochScores, epochScores } from "./epoch_scores.ts";
import { everyImage } from "./features.ts";
import type { TrainingJob } from "./fit.ts";
import type { HistoryRow } from "./history.ts";
import type { Sources } from "./open_sources.ts";
import { type Trainable, trainStep, validateBatch } from "./trainable.ts";
import { watchLoss } from "./watch_loss.ts";

/** What {@linkcode runEpoch} asks and tells between two batches. */
export interface EpochControl {
  /** Whether the person has asked to stop. */
  stopRequested: () => boolean;
  /** Saves where the epoch is, so that it can go on from there. */
  save: (partial: PartialEpoch) => Promise<void>;
}

/**
 * Trains on this epoch's draw of training images, then scores the validation images; an epoch that
 * was interrupted goes on behind its last saved batch.
 *
 * Warm-up epochs train the head alone (Keras guide "Transfer learning & fine-tuning": first the new
 * layers; then, at a lower rate, the unfrozen ones with them).
 *
 * @returns `null` when the person has stopped it; where it is has then been saved.
 * @throws {TrainingError} When the loss is no longer a number, or has exploded.
 */
export async function runEpoch(
  job: TrainingJob,
  part: Trainable,
  sources: Sources,
  state: TrainingState,
  control: EpochControl,
): Promise<HistoryRow | null> {
  const { classes } = job.config.data;
  const epoch = state.epoch + 1;
  const started = performance.now() - 1000 * (state.partial?.seconds ?? 0);
  const seconds = () => (performance.now() - started) / 1000;
  const seen = epochScores(classes.length, state.partial?.scores);
  const report = reportEpoch(job, sources, epoch, seen.count());
  const learningRate = epoch <= job.config.training.warmupEpochs
    ? job.config.training.warmupLearningRate
    : state.plateau.learningRate;
  const watch = watchLoss({ classes: classes.length, epoch, learningRate });

  let steps = state.partial?.steps ?? 0;
  const save = () => control.save({ steps, seconds: seconds(), scores: seen.soFar() });
  let lastSave = performance.now();
  for await (const { result, labels, weight } of train(job, part, sources, state, learningRate)) {
    steps += 1;
    seen.add(result, labels);
    watch.step(result.loss, { images: labels.length, weight });
    report(seen);
    await breathe();
    const stop = control.stopRequested();
    if (stop || performance.now() - lastSave > 60_000 * job.config.training.checkpoint.minutes) {
      await save();
      lastSave = performance.now();
    }
    if (stop) return null;
  }
  watch.endOfSteps();
  const held = epochScores(classes.length);
  const inOrder = everyImage(sources.validation.count);
  for await (const batch of sources.validation.read(inOrder, job.config.training.batchSize)) {
    const result = await validateBatch(part, batch);
    tf.dispose([...batch.features.values()]);
    watch.validation(result.loss);
    held.add(result, batch.labels);
    report(seen, held);
    await breathe();
    if (control.stopRequested()) {
      await save();
      return null;
    }
  }
  const [train_, validation] = [seen.summary(), held.summary()];
  return {
    epoch,
    ...train_,
    val_loss: validation.loss,
    val_accuracy: validation.accuracy,
    val_auc: validation.auc,
    learning_rate: learningRate,
    seconds: seconds(),
  };
}

/** The steps of an epoch, from the first that has not been made. */
async function* train(
  job: TrainingJob,
  part: Trainable,
  sources: Sources,
  state: TrainingState,
  learningRate: number,
) {
  const { seed, training: { batchSize, sampling, warmupEpochs } } = job.config;
  const epoch = state.epoch + 1;
  const classWeights = weightsOfClasses(job);
  const draws = epochDraws(job.train.map(({ label }) => label), { seed, epoch, sampling });
  let step = state.partial?.steps ?? 0;
  for await (const batch of sources.train.read(draws.slice(step * batchSize), batchSize)) {
    const { labels } = batch;
    const result = await trainStep(part, batch, {
      learningRate,
      classWeights,
      random: createRandom(`${seed}/dropout/${epoch}/${++step}`), // known without the steps before
      headOnly: epoch <= warmupEpochs,
    });
    tf.dispose([...batch.features.values()]);
    const weight = labels.reduce((sum, label) => sum + classWeights[label]!, 0);
    yield { result, labels, weight };
  }
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

/** Reports where an epoch is, at its start (`before` images are done) and after each batch. */
function reportEpoch(
  { config: { training }, onProgress }: TrainingJob,
  { train, validation }: Sources,
  epoch: number,
  before: number,
): (seen: EpochScores, held?: EpochScores) => void {
  const total = train.count + validation.count;
  const batchesOf = (images: number) => Math.ceil(images / training.batchSize);
  const report = (done: number, what: string, note?: string) =>
    onProgress?.((epoch - 1) * total + done, training.epochs * total, note, {
      place: `epoch ${epoch} of at most ${training.epochs}, ${what}`,
      unit: "images",
    });
  report(before, "starting"); // the speed is reckoned from here, in a continued training too
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
