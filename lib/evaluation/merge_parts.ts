import { join } from "node:path";
import { DataError } from "../errors.ts";
import { listLines } from "../list_lines.ts";
import { shardBatches } from "./shard.ts";
import type { Source } from "./work_file.ts";
import { type EvaluationFiles, WORK_ENDING, workPath } from "./evaluation_files.ts";
import { batchCount, indexWork, readBatch } from "./work_index.ts";
import type { WorkIdentity } from "./work_format.ts";

/** A part's results, read only. */
interface Part extends Source {
  path: string;
  identity: WorkIdentity;
  /** Batches that are there. */
  batches: number;
  close(): void;
}

/** Parts that together are the whole. */
export interface Parts {
  sources: Source[];
  close(): void;
}

/**
 * Opens the parts that `--shard` left, to be read as one.
 *
 * @param wanted Of the folder and model in force; its shard is not looked at.
 * @throws {DataError} When a part is of another folder or model, unfinished, there twice, or not
 *   there.
 */
export async function openParts(files: EvaluationFiles, wanted: WorkIdentity): Promise<Parts> {
  const parts: Part[] = [];
  const close = () => parts.forEach((part) => part.close());
  try {
    for (const path of await partPaths(files)) parts.push(await openPart(path));
    if (parts.length === 0) {
      throw new DataError(
        `There is no part to merge in ${files.parts}.`,
        "Evaluate the parts first, with --shard 1/N to N/N and the same --out.",
      );
    }
    for (const part of parts) checkPart(part, wanted);
    checkDivision(parts, files.parts);
    return { sources: parts, close };
  } catch (error) {
    close();
    throw error;
  }
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

async function openPart(path: string): Promise<Part> {
  const file = await Deno.open(path);
  try {
    const { identity, places } = await indexWork(file);
    if (identity === null) {
      throw new DataError(`${path} is damaged.`, "Remove it and evaluate its part again.");
    }
    return {
      path,
      identity,
      batches: places.size,
      has: (batch) => places.has(batch),
      read: (batch) => readBatch(file, places.get(batch)!, path),
      close: () => file.close(),
    };
  } catch (error) {
    file.close();
    throw error;
  }
}

function checkPart({ path, identity, batches }: Part, wanted: WorkIdentity): void {
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
  const expected = shardBatches(batchCount(identity.images), identity.shard).length;
  if (batches < expected) {
    const { index, count } = identity.shard;
    throw new DataError(
      `Part ${index} of ${count} is not finished: ${batches} of ${expected} batches are there.`,
      `Run it again with --shard ${index}/${count}; it goes on where it ended.`,
    );
  }
}

/** Every part of one division must be there, once. */
function checkDivision(parts: readonly Part[], folder: string): void {
  const { count } = parts[0]!.identity.shard;
  const other = parts.find(({ identity }) => identity.shard.count !== count);
  if (other) {
    throw new DataError(
      `The parts in ${folder} do not fit together: ${count} parts by one, ` +
        `${other.identity.shard.count} by another.`,
      "Remove those of the division that you do not want.",
    );
  }
  const paths = new Map<number, string[]>();
  for (const { path, identity: { shard } } of parts) {
    paths.set(shard.index, [...paths.get(shard.index) ?? [], path]);
  }
  for (const [index, twice] of paths) {
    if (twice.length < 2) continue;
    throw new DataError(
      `Part ${index} of ${count} is there ${twice.length} times:${listLines(twice)}`,
      "Remove all but one.",
    );
  }
  if (paths.size === count) return;
  const missing = Array.from({ length: count }, (_, i) => i + 1).filter((i) => !paths.has(i));
  throw new DataError(
    `Of ${count} parts ${missing.length} are missing:` +
      listLines(missing.map((index) => `--shard ${index}/${count}`)),
    `Evaluate them, or bring their files into ${folder}.`,
  );
}
