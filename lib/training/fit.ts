import { join } from "node:path";
import { ProjectError, reasonOf, TrainingError } from "../core/errors.ts";
import { breathe, type OnProgress, type StopRequested } from "../core/long_work.ts";
import { createRandom } from "../core/random.ts";
import type { Config } from "../core/settings.ts";
import { tf } from "../core/tensorflow.ts";
import { type DecodeOptions, epochDraws } from "../images/decode.ts";
import type { Model } from "../model/model.ts";
import type { HistoryRow, TrainingEvent } from "../run/history.ts";
import type { LabelledFile } from "../run/split_file.ts";
import { resetAdam } from "./adam.ts";
import {
  addBatch,
  endEpoch,
  noScores,
  type PartialEpoch,
  scoresOf,
  startState,
  type TrainingState,
  watchDivergence,
} from "./callbacks.ts";
import {
  readCheckpoint,
  removeCheckpoints,
  requireNoOther,
  writeCheckpoint,
} from "./checkpoint.ts";
import { everyImage, hashFrozenPart, openSources, type Sources } from "./features.ts";
import {
  cutModel,
  momentsOf,
  restore,
  snapshot,
  type Tensors,
  type Trainable,
  trainStep,
  validateBatch,
  withWeights,
} from "./trainable.ts";

/** What a training is made of. */
export interface TrainingJob {
  /** The model to start from; its weights are not changed. */
  model: Model;
  train: readonly LabelledFile[];
  validation: readonly LabelledFile[];
  decode: DecodeOptions;
  config: Config;
  /** Folder of checkpoints. */
  checkpoints: string;
  /** Folder in which the frozen layers' outputs of all runs are cached. */
  features: string;
  /** Text that is equal only for trainings that may continue each other's checkpoints. */
  fingerprint: string;
  /** Called with the whole model whenever an epoch is the best yet; the model is only lent. */
  onBest: (model: Model, row: HistoryRow) => Promise<void>;
  /** Called after every epoch with all rows and events so far. */
  onEpoch?: (history: HistoryRow[], events: TrainingEvent[]) => Promise<void> | void;
  onProgress?: OnProgress;
  stopRequested?: StopRequested;
}

/** What a training leaves. */
export interface TrainingResult {
  /** Weights of the trainable part: of EarlyStopping's best epoch with `restoreBest`, else the last. */
  trained: Tensors;
  history: HistoryRow[];
  events: TrainingEvent[];
  /** 1-based epoch that ModelCheckpoint kept: the last one given to `onBest`; 0: none yet. */
  bestEpoch: number;
  /** Epochs that an earlier, interrupted call had done. */
  resumedFrom: number;
  /** Stopped by the person before its end; the next call goes on from there. */
  interrupted: boolean;
  /** Why some outputs of the frozen layers could not be cached, in words; `null`: all were. */
  cacheProblem: string | null;
}

/**
 * Trains the layers behind the freeze boundary and keeps the best epoch.
 *
 * The frozen part runs in inference mode, once an image or view as far as its outputs are cached
 * (`openSources`). Each epoch sees the training images in a new seeded order, the last partial batch
 * included; its checkpoint is written while the next goes on, and in long epochs every
 * `training.checkpoint.minutes`. An interrupted training continues from the latest checkpoint, with
 * the history that it would have had; one that had ended has nothing left to do.
 *
 * @returns The caller frees `trained`.
 * @throws {ImageError} Naming an image that cannot be read any more.
 * @throws {TrainingError} When the loss is no longer a number, or has exploded; when a checkpoint
 *   cannot be written (the one before it stays); when an interrupted training of other settings would
 *   be lost (`training.startAnew`).
 */
export async function fit(job: TrainingJob): Promise<TrainingResult> {
  const { model, config, checkpoints, fingerprint, stopRequested = () => false } = job;
  const { epochs, startAnew, warmupEpochs, learningRate, earlyStopping } = config.training;
  const { cut, extractor, part, dispose } = cutModel(model, config);
  let sources: Sources | null = null;
  let best: Tensors | null = null; // weights of EarlyStopping's best epoch
  let saving = Promise.resolve();
  try {
    let state = startState(learningRate);
    const saved = await readCheckpoint(checkpoints, fingerprint);
    if (saved) {
      ({ state, bestTensors: best } = saved);
      restore(part, saved.tensors, state.adamStep);
      tf.dispose([...saved.tensors.values()]);
    } else {
      if (!startAnew) await requireNoOther(checkpoints, fingerprint);
      await removeCheckpoints(checkpoints);
    }
    const resumedFrom = state.epoch;

    const isOver = () => state.stopped || state.epoch >= epochs;
    /** Saves the training as it is now, while it goes on: steps put other tensors in these' place. */
    const save = async () => {
      await saving; // one at a time; throws what the one before it threw
      state = { ...state, adamStep: part.adam.step, over: isOver() };
      const kept = best && snapshot({ weights: best });
      saving = writeState(job, state, snapshot(part), momentsOf(part), kept);
      saving.catch(() => {}); // thrown where it is awaited
    };

    if (!isOver()) {
      const folder = join(job.features, await hashFrozenPart(model, cut, job.decode));
      sources = await openSources(job, extractor, folder);
    }
    let interrupted = false;
    while (sources && !isOver() && !interrupted) {
      const row = await runEpoch(job, part, sources, state, async (partial) => {
        state = { ...state, partial };
        await save();
      });
      if (row) {
        state = endEpoch(state, row, config.training);
        if (state.epoch === warmupEpochs) resetAdam(part.adam); // a new phase begins
        if (state.stopping.bestEpoch === state.epoch && earlyStopping.restoreBest) {
          tf.dispose([...best?.values() ?? []]);
          best = snapshot(part);
        }
        await save();
        await job.onEpoch?.(state.history, state.events);
      }
      interrupted = !row || (!isOver() && stopRequested());
    }
    await saving;

    if (sources && state.stopped) {
      const done = state.epoch * (job.train.length + job.validation.length);
      const place = `stopped early after epoch ${state.epoch} of at most ${epochs}`;
      job.onProgress?.(done, done, undefined, { place, unit: "images" });
    }
    const { history, events } = state;
    const bestEpoch = state.best.epoch ?? state.epoch;
    const cacheProblem = sources?.cache.problem() ?? null;
    const trained = best ?? snapshot(part);
    best = null; // now the caller's
    return { trained, history, events, bestEpoch, resumedFrom, interrupted, cacheProblem };
  } finally {
    await saving.catch(() => {}); // another error is on its way
    await sources?.cache.close();
    tf.dispose([...best?.values() ?? []]);
    dispose();
  }
}

/**
 * Trains on this epoch's draw of training images, then scores the validation images; an epoch that
 * was interrupted goes on behind its last saved batch. Warm-up epochs train the head alone (Keras
 * guide "Transfer learning & fine-tuning": first the new layers; then, at a lower rate, the unfrozen
 * ones with them).
 *
 * @returns `null` when the person has stopped it; where it is has then been saved.
 */
async function runEpoch(
  job: TrainingJob,
  part: Trainable,
  sources: Sources,
  state: TrainingState,
  save: (partial: PartialEpoch) => Promise<void>,
): Promise<HistoryRow | null> {
  const { config: { seed, data, training }, stopRequested = () => false } = job;
  const { batchSize, sampling, warmupEpochs, warmupLearningRate, backboneRate } = training;
  const epoch = state.epoch + 1;
  const headOnly = epoch <= warmupEpochs;
  const learningRate = headOnly ? warmupLearningRate : state.plateau.learningRate;
  const classWeights = weightsOfClasses(job);
  const watch = watchDivergence({ classes: data.classes.length, epoch, learningRate });

  const start = structuredClone(state.partial) ?? { steps: 0, scores: noScores(), seconds: 0 };
  const { scores, seconds: before } = start;
  let { steps } = start;
  const validation = noScores();
  const started = performance.now();
  const seconds = () => before + (performance.now() - started) / 1000;
  const saveHere = () => save({ steps, scores: structuredClone(scores), seconds: seconds() });

  const images = job.train.length + job.validation.length;
  const batchesOf = (count: number) => Math.ceil(count / batchSize);
  const report = (what: string) => {
    const done = (epoch - 1) * images + scores.labels.length + validation.labels.length;
    const place = `epoch ${epoch} of at most ${training.epochs}, ${what}`;
    const loss = scores.loss / scores.labels.length;
    const note = Number.isNaN(loss) ? undefined : `loss ${loss.toFixed(4)}`;
    job.onProgress?.(done, training.epochs * images, note, { place, unit: "images" });
  };
  report("starting"); // speed is measured from here, also when continued

  const draws = epochDraws(job.train.map(({ label }) => label), { seed, epoch, sampling });
  let lastSave = performance.now();
  for await (const batch of sources.train(draws.slice(steps * batchSize), batchSize)) {
    const { features, labels } = batch; // features: [batch, ...] by boundary layer
    steps += 1;
    const random = createRandom(`${seed}/dropout/${epoch}/${steps}`); // needs no step before it
    const options = { learningRate, classWeights, random, headOnly, backboneRate };
    const result = await trainStep(part, batch, options);
    tf.dispose([...features.values()]);
    addBatch(scores, result, labels);
    const weight = labels.reduce((sum, label) => sum + classWeights[label]!, 0);
    watch.step(result.loss, { images: labels.length, weight });
    report(`batch ${steps} of ${batchesOf(job.train.length)}`);
    await breathe();
    const stop = stopRequested();
    if (stop || performance.now() - lastSave > 60_000 * training.checkpoint.minutes) {
      await saveHere();
      lastSave = performance.now();
    }
    if (stop) return null;
  }
  watch.endOfSteps();

  for await (const batch of sources.validation(everyImage(job.validation.length), batchSize)) {
    const result = await validateBatch(part, batch);
    tf.dispose([...batch.features.values()]);
    watch.validation(result.loss);
    addBatch(validation, result, batch.labels);
    const batches = `${batchesOf(validation.labels.length)} of ${batchesOf(job.validation.length)}`;
    report(`validation batch ${batches}`);
    await breathe();
    if (stopRequested()) {
      await saveHere();
      return null;
    }
  }
  const { loss: val_loss, accuracy: val_accuracy, auc: val_auc } = scoresOf(validation);
  const validated = { val_loss, val_accuracy, val_auc };
  const row = { epoch, ...scoresOf(scores), ...validated, learning_rate: learningRate };
  return { ...row, seconds: seconds() };
}

/** Weight of each class's images: n / (classes · n of the class), as scikit-learn's "balanced". */
export function weightsOfClasses(
  { config, train }: Pick<TrainingJob, "config" | "train">,
): number[] {
  const { classes } = config.data;
  const count = (label: number) => train.filter((image) => image.label === label).length;
  const isEven = config.training.classWeights === "none";
  return classes.map((_, label) => isEven ? 1 : train.length / (classes.length * count(label)));
}

/**
 * Writes the model, if its best epoch has just ended, then the checkpoint, and frees the tensors. What
 * a file that cannot be written would have replaced is still there.
 */
async function writeState(
  { model, checkpoints, fingerprint, onBest }: TrainingJob,
  state: TrainingState,
  weights: Tensors,
  moments: Tensors,
  best: Tensors | null,
): Promise<void> {
  const { epoch, partial, history } = state;
  let what = "The model";
  try {
    if (state.best.epoch === epoch && partial === null) {
      await onBest(withWeights(model, weights), history.at(-1)!);
    }
    what = "The checkpoint";
    const tensors = new Map([...weights, ...moments]);
    await writeCheckpoint(checkpoints, fingerprint, state, tensors, best);
  } catch (cause) {
    if (cause instanceof ProjectError) throw cause;
    throw new TrainingError(
      `${what} could not be written: ${reasonOf(cause)}.`,
      "Free some disk space, then run this again. It goes on from the last checkpoint, after " +
        `epoch ${Math.max(0, epoch - 1)}.`,
      { cause },
    );
  } finally {
    tf.dispose([...weights.values(), ...moments.values(), ...best?.values() ?? []]);
  }
}
