import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { exists, writeAtomic } from "../core/files.ts";
import { type OnProgress, stoppable } from "../core/long_work.ts";
import { FEATURES_FOLDER, fromRoot, type RunPaths } from "../core/paths.ts";
import { type Config, DEFAULT_HEAD } from "../core/settings.ts";
import { tf, versions } from "../core/tensorflow.ts";
import { saveKeras } from "../model/keras_files.ts";
import { backbones, disposeModel, frozenLayerCount } from "../model/model.ts";
import { type CardDraft, loadModel, saveModel } from "../model/saved.ts";
import { type StartingWeights, startRun } from "../model/start.ts";
import { DEFAULT_DECISION } from "../run/decision.ts";
import { type HistoryRow, type TrainingEvent, writeEvents, writeHistory } from "../run/history.ts";
import { MODEL_FORMAT, PARITY_TOLERANCE } from "../run/model_card.ts";
import { modelCardMarkdown } from "../run/model_card_text.ts";
import { type Run, type TrainingRecord, writeTrainingRecord } from "../run/run.ts";
import {
  readCertificate,
  type SplitCertificate,
  type Subset,
  subsetItems,
  SUBSETS,
} from "../run/split_file.ts";
import { latestCheckpoint, removeCheckpoints } from "./checkpoint.ts";
import { fit, type TrainingResult } from "./fit.ts";
import { tensorboardLog } from "./tensorboard.ts";

/** What notebook 05 shows of a training. */
export type TrainedRun =
  & Omit<TrainingResult, "trained">
  & { startingWeights: StartingWeights };

/**
 * Trains the run's model on the split of notebook 03 and leaves the best epoch in model/RUN/ (for
 * Python as model.keras too), the history in results/RUN/ and checkpoints that an interrupted
 * training continues from. A run that has been trained with just this config and split is not
 * trained again: everything is seeded, so the result would be the same.
 *
 * @param callbacks `onEpoch` is called after each epoch with everything so far.
 * @throws {DataError} When notebook 03 has not been run, or its split has been changed since.
 * @throws {ModelError} When the starting weights cannot be obtained.
 * @throws {ImageError} When an image of the split has gone or broken since.
 * @throws {TrainingError} When the loss is no longer a number, or has exploded; when the disk is full;
 *   when an interrupted training of other settings would be lost.
 */
export async function trainRun(
  run: Run,
  { onProgress, onEpoch }: {
    onProgress?: OnProgress;
    onEpoch?: (history: HistoryRow[], events: TrainingEvent[]) => void;
  } = {},
): Promise<TrainedRun> {
  const { config, paths } = run;
  const certificate = await readCertificate(paths.splitCertificate, paths.split);
  const start = await startRun(run, onProgress);
  const { split, decode, model, startingWeights } = start;
  const items = (subset: Subset) =>
    subsetItems(split, subset, fromRoot(config.data.folder), config.data.classes);
  const log = config.training.logs === "tensorboard" ? tensorboardLog(paths.tensorboard) : null;
  const record = trainingRecord(config, start, certificate);
  const write = async (history: HistoryRow[], events: TrainingEvent[]) => {
    await writeTrainingRecord(paths.training, record);
    await writeHistory(paths.history, history);
    await writeEvents(paths.trainingEvents, events);
  };
  const saved = await latestCheckpoint(paths.checkpoints);
  if (saved?.state.best.epoch && !await exists(join(paths.model, "model.json"))) {
    await removeCheckpoints(paths.checkpoints); // they continue a training whose model is gone
  }
  try {
    const { trained, ...result } = await stoppable((stopRequested) =>
      fit({
        model,
        train: items("train"),
        validation: items("validation"),
        decode,
        config,
        checkpoints: paths.checkpoints,
        features: FEATURES_FOLDER,
        fingerprint: fingerprint(config, start, certificate),
        onBest: async (best, row) =>
          void await saveModel(paths.model, best, describeModel(config, start, certificate, row)),
        onEpoch: async (history, events) => {
          await write(history, events);
          await log?.(history);
          onEpoch?.(history, events);
        },
        onProgress,
        stopRequested,
      })
    );
    tf.dispose([...trained.values()]);
    const { history, events, resumedFrom, bestEpoch } = result;
    // Again: a kill between an epoch's checkpoint and its history would have left it a row short.
    if (history.length > 0) await write(history, events);
    if (resumedFrom < history.length || !await exists(paths.tensorboard)) await log?.(history);
    if (bestEpoch > 0) await exportBest(paths);
    return { ...result, startingWeights };
  } finally {
    disposeModel(model);
  }
}

type Start = Awaited<ReturnType<typeof startRun>>;

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
  { model, startingWeights: { kind } }: Start,
  { split_sha256: splitSha256 }: SplitCertificate,
): TrainingRecord {
  const { backbone } = model.architecture;
  const weights = kind === "random" ? kind : config.model.weights;
  return { config: { ...config, model: { ...config.model, backbone, weights } }, splitSha256 };
}

/** Text that is equal for two trainings just when one may continue the other's checkpoints. */
function fingerprint(
  config: Config,
  { model, startingWeights: { kind, sha256 } }: Start,
  { split_sha256: splitSha256 }: SplitCertificate,
): string {
  const noInfluence = /^(epochs|logs|startAnew|checkpoint|\w+(Mega|Giga)bytes)$/;
  const training = Object.entries(config.training).filter(([name]) => !noInfluence.test(name));
  const { folder, classes, maxMegapixels } = config.data;
  const { head, attention } = config.model;
  return JSON.stringify({
    format: MODEL_FORMAT, // what an older version has saved cannot be loaded
    seed: config.seed,
    data: { folder, classes, maxMegapixels, splitSha256 },
    model: {
      ...config.model,
      ...(isDeepStrictEqual(head, DEFAULT_HEAD) ? { head: undefined } : {}),
      ...(attention === "none" ? { attention: undefined } : {}),
      backbone: model.architecture.backbone,
    },
    start: [kind, sha256],
    training: {
      ...Object.fromEntries(training),
      checkpoint: { monitor: config.training.checkpoint.monitor },
    },
  });
}

function describeModel(
  config: Config,
  { model: { architecture }, decode, startingWeights, split, synthetic }: Start,
  certificate: SplitCertificate,
  { epoch, val_loss, val_accuracy, val_auc }: HistoryRow,
): CardDraft {
  const { backbone } = architecture; // of the model itself, which may not be the config's
  const { unfreezeLast } = config.model;
  const { resize, stain = null, maxMegapixels } = decode;
  return {
    format: MODEL_FORMAT,
    run: config.run,
    created: new Date().toISOString(),
    architecture,
    preprocessing: { ...backbones[backbone].preprocessing, resize, stain, maxMegapixels },
    decision: DEFAULT_DECISION,
    startingWeights,
    frozen: {
      frozenLayers: frozenLayerCount(backbone, unfreezeLast),
      unfreezeLast,
      batchNorm: config.training.batchNorm,
    },
    parity: { tolerance: PARITY_TOLERANCE },
    versions: versions(),
    data: {
      synthetic,
      manifestSha256: certificate.manifest_sha256,
      splitSha256: certificate.split_sha256,
      images: Object.fromEntries(
        SUBSETS.map((name) => [name, split.filter(({ subset }) => subset === name).length]),
      ) as Record<Subset, number>,
      groupPattern: config.data.groupPattern,
    },
    training: {
      bestEpoch: epoch,
      monitor: config.training.checkpoint.monitor,
      seed: config.seed,
      scores: { val_loss, val_accuracy, val_auc },
    },
  };
}
