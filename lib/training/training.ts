import { sum } from "d3-array";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { exists, readJson, writeAtomic } from "../core/files.ts";
import {
  type OnProgress,
  type ProgressPlace,
  stoppable,
  type StopRequested,
} from "../core/long_work.ts";
import { FEATURES_FOLDER, type RunPaths } from "../core/paths.ts";
import { type Config, DEFAULT_HEAD } from "../core/settings.ts";
import { tf, versions } from "../core/tensorflow.ts";
import { isAugmented } from "../images/views.ts";
import { saveKeras } from "../model/keras_files.ts";
import { backbones, disposeModel, frozenLayerCount } from "../model/model.ts";
import { type CardDraft, loadModel, saveModel } from "../model/saved.ts";
import { type StartingWeights, startRun } from "../model/start.ts";
import { DEFAULT_DECISION } from "../run/decision.ts";
import {
  type HistoryRow,
  keptRows,
  meanRow,
  type TrainingEvent,
  writeEvents,
  writeHistory,
} from "../run/history.ts";
import { MODEL_FORMAT, modelCardSchema, PARITY_TOLERANCE } from "../run/model_card.ts";
import { modelCardMarkdown } from "../run/model_card_text.ts";
import { type Run, type TrainingRecord, writeTrainingRecord } from "../run/run.ts";
import { readCertificate, type SplitCertificate } from "../run/split_certificate.ts";
import {
  foldRows,
  foldsOf,
  labelledFiles,
  type Member,
  members,
  type SplitRow,
  testedRows,
} from "../run/split_file.ts";
import { latestCheckpoint, removeCheckpoints } from "./checkpoint.ts";
import { fit, type TrainingJob, type TrainingResult } from "./fit.ts";
import {
  clearOtherCheckpoints,
  finishedTraining,
  forgetJoined,
  hasMember,
  isJoined,
  joinMembers,
  noteJoined,
  type Place,
  saveMember,
} from "./members.ts";
import { tensorboardLog } from "./tensorboard.ts";

/** What notebook 05 shows of a training; of folds, one after the other. */
export interface TrainedRun extends Omit<TrainingResult, "trained" | "bestEpoch"> {
  /** The epoch that each training kept: a row a fold; empty while there is none. */
  kept: HistoryRow[];
  /** How many models were asked for: with folds, one each. */
  members: number;
  startingWeights: StartingWeights;
}

/**
 * Trains the run's model on the split of notebook 03 and leaves the best epoch in model/RUN/ (for
 * Python as model.keras too), the history in results/RUN/ and checkpoints that an interrupted
 * training continues from. A run that has been trained with just this config and split is not
 * trained again: everything is seeded, so the result would be the same.
 *
 * With folds one model is trained for each, all behind the same frozen layers, whose outputs are
 * computed once for all. When the last is trained they become one model (`ensembleGraph`).
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
  const log = config.training.logs === "tensorboard" ? tensorboardLog(paths.tensorboard) : null;
  const record = trainingRecord(config, start, certificate);
  const write = async (history: HistoryRow[], events: TrainingEvent[]) => {
    await writeTrainingRecord(paths.training, record);
    await writeHistory(paths.history, history);
    await writeEvents(paths.trainingEvents, events);
  };
  try {
    const result = await stoppable((stopRequested) =>
      trainMembers(run, start, certificate, {
        onEpoch: async (history, events) => {
          await write(history, events);
          await log?.(history);
          onEpoch?.(history, events);
        },
        onProgress,
        stopRequested,
      })
    );
    const { history, events, resumedFrom, interrupted, kept } = result;
    // Again: a kill between an epoch's checkpoint and its history would have left it a row short.
    if (history.length > 0) await write(history, events);
    if (resumedFrom < history.length || !await exists(paths.tensorboard)) await log?.(history);
    const isWhole = result.members === 1 ? kept.length > 0 : !interrupted;
    if (result.members > 1 && isWhole) await saveEnsemble(run, start, certificate, kept);
    if (isWhole) await exportBest(paths);
    return { ...result, startingWeights: start.startingWeights };
  } finally {
    disposeModel(start.model);
  }
}

/** Trains the models that the split asks for, one after the other. */
async function trainMembers(
  run: Run,
  start: Start,
  certificate: SplitCertificate,
  hooks: Pick<TrainingJob, "onEpoch" | "onProgress"> & { stopRequested: StopRequested },
): Promise<Omit<TrainedRun, "startingWeights">> {
  const { training: { epochs, startAnew } } = run.config;
  const parts = members(start.split);
  const places = placesOf(run, start, certificate);
  await clearOtherCheckpoints(run.paths.checkpoints, places, startAnew);
  const results: MemberResult[] = [];
  const images = parts.map(({ train, validation }) => epochs * (train.length + validation.length));
  for (const [i, member] of parts.entries()) {
    const done = joined(results);
    const earlier = sum(images.slice(0, i));
    const place = (at: ProgressPlace | undefined) =>
      at && member.fold !== ""
        ? { ...at, place: `fold ${i + 1} of ${parts.length}, ${at.place}` }
        : at;
    results.push(
      await trainMember(run, start, certificate, member, places[i]!, {
        ...hooks,
        onEpoch: (history, events) =>
          hooks.onEpoch?.([...done.history, ...history], [...done.events, ...events]),
        onProgress: (at, _, note, where) =>
          hooks.onProgress?.(earlier + at, sum(images), note, place(where)),
      }),
    );
    const isLast = i + 1 === parts.length;
    if (results[i]!.interrupted || (!isLast && hooks.stopRequested())) {
      return { ...joined(results), members: parts.length, interrupted: true };
    }
  }
  return { ...joined(results), members: parts.length };
}

type MemberResult = Omit<TrainedRun, "startingWeights" | "members" | "kept">;

/** The trainings of several folds as one. */
function joined(results: readonly MemberResult[]) {
  const [history, events] = [results.flatMap((r) => r.history), results.flatMap((r) => r.events)];
  return {
    history,
    events,
    kept: keptRows(history, events),
    resumedFrom: sum(results.map((result) => result.resumedFrom)),
    interrupted: results.some((result) => result.interrupted),
    cacheProblem: results.find(({ cacheProblem }) => cacheProblem !== null)?.cacheProblem ?? null,
  };
}

/** Trains one model, or finds that it has been trained; rows and events tell its fold. */
async function trainMember(
  { config, paths }: Run,
  start: Start,
  certificate: SplitCertificate,
  { fold, train, validation }: Member,
  place: Place,
  hooks: Pick<TrainingJob, "onEpoch" | "onProgress" | "stopRequested">,
): Promise<MemberResult> {
  const marked = <T extends object>(rows: readonly T[]): T[] =>
    rows.map((row) => fold === "" ? row : { ...row, fold });
  const finished = fold === "" ? null : await finishedTraining(place, config.training.epochs);
  if (finished) {
    const [history, events] = [marked(finished.history), marked(finished.events)];
    const resumedFrom = finished.epoch;
    return { history, events, resumedFrom, interrupted: false, cacheProblem: null };
  }
  const saved = await latestCheckpoint(place.folder);
  const hasKept = fold === "" ? exists(join(paths.model, "model.json")) : hasMember(place);
  if (saved?.fingerprint === place.fingerprint && saved.state.best.epoch && !await hasKept) {
    await removeCheckpoints(place.folder); // they continue a training whose model is gone
  }
  await forgetJoined(paths.checkpoints); // from here on its model is another than the run's
  const { model, decode } = start;
  const frozenLayers = frozenLayersOf(start, config);
  const { trained, history, events, bestEpoch: _, ...result } = await fit({
    ...hooks,
    model,
    train: labelledFiles(train, config),
    validation: labelledFiles(validation, config),
    decode,
    config,
    checkpoints: place.folder,
    features: FEATURES_FOLDER,
    fingerprint: place.fingerprint,
    onBest: async (best, row) =>
      fold === ""
        ? void await saveModel(paths.model, best, describeModel(config, start, certificate, [row]))
        : await saveMember(place, best, { frozenLayers, epoch: row.epoch }),
    onEpoch: (history, events) => hooks.onEpoch?.(marked(history), marked(events)),
  });
  tf.dispose([...trained.values()]);
  return { ...result, history: marked(history), events: marked(events) };
}

/** Where the trainings of a run have their checkpoints: those of folds in folders of their own. */
function placesOf({ config, paths }: Run, start: Start, certificate: SplitCertificate): Place[] {
  return members(start.split).map(({ fold }) => ({
    folder: join(paths.checkpoints, fold),
    fingerprint: fingerprint(config, start, certificate, fold),
  }));
}

/** Joins the trained folds to the run's model, where it is not theirs yet. */
async function saveEnsemble(
  run: Run,
  start: Start,
  certificate: SplitCertificate,
  kept: readonly HistoryRow[],
): Promise<void> {
  const { config, paths } = run;
  const places = placesOf(run, start, certificate);
  const card =
    modelCardSchema.safeParse(await readJson(paths.modelCard, "").catch(() => null)).data;
  const isThere = card && await exists(join(paths.model, "model.json"));
  if (isThere && await isJoined(paths.checkpoints, places, card.weights.sha256)) return;
  const ensemble = await joinMembers(start.model, frozenLayersOf(start, config), places);
  try {
    const joinedStart = { ...start, model: ensemble };
    const draft = describeModel(config, joinedStart, certificate, kept);
    const { weights } = await saveModel(paths.model, ensemble, draft);
    await noteJoined(paths.checkpoints, places, weights.sha256);
  } finally {
    disposeModel(ensemble);
  }
}

const frozenLayersOf = ({ model }: Start, config: Config): number =>
  frozenLayerCount(model.architecture.backbone, config.model.unfreezeLast);

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
  fold: string,
): string {
  const noInfluence = /^(epochs|logs|startAnew|checkpoint|\w+(Mega|Giga)bytes)$/;
  const training = Object.entries(config.training).filter(([name]) => !noInfluence.test(name));
  const { folder, classes, maxMegapixels } = config.data;
  const { head, attention } = config.model;
  const { augmentation, backboneRate } = config.training;
  return JSON.stringify({
    format: MODEL_FORMAT, // what an older version has saved cannot be loaded
    ...fold !== "" && { fold },
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
      ...(backboneRate === 1 ? { backboneRate: undefined } : {}),
      ...(isAugmented(augmentation) ? {} : { cachedViews: 0 }), // there is one view
      checkpoint: { monitor: config.training.checkpoint.monitor },
    },
  });
}

/** How many images were for what; with folds each image was for everything in turn. */
function describeSplit(split: readonly SplitRow[]): Pick<CardDraft["data"], "images" | "folds"> {
  const folds = foldsOf(split.map(({ subset }) => subset)).length;
  if (folds === 0) {
    const [{ train, validation, test }] = members(split) as [Member];
    const images = { train: train.length, validation: validation.length, test: test.length };
    return { images };
  }
  const all = foldRows(split).length;
  return { images: { train: all, validation: all, test: testedRows(split).length }, folds };
}

function describeModel(
  config: Config,
  { model: { architecture }, decode, startingWeights, split, synthetic }: Start,
  certificate: SplitCertificate,
  kept: readonly HistoryRow[],
): CardDraft {
  const { epoch, val_loss, val_accuracy, val_auc } = meanRow(kept);
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
      ...describeSplit(split),
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
