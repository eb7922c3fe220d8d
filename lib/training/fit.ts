import { join } from "node:path";
import { createRandom } from "../core/random.ts";
import type { Config, Monitor } from "../core/settings.ts";
import { breathe } from "../core/stop.ts";
import { type TensorFlow, tf } from "../core/tensorflow.ts";
import { augment } from "../images/augment.ts";
import { createPixelCache, type Draw, epochDraws } from "../images/decode.ts";
import { isAugmented, viewRandom } from "../images/views.ts";
import { cutGraph } from "../model/graph.ts";
import { frozenLayerCount, type Model } from "../model/model.ts";
import type { HistoryRow, TrainingEvent } from "../run/history.ts";
import {
  isImprovement,
  startPlateau,
  startStopping,
  stepPlateau,
  stepStopping,
  watchLoss,
} from "./callbacks.ts";
import {
  createBackground,
  type PartialEpoch,
  readCheckpoint,
  removeCheckpoints,
  requireNoOther,
  resume,
  takeSavePoint,
  type TrainingState,
  writeSavePoint,
} from "./checkpoint.ts";
import { type EpochScores, epochScores } from "./epoch_scores.ts";
import { openFeatureCache } from "./feature_cache.ts";
import {
  createFeatureExtractor,
  everyImage,
  type FeatureExtractor,
  type FeatureSource,
  featureSource,
  hashFrozenPart,
  valuesPerImage,
  type View,
} from "./features.ts";
import {
  createTrainable,
  disposeTrainable,
  resetAdam,
  snapshot,
  type Trainable,
  type TrainingJob,
  trainStep,
  validateBatch,
  withWeights,
} from "./trainable.ts";

/** What a training run leaves. */
export interface TrainingResult {
  /**
   * The whole model as training left it: at EarlyStopping's best epoch with `restoreBest`, else at
   * the last one. The caller frees its `trained` weights; the others are the starting model's.
   */
  model: Model;
  /** The weights of `model` that training made. */
  trained: ReadonlyMap<string, TensorFlow.Tensor>;
  history: HistoryRow[];
  events: TrainingEvent[];
  /** 1-based epoch that ModelCheckpoint kept: the last one given to `onBest`; 0: none yet. */
  bestEpoch: number;
  /** Epochs that an earlier, interrupted call had done. */
  resumedFrom: number;
  /** The person stopped it before its end; the next call goes on from there. */
  interrupted: boolean;
  /** Why some outputs of the frozen layers were not kept, in words; `null`: all were. */
  notKept: string | null;
}

/**
 * Trains the layers behind the freeze boundary and keeps the best epoch.
 *
 * The frozen part runs in inference mode, once an image or view as far as its outputs are kept
 * (`openSources`). Each epoch sees the training images in a new seeded order, the last partial batch
 * included; its checkpoint is written while the next goes on, and in long epochs every
 * `training.checkpoint.minutes`. An interrupted run continues from the latest, with the history that
 * it would have had; one that had ended has nothing left to do.
 *
 * @throws {ImageError} Naming an image that cannot be read any more.
 * @throws {TrainingError} When the loss is no longer a number, or has exploded; when a checkpoint
 *   cannot be written (the one before it stays); when an interrupted training of other settings would
 *   be lost (`training.startAnew`).
 */
export async function fit(job: TrainingJob): Promise<TrainingResult> {
  const { model, config } = job;
  const frozenLayers = frozenLayerCount(model.architecture.backbone, config.model.unfreezeLast);
  const cut = cutGraph(model.graph, frozenLayers);
  const extractor = createFeatureExtractor(model, cut);
  const part = createTrainable(model, cut, extractor.shapes, config.training.batchNorm);
  let best: ReadonlyMap<string, TensorFlow.Tensor> | null = null;
  let sources: Sources | null = null;
  const saving = createBackground();
  try {
    const saved = await readCheckpoint(job.checkpoints, job.fingerprint);
    if (!saved) {
      if (!config.training.startAnew) await requireNoOther(job.checkpoints, job.fingerprint);
      await removeCheckpoints(job.checkpoints);
    }
    let state = saved?.state ?? startState(config);
    const resumedFrom = state.epoch;
    if (saved) {
      best = saved.bestTensors;
      resume(part, saved.tensors, state.adamStep);
    }
    const isOver = () => state.stopped || state.epoch >= config.training.epochs;
    /** Saves the training as it is now, with the model if it is the best, while it goes on. */
    const saveLater = (bestRow: HistoryRow | null) => {
      const point = takeSavePoint(part, state, best);
      return saving.start(() => writeSavePoint(job, point, bestRow));
    };
    let interrupted = false;
    if (!isOver()) {
      const folder = join(job.features, await hashFrozenPart(model, cut, job.decode));
      sources = await openSources(job, extractor, folder);
    }
    while (sources && !isOver() && !interrupted) {
      const row = await runEpoch(job, part, sources, state, {
        stopRequested: job.stopRequested ?? (() => false),
        save: async (partial) => {
          state = { ...state, partial, adamStep: part.adam.step };
          await saveLater(null);
        },
      });
      interrupted = row === null;
      if (row === null) break;
      if (row.epoch === config.training.warmupEpochs) resetAdam(part.adam); // a new phase begins
      const ended = endEpoch({ ...state, partial: null }, row, config.training);
      state = { ...ended.state, adamStep: part.adam.step };
      state.over = isOver();
      if (ended.isBestToRestore && config.training.earlyStopping.restoreBest) {
        tf.dispose([...best?.values() ?? []]);
        best = snapshot(part);
      }
      await saveLater(ended.isBest ? row : null);
      await job.onEpoch?.(state.history, state.events);
      interrupted = !isOver() && (job.stopRequested?.() ?? false);
    }
    await saving.settle();
    if (sources && state.stopped) reportEnd(job, state.epoch);
    const trained = best ?? snapshot(part);
    best = null; // now the caller's
    return {
      model: withWeights(model, trained),
      trained,
      history: state.history,
      events: state.events,
      bestEpoch: state.best.epoch ?? state.epoch,
      resumedFrom,
      interrupted,
      notKept: sources?.refusal() ?? null,
    };
  } finally {
    await saving.settle().catch(() => {}); // another error is on its way
    await sources?.close();
    tf.dispose([...best?.values() ?? []]);
    disposeTrainable(part);
    extractor.dispose();
  }
}

/** Says that a training is over before its last epoch. */
function reportEnd({ train, validation, config, onProgress }: TrainingJob, epoch: number): void {
  const done = epoch * (train.length + validation.length);
  const place = `stopped early after epoch ${epoch} of at most ${config.training.epochs}`;
  onProgress?.(done, done, undefined, { place, unit: "images" });
}

function startState({ training }: Config): TrainingState {
  return {
    epoch: 0,
    partial: null,
    over: false,
    stopped: false,
    plateau: startPlateau(training.learningRate),
    stopping: startStopping,
    best: { value: null, epoch: null },
    history: [],
    events: [],
    adamStep: 0,
  };
}

/** What {@linkcode runEpoch} asks and tells between two batches. */
interface EpochControl {
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
async function runEpoch(
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

/** What the three callbacks make of a finished epoch. */
interface EndedEpoch {
  /** The state for the next epoch, with the row and the events added. */
  state: TrainingState;
  /** ModelCheckpoint keeps this epoch. */
  isBest: boolean;
  /** EarlyStopping would go back to this epoch. */
  isBestToRestore: boolean;
}

/**
 * Runs the callbacks on a finished epoch: checkpoint, learning rate, early stopping. Pure. During
 * warm-up only the checkpoint is at work; the others begin with the phase that they are for.
 */
export function endEpoch(
  state: TrainingState,
  row: HistoryRow,
  options: Config["training"],
): EndedEpoch {
  const { epoch } = row;
  const events: TrainingEvent[] = [];

  const { monitor } = options.checkpoint;
  const value = row[monitor];
  // Without a value Keras keeps the epoch: a model of the last one is better than none.
  const isBest = value === null || isImprovement(value, state.best.value, monitor);
  if (isBest) {
    const note = value === null ? `no ${monitor}: kept` : `best ${monitor} ${value.toFixed(4)}`;
    events.push({ epoch, kind: "checkpoint", note });
  }

  if (epoch === options.warmupEpochs) {
    events.push({ epoch, kind: "unfreeze", note: "from the next epoch on, all unfrozen layers" });
  }
  const watched = (name: Monitor) => epoch <= options.warmupEpochs ? null : row[name];
  const plateau = stepPlateau(
    state.plateau,
    watched(options.reduceLROnPlateau.monitor),
    options.reduceLROnPlateau,
  );
  if (plateau.reduced) {
    const [before, after] = [state.plateau, plateau.state].map(({ learningRate }) =>
      Number(learningRate.toPrecision(3)).toExponential()
    );
    events.push({ epoch, kind: "reduce_lr", note: `learning rate ${before} → ${after}` });
  }
  const stopping = stepStopping(
    state.stopping,
    epoch,
    watched(options.earlyStopping.monitor),
    options.earlyStopping,
  );
  if (stopping.stop) {
    const note = `no better ${options.earlyStopping.monitor} for ${stopping.state.wait} epochs`;
    events.push({ epoch, kind: "early_stopping", note });
  }
  return {
    state: {
      ...state,
      epoch,
      stopped: stopping.stop,
      plateau: plateau.state,
      stopping: stopping.state,
      best: isBest ? { value: value ?? state.best.value, epoch } : state.best,
      history: [...state.history, row],
      events: [...state.events, ...events],
    },
    isBest,
    isBestToRestore: stopping.improved,
  };
}

/** The features of both subsets. */
export interface Sources {
  train: FeatureSource;
  validation: FeatureSource;
  /** Why some outputs of the frozen layers are not kept, in words; `null`: all are, so far. */
  refusal(): string | null;
  close(): Promise<void>;
}

/**
 * Features of both subsets. The frozen layers' outputs are kept in memory
 * (`training.cacheMegabytes`) and on disk (`training.cacheGigabytes`), for other kernels and other
 * settings of the trainable part as well; what does not fit is computed at every reading.
 *
 * With augmentation every view of a training image is another. `training.cachedViews` says how many
 * an image there are; they come in turn and are kept. 0: without end, and the frozen part runs on
 * each, from decoded pixels as far as those fit (`training.pixelCacheMegabytes`). Validation images
 * are never augmented.
 *
 * @param folder Of the outputs on disk; its name is `hashFrozenPart`.
 */
export async function openSources(
  { config, decode, train, validation }: Pick<
    TrainingJob,
    "config" | "decode" | "train" | "validation"
  >,
  extractor: FeatureExtractor,
  folder: string,
): Promise<Sources> {
  const { augmentation, cachedViews, cacheMegabytes, cacheGigabytes, pixelCacheMegabytes } =
    config.training;
  const cache = await openFeatureCache({
    folder,
    values: valuesPerImage(extractor.shapes),
    memoryBytes: cacheMegabytes * 1e6,
    diskBytes: cacheGigabytes * 1e9,
  });
  const common = { extractor, decode, cache };
  const endless = isAugmented(augmentation) && cachedViews === 0;
  const viewOf = ({ index, view: turn }: Draw): View => {
    const view = endless ? turn : (turn - 1) % cachedViews + 1;
    return {
      key: endless ? null : JSON.stringify([config.seed, view, index, augmentation]),
      change: (pixels) =>
        augment(pixels, decode.size, augmentation, viewRandom(config.seed, view, index)),
    };
  };
  return {
    train: featureSource({
      ...common,
      images: train,
      ...(endless ? { pixels: createPixelCache(pixelCacheMegabytes) } : {}),
      ...(isAugmented(augmentation) ? { viewOf } : {}),
    }),
    validation: featureSource({ ...common, images: validation }),
    refusal: cache.refusal,
    close: cache.close,
  };
}
