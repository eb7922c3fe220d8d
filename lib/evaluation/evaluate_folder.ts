import { createHash } from "node:crypto";
import { realpath } from "node:fs/promises";
import { join } from "node:path";
import { DataError } from "../errors.ts";
import { sha256File } from "../files.ts";
import { loadModel } from "../model/load_model.ts";
import { disposeModel, type Model } from "../model/model.ts";
import { type Flagger, readFlagger, REFERENCE_FILE } from "../model/reference/reference_file.ts";
import { stoppable } from "../stop.ts";
import { classify } from "./classify.ts";
import type { Evaluation, EvaluationOptions } from "./evaluation.ts";
import { evaluationFiles, refuseInside, refuseOverwriting, workPath } from "./evaluation_files.ts";
import { readSidecar } from "./export/sidecar.ts";
import { type Done, finish, type Setting } from "./finish.ts";
import { isFileSystemError } from "./is_file_system_error.ts";
import { listFolder } from "./list_folder.ts";
import { openParts } from "./merge_parts.ts";
import { type Shard, shardBatches } from "./shard.ts";
import { openWorkFile } from "./work_file.ts";
import type { WorkIdentity } from "./work_format.ts";
import { BATCH_SIZE, batchCount } from "./work_index.ts";

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
