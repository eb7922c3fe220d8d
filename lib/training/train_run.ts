import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { DataError } from "../core/errors.ts";
import { exists, readJson, sha256File, writeAtomic } from "../core/files.ts";
import { FEATURES_FOLDER, fromRoot, type RunPaths, runPaths } from "../core/paths.ts";
import { type Config, DEFAULT_HEAD } from "../core/settings.ts";
import { type OnProgress, stoppable } from "../core/stop.ts";
import { tf, versions } from "../core/tensorflow.ts";
import type { DecodeOptions } from "../images/decode.ts";
import { saveKeras } from "../model/keras_files.ts";
import {
  type Architecture,
  backbones,
  disposeModel,
  frozenLayerCount,
  type Model,
} from "../model/model.ts";
import { type CardDraft, loadModel, saveModel } from "../model/saved.ts";
import { type StartingWeights, startRun } from "../model/start.ts";
import { type HistoryRow, type TrainingEvent, writeEvents, writeHistory } from "../run/history.ts";
import {
  DEFAULT_DECISION,
  MODEL_FORMAT,
  modelCardMarkdown,
  PARITY_TOLERANCE,
} from "../run/model_card.ts";
import { type TrainingRecord, writeTrainingRecord } from "../run/runs.ts";
import { type SplitRow, type Subset, subsetItems, SUBSETS } from "../run/split_file.ts";
import { latestCheckpoint, removeCheckpoints } from "./checkpoint.ts";
import { fit } from "./fit.ts";
import { tensorboardLog } from "./tensorboard.ts";

/** What notebook 05 shows of a training. */
export interface TrainedRun {
  history: HistoryRow[];
  events: TrainingEvent[];
  /** 1-based epoch of the model in model/RUN/; 0: there is none yet. */
  bestEpoch: number;
  /** Epochs done by an earlier, interrupted training that this one continued; 0: none. */
  resumedFrom: number;
  /** The person stopped it before its end; running it again goes on from there. */
  interrupted: boolean;
  /** Why some outputs of the frozen layers were not kept, in words; `null`: all were. */
  notKept: string | null;
  startingWeights: StartingWeights;
}

const certificateSchema = z.object({ manifest_sha256: z.string(), split_sha256: z.string() });

/** @throws {DataError} When the certificate is missing, damaged, or not that of split.csv. */
async function readCertificate(
  { split, splitCertificate }: Pick<RunPaths, "split" | "splitCertificate">,
): Promise<z.infer<typeof certificateSchema>> {
  const remedy = "Run notebook 03 again; it writes this file.";
  const { data } = certificateSchema.safeParse(await readJson(splitCertificate, remedy));
  if (!data) throw new DataError(`${splitCertificate} is not a certificate.`, remedy);
  if (await exists(split) && await sha256File(split) !== data.split_sha256) {
    throw new DataError(`${split} is not the split that ${splitCertificate} vouches for.`, remedy);
  }
  return data;
}

/**
 * Trains the run's model on the split of notebook 03 and leaves the best epoch in model/RUN/ (for
 * Python as model.keras too), the history in results/RUN/ and checkpoints that an interrupted
 * training continues from. A run that has been trained with just this config and split is not
 * trained again: seeded as everything is, the result would be the same.
 *
 * @param show `onEpoch` is called after each epoch with everything so far.
 * @throws {DataError} When notebook 03 has not been run, or its split has been changed since.
 * @throws {ModelError} When the starting weights are not to be had.
 * @throws {ImageError} When an image of the split has gone or broken since.
 * @throws {TrainingError} When the loss is no longer a number, or has exploded; when the disk is full;
 *   when an interrupted training of other settings would be lost.
 */
export async function trainRun(
  config: Config,
  show: {
    onProgress?: OnProgress;
    onEpoch?: (history: HistoryRow[], events: TrainingEvent[]) => void;
  } = {},
): Promise<TrainedRun> {
  const paths = runPaths(config.run);
  const certificate = await readCertificate(paths);
  const { split, synthetic, decode, model, startingWeights } = await startRun(
    config,
    show.onProgress,
  );
  const { architecture } = model;
  const items = (subset: Subset) =>
    subsetItems(split, subset, fromRoot(config.data.folder), config.data.classes);
  const log = config.training.logs === "tensorboard" ? tensorboardLog(paths.tensorboard) : null;
  const record = trainingRecord(config, architecture, certificate.split_sha256, startingWeights);
  const write = async (history: HistoryRow[], events: TrainingEvent[]) => {
    await writeTrainingRecord(paths.training, record);
    await writeHistory(paths.history, history);
    await writeEvents(paths.trainingEvents, events);
  };
  const saved = await latestCheckpoint(paths.checkpoints);
  if (saved?.state.best.epoch && !await exists(`${paths.model}/model.json`)) {
    await removeCheckpoints(paths.checkpoints); // they continue a training whose model is gone
  }
  try {
    const result = await stoppable((stopRequested) =>
      fit({
        model,
        train: items("train"),
        validation: items("validation"),
        decode,
        config,
        checkpoints: paths.checkpoints,
        features: FEATURES_FOLDER,
        fingerprint: fingerprint(config, architecture, certificate.split_sha256, startingWeights),
        onBest: async (best: Model, row: HistoryRow) => {
          await saveModel(paths.model, best, {
            ...describeModel(config, architecture, decode, startingWeights),
            data: {
              synthetic,
              manifestSha256: certificate.manifest_sha256,
              splitSha256: certificate.split_sha256,
              images: countSubsets(split),
              groupPattern: config.data.groupPattern,
            },
            training: {
              bestEpoch: row.epoch,
              monitor: config.training.checkpoint.monitor,
              seed: config.seed,
              scores: {
                val_loss: row.val_loss,
                val_accuracy: row.val_accuracy,
                val_auc: row.val_auc,
              },
            },
          });
        },
        onEpoch: async (history, events) => {
          await write(history, events);
          await log?.(history);
          show.onEpoch?.(history, events);
        },
        onProgress: show.onProgress,
        stopRequested,
      })
    );
    tf.dispose([...result.trained.values()]);
    // Again: a kill between an epoch's checkpoint and its history would have left it a row short.
    if (result.history.length > 0) await write(result.history, result.events);
    const trained = result.resumedFrom < result.history.length;
    if (trained || !await exists(paths.tensorboard)) await log?.(result.history);
    const { history, events, bestEpoch, resumedFrom, interrupted, notKept } = result;
    if (bestEpoch > 0) await exportBest(paths);
    return { history, events, bestEpoch, resumedFrom, interrupted, notKept, startingWeights };
  } finally {
    disposeModel(model);
  }
}

/** Writes the saved model once more as a Keras file, and its card for people. */
async function exportBest(paths: Pick<RunPaths, "model" | "modelCardText">): Promise<void> {
  const { model, card } = await loadModel(paths.model);
  try {
    await saveKeras(paths.model, model, card);
    await writeAtomic(paths.modelCardText, modelCardMarkdown(card, null));
  } finally {
    disposeModel(model);
  }
}

/** What the history is of: the sample set may have started with less than was asked for. */
function trainingRecord(
  config: Config,
  { backbone }: Architecture,
  splitSha256: string,
  { kind }: StartingWeights,
): TrainingRecord {
  const weights = kind === "random" ? kind : config.model.weights;
  return { config: { ...config, model: { ...config.model, backbone, weights } }, splitSha256 };
}

/** Equal for two trainings just when one may continue the other's checkpoints. */
function fingerprint(
  config: Config,
  { backbone }: Architecture,
  splitSha256: string,
  start: StartingWeights,
): string {
  const {
    epochs: _epochs,
    cacheMegabytes: _cacheMegabytes,
    cacheGigabytes: _cacheGigabytes,
    pixelCacheMegabytes: _pixelCacheMegabytes,
    logs: _logs,
    startAnew: _startAnew,
    checkpoint: { monitor },
    ...training
  } = config.training;
  const { folder, classes, maxMegapixels } = config.data;
  const { head, ...model } = config.model;
  return JSON.stringify({
    format: MODEL_FORMAT, // what an older version has saved cannot be loaded
    seed: config.seed,
    data: { folder, classes, maxMegapixels, splitSha256 },
    model: { ...model, ...(isDeepStrictEqual(head, DEFAULT_HEAD) ? {} : { head }), backbone },
    start: [start.kind, start.sha256],
    training: { ...training, checkpoint: { monitor } },
  });
}

/** The part of the card that does not depend on how the training went. */
function describeModel(
  config: Config,
  architecture: Architecture,
  decode: DecodeOptions,
  startingWeights: StartingWeights,
): Omit<CardDraft, "data" | "training"> {
  const { backbone } = architecture; // of the model itself: the config's may not be to be had
  const { unfreezeLast } = config.model;
  return {
    format: MODEL_FORMAT,
    run: config.run,
    created: new Date().toISOString(),
    architecture,
    preprocessing: {
      ...backbones[backbone].preprocessing,
      resize: decode.resize,
      stain: decode.stain ?? null,
      maxMegapixels: decode.maxMegapixels,
    },
    decision: DEFAULT_DECISION,
    startingWeights,
    frozen: {
      frozenLayers: frozenLayerCount(backbone, unfreezeLast),
      unfreezeLast,
      batchNorm: config.training.batchNorm,
    },
    parity: { tolerance: PARITY_TOLERANCE },
    versions: versions(),
  };
}

function countSubsets(split: readonly SplitRow[]): CardDraft["data"]["images"] {
  return Object.fromEntries(
    SUBSETS.map((subset) => [subset, split.filter((row) => row.subset === subset).length]),
  ) as CardDraft["data"]["images"];
}
