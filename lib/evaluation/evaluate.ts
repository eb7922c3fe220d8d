import { createHash } from "node:crypto";
import { realpath } from "node:fs/promises";
import { join } from "node:path";
import { DataError, type ImageError } from "../core/errors.ts";
import { sha256File } from "../core/files.ts";
import { fromRoot, runPaths } from "../core/paths.ts";
import type { Config } from "../core/settings.ts";
import { type OnProgress, stoppable, type StopRequested } from "../core/stop.ts";
import { disposeModel, type Model } from "../model/model.ts";
import {
  cardPredictor,
  decodeOptions,
  type PredictedImage,
  predictImages,
} from "../model/predict.ts";
import { type Flagger, readFlagger, REFERENCE_FILE } from "../model/reference.ts";
import { loadModel } from "../model/saved.ts";
import { evaluationFiles, refuseInside, refuseOverwriting } from "../run/evaluation_files.ts";
import type { ModelCard } from "../run/model_card.ts";
import { readSidecar } from "./export.ts";
import { readTestSample } from "./external.ts";
import {
  type Done,
  type Evaluation,
  type EvaluationOptions,
  finish,
  listFolder,
  type Setting,
} from "./finish.ts";
import {
  BATCH_SIZE,
  batchCount,
  openParts,
  openWorkFile,
  type Shard,
  shardBatches,
  type StoredImage,
  type WorkFile,
  type WorkIdentity,
  workPath,
} from "./work.ts";

/**
 * Classifies every image of a folder with a saved model and writes evaluation.csv, its details and
 * its errors, in code-point order of the names. Beside the list of names memory is the same for ten
 * images and for a million.
 *
 * Results go to a work file as they come. An evaluation that was interrupted, by Stop or by a kill,
 * goes on from it when it is run again, and writes the same bytes as an uninterrupted one. When the
 * folder or the model has changed since, it begins anew.
 *
 * @throws {ModelError} When the model cannot be used.
 * @throws {DataError} When the folder is missing or holds no image, or results would be written into
 *   it or over those of another, or cannot be written at all.
 * @throws {StoppedError} When the person stops while the folder is listed or the files are written.
 */
export async function evaluateFolder(options: EvaluationOptions): Promise<Evaluation> {
  return await stoppable(async (stopRequested) => {
    const files = evaluationFiles(options.out);
    const listing = await listFolder(options, stopRequested);
    for (const folder of [options.folder, ...listing.outside]) {
      await refuseInside(options.out, folder);
    }
    const places = options.sidecar === undefined ? null : await readSidecar(options.sidecar);
    const { model, card } = await loadModel(options.modelFolder);
    try {
      const flagger = await readFlagger(options.modelFolder, model, card);
      const reference = flagger && await sha256File(join(options.modelFolder, REFERENCE_FILE));
      const setting = { options, files, listing, card, reference, places, stopRequested };
      if (!options.shard) await checkOverwriting(setting);
      return await (options.merge ? merge(setting) : evaluate(setting, model, flagger));
    } catch (error) {
      throw explainWriteError(error, options.out);
    } finally {
      disposeModel(model);
    }
  });
}

/** What the file system refuses here is writing: files that cannot be read are results. */
function explainWriteError(error: unknown, out: string): unknown {
  if (!isFileSystemError(error)) return error;
  return new DataError(
    `The results cannot be written (${out}): ${(error as Error).message}.`,
    "Make room on the disk, or see to the permission to write there. Then run this again: it goes " +
      "on where it ended.",
    { cause: error },
  );
}

async function checkOverwriting({ options, files, card }: Setting): Promise<void> {
  if (options.force) return;
  const folder = await realpath(options.folder);
  await refuseOverwriting(files, { folder, model: card.weights.sha256 });
}

async function merge(setting: Setting): Promise<Evaluation> {
  const { files } = setting;
  const parts = await openParts(files, identify(setting, null));
  try {
    const done: Done = {
      state: "finished",
      resumed: setting.listing.names.length,
      restarted: null,
      imagesPerSecond: null,
    };
    return await finish(setting, parts.sources, done);
  } finally {
    parts.close();
  }
}

async function evaluate(
  setting: Setting,
  model: Model,
  flagger: Flagger | null,
): Promise<Evaluation> {
  const { options: { folder, shard, onProgress }, files, listing, card, stopRequested } = setting;
  const { names } = listing;
  const path = workPath(files, shard ?? null);
  const work = await openWorkFile(path, identify(setting, shard ?? null));
  try {
    const all = shardBatches(batchCount(names.length), shard ?? WHOLE);
    const batches = all.filter((batch) => !work.has(batch));
    const total = imageCount(all, names.length);
    const missing = imageCount(batches, names.length);
    const counts = { done: total - missing, total };
    const start = performance.now();
    const options = { model, card, flagger, folder, names, batches, counts, onProgress };
    const classified = await classify(work, stopRequested, options);
    const seconds = (performance.now() - start) / 1000;
    const done: Done = {
      state: classified < missing ? "stopped" : shard ? "part" : "finished",
      resumed: counts.done,
      restarted: work.restarted,
      imagesPerSecond: classified === 0 ? null : classified / seconds,
    };
    return await finish(setting, [work], done);
  } finally {
    await work.close();
  }
}

const WHOLE: Shard = { index: 1, count: 1 };

function identify({ listing, card, reference }: Setting, shard: Shard | null): WorkIdentity {
  const { architecture, preprocessing, weights, decision } = card;
  const text = JSON.stringify([ // all that answers and flags depend on
    ...[weights.sha256, architecture, preprocessing],
    ...[decision.testTimeAugmentation, reference],
  ]);
  return {
    listing: listing.sha256,
    images: listing.names.length,
    model: createHash("sha256").update(text).digest("hex"),
    shard: shard ?? WHOLE,
  };
}

/** How many images some batches hold, of a folder of so many. */
function imageCount(batches: readonly number[], images: number): number {
  const holdsLast = batches.at(-1) === batchCount(images) - 1;
  return BATCH_SIZE * batches.length - (holdsLast ? BATCH_SIZE * batchCount(images) - images : 0);
}

/** What {@linkcode evaluateRun} can be told beside the config. */
export type RunOptions = Partial<
  Pick<
    EvaluationOptions,
    "out" | "shard" | "merge" | "force" | "formats" | "sidecar" | "onProgress"
  >
>;

/**
 * Section 7: classifies the images of `evaluation.folder` with the run's saved model and writes
 * evaluation.csv, its details and its errors. See {@linkcode evaluateFolder}.
 *
 * @param options.out Absolute path of the main file; default results/RUN/evaluation.csv.
 * @returns Counts and some rows to be shown; never all of them.
 * @throws {ModelError} When the run has no usable model.
 * @throws {DataError} When the folder is missing or holds no image, or results would be written into
 *   it or over those of another.
 */
export async function evaluateRun(config: Config, options: RunOptions = {}): Promise<Evaluation> {
  const paths = runPaths(config.run);
  const isOwnData = fromRoot(config.evaluation.folder) === fromRoot(config.data.folder);
  return await evaluateFolder({
    ...options,
    // the images that the model was trained on would be no test of it
    internal: isOwnData ? undefined : (card) => readTestSample(paths, card, config.seed),
    out: options.out ?? paths.evaluation,
    folder: fromRoot(config.evaluation.folder),
    followLinks: config.evaluation.followLinks,
    modelFolder: paths.model,
    priorShift: config.evaluation.priorShift,
  });
}

/** What {@linkcode classify} needs to know. */
interface ClassifyOptions {
  /** Consumed: it can only be disposed afterwards. */
  model: Model;
  card: ModelCard;
  /** Says what is unusual about an image; `null`: it is not known what is usual. */
  flagger: Flagger | null;
  /** Absolute path of the new images. */
  folder: string;
  /** Paths of all images relative to the folder. */
  names: readonly string[];
  /** Batches to be computed, ascending. */
  batches: readonly number[];
  /** Images that have been classified before, and those that will have been in the end. */
  counts: { done: number; total: number };
  onProgress?: OnProgress | undefined;
}

/**
 * Classifies the images of some batches into a work file, until the end or until the person asks to
 * stop. Memory does not grow with their number.
 *
 * @returns How many images were classified.
 */
async function classify(
  work: WorkFile,
  stopRequested: StopRequested,
  { model, card, flagger, folder, names, batches, counts, onProgress }: ClassifyOptions,
): Promise<number> {
  if (batches.length === 0) return 0;
  const predictor = cardPredictor(model, card, { consume: true });
  const options = { ...decodeOptions(card), batchSize: BATCH_SIZE };
  let [done, turn, waiting]: [number, number, StoredImage[]] = [0, 0, []];
  try {
    // Batches are whole but for the folder's last one: predictImages groups them as they are here.
    for await (const result of predictImages(predictor, paths(folder, names, batches), options)) {
      waiting.push("error" in result ? failed(result.error) : classified(result, flagger));
      const batch = batches[turn]!;
      const position = BATCH_SIZE * batch + waiting.length;
      done += 1;
      if (waiting.length === BATCH_SIZE || position === names.length) {
        await work.append(batch, waiting);
        [turn, waiting] = [turn + 1, []];
      }
      onProgress?.(counts.done + done, counts.total, names[position - 1]!);
      if (waiting.length === 0 && stopRequested()) break;
    }
  } finally {
    predictor.dispose();
  }
  return done;
}

function* paths(
  folder: string,
  names: readonly string[],
  batches: readonly number[],
): Generator<string, void, void> {
  for (const batch of batches) {
    for (const name of names.slice(BATCH_SIZE * batch, BATCH_SIZE * (batch + 1))) {
      yield join(folder, name);
    }
  }
}

function classified(image: PredictedImage, flagger: Flagger | null): StoredImage {
  const { probabilities, width, height } = image;
  return { probabilities, width, height, flags: flagger?.(image) ?? [] };
}

function failed({ reason, cause }: ImageError): StoredImage {
  return { error: reason, retry: isFileSystemError(cause) };
}

/** Whether the operating system refused something. Deno gives a code to some of its errors only. */
function isFileSystemError(error: unknown): boolean {
  return error instanceof Error && ("code" in error || /\(os error \d+\)/.test(error.message));
}
