import { TrainingError } from "../errors.ts";
import { epochOrder } from "../images/batches.ts";
import { createRandom } from "../random.ts";
import { tf } from "../setup/tensorflow.ts";
import type { TrainingState } from "./checkpoint.ts";
import { epochScores } from "./epoch_scores.ts";
import type { FeatureSource } from "./features.ts";
import type { TrainingJob } from "./fit.ts";
import type { HistoryRow } from "./history.ts";
import { type Trainable, trainStep, validateBatch } from "./trainable.ts";

/** The features of both subsets. */
export interface Sources {
  train: FeatureSource;
  validation: FeatureSource;
}

/**
 * Trains on every training image once, in this epoch's order, then scores the validation images.
 * Warm-up epochs train the head alone (Keras guide "Transfer learning & fine-tuning": first the new
 * layers; then, at a lower rate, the unfrozen ones with them).
 *
 * @throws {TrainingError} When the loss is no longer a number.
 */
export async function runEpoch(
  job: TrainingJob,
  part: Trainable,
  sources: Sources,
  state: TrainingState,
): Promise<HistoryRow> {
  const { config, onProgress } = job;
  const { batchSize } = config.training;
  const epoch = state.epoch + 1;
  const started = performance.now();
  const total = sources.train.count + sources.validation.count;
  const random = createRandom(`${config.seed}/dropout/${epoch}`);
  const classWeights = weightsOfClasses(job);
  const headOnly = epoch <= config.training.warmupEpochs;
  const learningRate = headOnly ? config.training.warmupLearningRate : state.plateau.learningRate;
  const report = (done: number, loss: number) =>
    onProgress?.(
      (epoch - 1) * total + done,
      config.training.epochs * total,
      `epoch ${epoch} of ${config.training.epochs}, loss ${loss.toFixed(4)}`,
    );

  const seen = epochScores(config.data.classes.length);
  const order = epochOrder(sources.train.count, config.seed, epoch);
  for await (const batch of sources.train.read(order, batchSize)) {
    const result = await trainStep(part, batch, {
      learningRate,
      classWeights,
      random,
      headOnly,
    });
    tf.dispose([...batch.features.values()]);
    if (!Number.isFinite(result.loss)) throw divergence(epoch, learningRate);
    seen.add(result, batch.labels);
    report(seen.count(), seen.meanLoss());
    await breathe();
  }
  const held = epochScores(config.data.classes.length);
  const inOrder = Array.from({ length: sources.validation.count }, (_, index) => index);
  for await (const batch of sources.validation.read(inOrder, batchSize)) {
    const result = await validateBatch(part, batch);
    tf.dispose([...batch.features.values()]);
    if (!Number.isFinite(result.loss)) throw divergence(epoch, learningRate);
    held.add(result, batch.labels);
    report(seen.count() + held.count(), seen.meanLoss());
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
function weightsOfClasses({ config, train }: TrainingJob): number[] {
  const { classes } = config.data;
  if (config.training.classWeights === "none") return classes.map(() => 1);
  return classes.map((_, label) =>
    train.length / (classes.length * train.filter((image) => image.label === label).length)
  );
}

function divergence(epoch: number, learningRate: number): TrainingError {
  return new TrainingError(
    `The loss stopped being a number in epoch ${epoch}: training has diverged.`,
    `Lower training.learningRate (it was ${
      learningRate.toExponential(0)
    }), and look at the images ` +
      `in notebook 02 for broken ones.`,
  );
}

/** Lets progress and messages through between two steps, which block the thread. */
function breathe(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
