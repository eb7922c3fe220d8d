import type { Config } from "../config_schema.ts";
import type { BatchItem } from "../images/batches.ts";
import type { DecodeOptions } from "../images/decode.ts";
import { cutGraph } from "../model/cut.ts";
import type { Model } from "../model/model.ts";
import { frozenLayerCount } from "../model/stages.ts";
import type { OnProgress } from "../progress.ts";
import { type TensorFlow, tf } from "../setup/tensorflow.ts";
import { resetAdam } from "./adam.ts";
import { endEpoch } from "./end_epoch.ts";
import {
  readCheckpoint,
  removeCheckpoints,
  type TrainingState,
  writeCheckpoint,
} from "./checkpoint.ts";
import { startPlateau, startStopping } from "./callbacks.ts";
import { openSources } from "./open_sources.ts";
import { runEpoch } from "./run_epoch.ts";
import { createFeatureExtractor } from "./features.ts";
import type { HistoryRow, TrainingEvent } from "./history.ts";
import {
  createTrainable,
  disposeTrainable,
  restore,
  snapshot,
  type Trainable,
  withWeights,
} from "./trainable.ts";

/** What a training run is made of. */
export interface TrainingJob {
  /** The model to start from; its weights are not changed. */
  model: Model;
  train: readonly BatchItem[];
  validation: readonly BatchItem[];
  /** How images are read. */
  decode: DecodeOptions;
  config: Config;
  /** Folder of checkpoints. */
  checkpoints: string;
  /** Text that is equal only for runs that may continue each other's checkpoints. */
  fingerprint: string;
  /** Called with the whole model whenever an epoch is the best yet; the model is only lent. */
  onBest: (model: Model, row: HistoryRow) => Promise<void>;
  /** Called after every epoch with all rows and events so far. */
  onEpoch?: (history: HistoryRow[], events: TrainingEvent[]) => Promise<void> | void;
  onProgress?: OnProgress;
}

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
  /** 1-based epoch that ModelCheckpoint kept: the last one given to `onBest`. */
  bestEpoch: number;
  /** Epochs that an earlier, interrupted call had done. */
  resumedFrom: number;
}

/**
 * Trains the layers behind the freeze boundary and keeps the best epoch.
 *
 * The frozen part runs in inference mode, once an image where its outputs fit in memory
 * (`training.cacheMegabytes`) and images are not augmented. Each epoch sees the training images in a
 * new seeded order, the last partial batch included; its checkpoint is written before the next
 * begins. An interrupted run continues from it; one that had ended has nothing left to do.
 *
 * @throws {ImageError} Naming an image that cannot be read any more.
 * @throws {TrainingError} When the loss is no longer a number, or has exploded.
 */
export async function fit(job: TrainingJob): Promise<TrainingResult> {
  const { model, config } = job;
  const frozenLayers = frozenLayerCount(model.architecture.backbone, config.model.unfreezeLast);
  const cut = cutGraph(model.graph, frozenLayers);
  const extractor = createFeatureExtractor(model, cut);
  const part = createTrainable(model, cut, extractor.shapes, config.training.batchNorm);
  let best: ReadonlyMap<string, TensorFlow.Tensor> | null = null;
  try {
    const saved = await readCheckpoint(job.checkpoints, job.fingerprint);
    if (!saved) await removeCheckpoints(job.checkpoints); // of another run: it begins anew
    let state = saved?.state ?? startState(config);
    const resumedFrom = state.epoch;
    if (saved) {
      best = saved.bestTensors;
      resume(part, saved.tensors, state.adamStep);
    }
    const isOver = () => state.stopped || state.epoch >= config.training.epochs;
    const sources = isOver() ? null : await openSources(job, extractor);
    while (sources && !isOver()) {
      const row = await runEpoch(job, part, sources, state);
      if (row.epoch === config.training.warmupEpochs) resetAdam(part.adam); // a new phase begins
      const ended = endEpoch(state, row, config.training);
      state = { ...ended.state, adamStep: part.adam.step };
      if (ended.isBest) await job.onBest(withWeights(model, part.weights), row);
      if (ended.isBestToRestore && config.training.earlyStopping.restoreBest) {
        tf.dispose([...best?.values() ?? []]);
        best = snapshot(part);
      }
      await writeCheckpoint(job.checkpoints, job.fingerprint, state, tensorsOf(part), best);
      await job.onEpoch?.(state.history, state.events);
    }
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
    };
  } finally {
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
    stopped: false,
    plateau: startPlateau(training.learningRate),
    stopping: startStopping,
    best: { value: null, epoch: null },
    history: [],
    events: [],
    adamStep: 0,
  };
}

const FIRST = "adam_first/";
const SECOND = "adam_second/";

/** Weights and moments, as a checkpoint holds them. */
function* tensorsOf(part: Trainable): Generator<readonly [string, TensorFlow.Tensor]> {
  yield* part.weights;
  for (const [name, value] of part.adam.first) yield [FIRST + name, value] as const;
  for (const [name, value] of part.adam.second) yield [SECOND + name, value] as const;
}

/** Puts a checkpoint's tensors back in place and frees them. */
function resume(
  part: Trainable,
  tensors: Map<string, TensorFlow.Tensor>,
  adamStep: number,
): void {
  for (const name of part.variables.keys()) {
    part.adam.first.get(name)!.assign(tensors.get(FIRST + name)!);
    part.adam.second.get(name)!.assign(tensors.get(SECOND + name)!);
  }
  part.adam.step = adamStep;
  restore(part, new Map([...part.weights.keys()].map((name) => [name, tensors.get(name)!])));
  tf.dispose([...tensors.values()]);
}
