import { deviation, sum } from "d3-array";
import { createHash } from "node:crypto";
import { realpath } from "node:fs/promises";
import { join } from "node:path";
import { DataError } from "../core/errors.ts";
import { sha256File } from "../core/files.ts";
import { breathe, stoppable, type StopRequested, throwIfStopped } from "../core/long_work.ts";
import { fromRoot } from "../core/paths.ts";
import { describeSkipped, listImages } from "../data/list.ts";
import { disposeModel } from "../model/model.ts";
import { cardPredictor, decodeOptions, predictImages } from "../model/predict.ts";
import { readFlagger, REFERENCE_FILE } from "../model/reference.ts";
import { loadModel } from "../model/saved.ts";
import { logOdds } from "../run/decision.ts";
import { evaluationFiles, refuseInside, refuseOverwriting } from "../run/evaluation_files.ts";
import type { Run } from "../run/run.ts";
import { readSidecar } from "./export.ts";
import { readTestSample } from "./external.ts";
import {
  type Evaluation,
  type EvaluationOptions,
  finish,
  HOW_TO_FOLLOW,
  type Listing,
  type Setting,
} from "./results.ts";
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

type FromRun = "folder" | "followLinks" | "modelFolder" | "priorShift" | "internal";

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
export async function evaluateRun(
  { config, paths }: Run,
  options: Partial<Omit<EvaluationOptions, FromRun>> = {},
): Promise<Evaluation> {
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

/**
 * Classifies every image of a folder with a saved model and writes evaluation.csv, its details and
 * its errors, in code-point order of the names. Beside the list of names memory is the same for ten
 * images and for a million.
 *
 * An evaluation that Stop or a kill interrupted goes on from its work file and writes the same bytes as
 * an uninterrupted one; when the folder or the model has changed since, it begins anew.
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
    const { model, card } = options.loaded ?? await loadModel(options.modelFolder);
    try {
      const flagger = await readFlagger(options.modelFolder, model, card);
      const reference = flagger && await sha256File(join(options.modelFolder, REFERENCE_FILE));
      if (!options.shard && !options.force) {
        const folder = await realpath(options.folder);
        await refuseOverwriting(files, { folder, model: card.weights.sha256 });
      }
      return await (options.merge ? merge : evaluate)(
        { options, files, listing, model, card, flagger, reference, places, stopRequested },
      );
    } catch (error) {
      // what the file system refuses here is writing: files that cannot be read are results
      if (!isFileSystemError(error)) throw error;
      throw new DataError(
        `The results cannot be written (${options.out}): ${error.message}.`,
        "Make room on the disk, or see to the permission to write there. Then run this again: it " +
          "goes on where it ended.",
        { cause: error },
      );
    } finally {
      if (!options.loaded) disposeModel(model);
    }
  });
}

async function merge(setting: Setting): Promise<Evaluation> {
  const parts = await openParts(setting.files, identify(setting, WHOLE));
  try {
    return await finish(setting, parts.sources, {
      state: "finished",
      resumed: setting.listing.names.length,
      restarted: null,
      imagesPerSecond: null,
    });
  } finally {
    parts.close();
  }
}

async function evaluate(setting: Setting): Promise<Evaluation> {
  const { options: { shard }, files, listing: { names } } = setting;
  const work = await openWorkFile(workPath(files, shard), identify(setting, shard ?? WHOLE));
  try {
    const all = shardBatches(batchCount(names.length), shard ?? WHOLE);
    const batches = all.filter((batch) => !work.has(batch));
    const imagesOf = (batches: readonly number[]) =>
      sum(batches, (batch) => Math.min(BATCH_SIZE, names.length - BATCH_SIZE * batch));
    const [total, missing] = [imagesOf(all), imagesOf(batches)];
    const start = performance.now();
    const classified = await classify(setting, work, batches, (done, name) => {
      setting.options.onProgress?.(total - missing + done, total, name);
    });
    const seconds = (performance.now() - start) / 1000;
    return await finish(setting, [work], {
      state: classified < missing ? "stopped" : shard ? "part" : "finished",
      resumed: total - missing,
      restarted: work.restarted,
      imagesPerSecond: classified === 0 ? null : classified / seconds,
    });
  } finally {
    await work.close();
  }
}

const WHOLE: Shard = { index: 1, count: 1 };

function identify({ listing, card, reference }: Setting, shard: Shard): WorkIdentity {
  const { architecture, preprocessing, weights, decision } = card;
  const text = JSON.stringify([ // all that predictions and flags depend on
    ...[weights.sha256, architecture, preprocessing],
    ...[decision.testTimeAugmentation, reference],
  ]);
  const model = createHash("sha256").update(text).digest("hex");
  return { listing: listing.sha256, images: listing.names.length, model, shard };
}

/**
 * Classifies the images of some batches (ascending) into a work file, until the end or a person's
 * Stop; returns how many. A model that was loaded for this is consumed.
 */
async function classify(
  { options: { folder, loaded }, listing: { names }, model, card, flagger, stopRequested }: Setting,
  work: WorkFile,
  batches: readonly number[],
  onImage: (done: number, name: string) => void,
): Promise<number> {
  if (batches.length === 0) return 0;
  const predictor = cardPredictor(model, card, { consume: loaded === undefined });
  const options = { ...decodeOptions(card), batchSize: BATCH_SIZE };
  function* paths(): Generator<string, void, void> {
    for (const batch of batches) {
      const ofBatch = names.slice(BATCH_SIZE * batch, BATCH_SIZE * (batch + 1));
      yield* ofBatch.map((name) => join(folder, name));
    }
  }
  let [done, turn, waiting]: [number, number, StoredImage[]] = [0, 0, []];
  try {
    // Batches are whole but for the folder's last one: predictImages groups them as they are here.
    for await (const result of predictImages(predictor, paths(), options)) {
      if ("error" in result) {
        const { reason, cause } = result.error;
        waiting.push({ error: reason, retry: isFileSystemError(cause) });
      } else {
        const { probabilities, members, width, height } = result;
        const spread = members.length > 0 ? { spread: spreadOf(members) } : {};
        waiting.push({ probabilities, width, height, flags: flagger?.(result) ?? [], ...spread });
      }
      const batch = batches[turn]!;
      const position = BATCH_SIZE * batch + waiting.length;
      done += 1;
      if (waiting.length === BATCH_SIZE || position === names.length) {
        await work.append(batch, waiting);
        await breathe();
        [turn, waiting] = [turn + 1, []];
      }
      onImage(done, names[position - 1]!);
      if (waiting.length === 0 && stopRequested()) break;
    }
  } finally {
    predictor.dispose();
  }
  return done;
}

/** How far members disagree: the standard deviation of their log odds of the positive class. */
const spreadOf = (members: readonly (readonly number[])[]): number =>
  deviation(members, (probabilities) => logOdds(probabilities.at(-1)!)) ?? 0;

/** Whether the operating system refused something. Deno gives a code to some of its errors only. */
function isFileSystemError(error: unknown): error is Error {
  return error instanceof Error && ("code" in error || /\(os error \d+\)/.test(error.message));
}

/** Files that are looked at between two breaths. */
const AT_A_TIME = 512;

/** Lists a folder of new images. Memory holds the names: about 0.1 kB an image. */
async function listFolder(
  { folder, followLinks = false, onProgress }: EvaluationOptions,
  stopRequested: StopRequested,
): Promise<Listing> {
  const { paths: names, skipped, outside } = await listImages(folder, { followLinks });
  if (names.length === 0) {
    const passedOver = describeSkipped(skipped);
    throw new DataError(
      `There is no image in ${JSON.stringify(folder)}${passedOver && ` (${passedOver})`}.`,
      "Name a folder that holds .png, .jpg, .tif, .bmp or .webp files, at any depth" +
        (skipped.links > 0 && !followLinks ? `, or follow its links: ${HOW_TO_FOLLOW}.` : "."),
    );
  }
  const hash = createHash("sha256");
  for (let start = 0; start < names.length; start += AT_A_TIME) {
    const some = names.slice(start, start + AT_A_TIME);
    for (const name of some) hash.update(`${name}\0${sizeAndTime(join(folder, name))}\0`);
    if (names.length <= AT_A_TIME) break;
    const done = start + some.length;
    throwIfStopped(stopRequested);
    const place = `${done.toLocaleString("en-GB")} files looked at`;
    onProgress?.(done, names.length, "", { place, unit: "files" });
    await breathe();
  }
  return { names, sha256: hash.digest("hex"), skipped, outside };
}

/** Asked without waiting: a million asynchronous questions take minutes. */
function sizeAndTime(path: string): string {
  try {
    const { size, mtime } = Deno.statSync(path);
    return `${size} ${mtime?.getTime()}`;
  } catch {
    return "cannot be looked at"; // reading it will say why
  }
}
