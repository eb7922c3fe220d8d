import { join } from "node:path";
import type { Config } from "../config_schema.ts";
import type { LabelledFile } from "../images/labelled_file.ts";
import type { DecodeOptions } from "../images/decode.ts";
import { cutGraph } from "../model/cut.ts";
import type { Model } from "../model/model.ts";
import { frozenLayerCount } from "../model/stages.ts";
import type { OnProgress } from "../progress.ts";
import type { StopRequested } from "../stop.ts";
import { type TensorFlow, tf } from "../setup/tensorflow.ts";
import { resetAdam } from "./adam.ts";
import { createBackground } from "./background.ts";
import { endEpoch } from "./end_epoch.ts";
import { readCheckpoint, removeCheckpoints, type TrainingState } from "./checkpoint.ts";
import { startPlateau, startStopping } from "./callbacks.ts";
import { openSources, type Sources } from "./open_sources.ts";
import { requireNoOther } from "./other_training.ts";
import { runEpoch } from "./run_epoch.ts";
import { resume, takeSavePoint, writeSavePoint } from "./save_point.ts";
import { createFeatureExtractor, hashFrozenPart } from "./feature_extractor.ts";
import type { HistoryRow, TrainingEvent } from "./history.ts";
import { createTrainable, disposeTrainable, snapshot, withWeights } from "./trainable.ts";

/** What a training run is made of. */
export interface TrainingJob {
  /** The model to start from; its weights are not changed. */
  model: Model;
  train: readonly LabelledFile[];
  validation: readonly LabelledFile[];
  /** How images are read. */
  decode: DecodeOptions;
  config: Config;
  /** Folder of checkpoints. */
  checkpoints: string;
  /** Folder in which the frozen layers' outputs of all runs are kept. */
  features: string;
  /** Text that is equal only for runs that may continue each other's checkpoints. */
  fingerprint: string;
  /** Called with the whole model whenever an epoch is the best yet; the model is only lent. */
  onBest: (model: Model, row: HistoryRow) => Promise<void>;
  /** Called after every epoch with all rows and events so far. */
  onEpoch?: (history: HistoryRow[], events: TrainingEvent[]) => Promise<void> | void;
  onProgress?: OnProgress;
  /** Whether the person has asked to stop. */
  stopRequested?: StopRequested;
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
