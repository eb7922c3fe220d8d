import { join } from "node:path";
import { ConfigError, DataError } from "../core/errors.ts";
import { listLines } from "../core/words.ts";
import type { EvaluationFiles } from "../run/evaluation_files.ts";
import {
  batchCount,
  readWork,
  type Source,
  sourceOf,
  type WorkContent,
  type WorkIdentity,
} from "./work.ts";

/** A part of an evaluation: number `index` of `count`, from 1. The whole is 1 of 1. */
export interface Shard {
  index: number;
  count: number;
}

/** More parts than anyone has machines. */
const MOST_PARTS = 10_000;

/**
 * Reads "2/5": part 2 of 5.
 *
 * @throws {ConfigError} When it is anything else.
 */
export function parseShard(text: string): Shard {
  const [, index, count] = /^(\d{1,5})\/(\d{1,5})$/.exec(text)?.map(Number) ?? [];
  if (!index || !count || index > count || count > MOST_PARTS) {
    throw new ConfigError(
      `--shard ${text}: a part and the number of parts are needed.`,
      `Write it as --shard 1/4, 2/4, 3/4 and 4/4; at most ${MOST_PARTS} parts.`,
    );
  }
  return { index, count };
}

/**
 * The batches of a part: of 3 parts the first has the batches 0, 3, 6 …, so that each has its share
 * of every slide and they take about the same time. A batch is never divided: its images are
 * computed together, whoever does it, and the last digits of a probability are the same.
 *
 * @param batches Of the whole folder.
 * @returns Batch numbers, from 0, ascending.
 */
export function shardBatches(batches: number, { index, count }: Shard): number[] {
  const first = index - 1;
  const length = Math.max(0, Math.ceil((batches - first) / count));
  return Array.from({ length }, (_, i) => first + i * count);
}

const WORK_ENDING = ".work";

/** The work file of a part, or of the whole. */
export function workPath({ parts }: EvaluationFiles, shard: Shard | null): string {
  return join(parts, (shard ? `${shard.index}_of_${shard.count}` : "whole") + WORK_ENDING);
}

/**
 * Opens the parts that `--shard` left, to be read as one.
 *
 * @param wanted Of the folder and model in force; its shard is not looked at.
 * @throws {DataError} When a part is of another folder or model, unfinished, there twice, or not
 *   there.
 */
export async function openParts(
  files: EvaluationFiles,
  wanted: WorkIdentity,
): Promise<{ sources: Source[]; close(): void }> {
  const opened: Deno.FsFile[] = [];
  const close = () => opened.forEach((file) => file.close());
  try {
    const sources: Source[] = [];
    const shards: PartShard[] = [];
    for (const path of await partPaths(files)) {
      const file = await Deno.open(path);
      opened.push(file);
      const content = readWork(file);
      shards.push({ path, ...checkPart(path, content, wanted) });
      sources.push(sourceOf(file, path, content.batches));
    }
    checkDivision(shards, files.parts);
    return { sources, close };
  } catch (error) {
    close();
    throw error;
  }
}

interface PartShard extends Shard {
  path: string;
}

/** Work files of parts; whatever name a copied one may have. */
async function partPaths(files: EvaluationFiles): Promise<string[]> {
  const whole = workPath(files, null);
  try {
    const entries = await Array.fromAsync(Deno.readDir(files.parts));
    return entries.map(({ name }) => join(files.parts, name))
      .filter((path) => path.endsWith(WORK_ENDING) && path !== whole).sort();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

function checkPart(
  path: string,
  { identity, batches }: WorkContent,
  wanted: WorkIdentity,
): Shard {
  if (identity === null) {
    throw new DataError(`${path} is damaged.`, "Remove it and evaluate its part again.");
  }
  const other = identity.model !== wanted.model
    ? "with another model"
    : identity.listing !== wanted.listing
    ? "of another folder, or of this one before it changed"
    : null;
  if (other !== null) {
    throw new DataError(
      `${path} holds results ${other}.`,
      "Evaluate this part again, or remove the file if it does not belong here.",
    );
  }
  const { index, count } = identity.shard;
  const expected = shardBatches(batchCount(identity.images), identity.shard).length;
  if (batches.size < expected) {
    throw new DataError(
      `Part ${index} of ${count} is not finished: ${batches.size} of ${expected} batches are there.`,
      `Run it again with --shard ${index}/${count}; it goes on where it ended.`,
    );
  }
  return { index, count };
}

/** Every part of one division must be there, once. */
function checkDivision(parts: readonly PartShard[], folder: string): void {
  if (parts.length === 0) {
    throw new DataError(
      `There is no part to merge in ${folder}.`,
      "Evaluate the parts first, with --shard 1/N to N/N and the same --out.",
    );
  }
  const { count } = parts[0]!;
  const other = parts.find((part) => part.count !== count);
  if (other) {
    throw new DataError(
      `The parts in ${folder} do not fit together: ${count} parts by one, ${other.count} by another.`,
      "Remove those of the division that you do not want.",
    );
  }
  const byIndex = Map.groupBy(parts, ({ index }) => index);
  for (const [index, same] of byIndex) {
    if (same.length < 2) continue;
    throw new DataError(
      `Part ${index} of ${count} is there ${same.length} times:` +
        listLines(same.map(({ path }) => path)),
      "Remove all but one.",
    );
  }
  if (byIndex.size === count) return;
  const missing = Array.from({ length: count }, (_, i) => i + 1).filter((i) => !byIndex.has(i));
  throw new DataError(
    `Of ${count} parts ${missing.length} are missing:` +
      listLines(missing.map((index) => `--shard ${index}/${count}`)),
    `Evaluate them, or bring their files into ${folder}.`,
  );
}
