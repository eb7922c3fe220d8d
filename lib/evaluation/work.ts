import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import { z } from "zod";
import { ConfigError, DataError } from "../core/errors.ts";
import { exists, readAll, writeAll } from "../core/files.ts";
import { listLines } from "../core/words.ts";
import type { Flag } from "../model/reference.ts";
import type { EvaluationFiles } from "../run/evaluation_files.ts";

/** Images that are computed together. Other batches could change the last digit of a probability. */
export const BATCH_SIZE = 32;

/** How many batches a folder of so many images has. */
export function batchCount(images: number): number {
  return Math.ceil(images / BATCH_SIZE);
}

/** What the model computed for an image, before calibration and threshold; sizes as displayed. */
export interface ClassifiedImage extends Record<"width" | "height", number> {
  /** One a class, in the model's order, just as the model gave them (32-bit floats). */
  probabilities: number[];
  /** What is unusual about the image; empty: nothing, or it is not known what is usual. */
  flags: readonly Flag[];
  /** By a model of folds: the standard deviation of the members' log odds of the positive class. */
  spread?: number;
}

/**
 * What became of an image: classified, or why it could not be. `retry`: the file could not be
 * reached, as opposed to understood: another try may do better.
 */
export type StoredImage = ClassifiedImage | { error: string; retry: boolean };

/** Results that can be read batch by batch. */
export interface Source {
  /** Whether the results of this batch are there. */
  has(batch: number): boolean;
  /** Reads a batch that is there. @throws {DataError} When the file has changed meanwhile. */
  read(batch: number): Promise<StoredImage[]>;
}

/** The results so far of an evaluation, in a file. */
export interface WorkFile extends Source {
  /** Why results of an earlier evaluation could not be used; `null`: there were none, or they are. */
  restarted: "folder" | "model" | "damaged" | null;
  append(batch: number, images: readonly StoredImage[]): Promise<void>;
  /** Flushes to disk and closes. */
  close(): Promise<void>;
}

/** Format of work files; any other is begun anew. */
const WORK_FORMAT = 3;

const identitySchema = z.object({
  format: z.literal(WORK_FORMAT),
  listing: z.string(),
  images: z.int().positive(),
  model: z.string(),
  shard: z.object({ index: z.int().positive(), count: z.int().positive() }),
});

/**
 * What a work file holds results of, its first line: `listing` tells the folder's files, `images`
 * how many they are, `model` what computed the predictions, `shard` which part of the folder it is.
 */
export type WorkIdentity = Omit<z.infer<typeof identitySchema>, "format">;

/** Milliseconds of work that a power cut may cost. A kill costs only the batch in hand. */
const FLUSH_EVERY = 5000;

/**
 * Opens the work file of an evaluation, to go on where an earlier one ended, or to begin anew when
 * that was of other images or another model. Batches are appended, each with a check sum, so that one
 * cut short is noticed. Batches with a file that could not be reached count as missing.
 *
 * @throws {DataError} When another evaluation is at work on it.
 */
export async function openWorkFile(path: string, identity: WorkIdentity): Promise<WorkFile> {
  await Deno.mkdir(dirname(path), { recursive: true });
  const file = await Deno.open(path, { read: true, write: true, create: true });
  try {
    if (!await file.tryLock(true)) {
      throw new DataError(
        `Another evaluation is at work on ${path}.`,
        "Wait for its end, stop it, or name another --out.",
      );
    }
    const { identity: earlier, batches, ...found } = readWork(file, { withRetry: false });
    const restarted = earlier === null
      ? file.statSync().size === 0 ? null : "damaged"
      : earlier.model !== identity.model
      ? "model"
      : earlier.listing !== identity.listing
      ? "folder"
      : null;
    if (restarted !== null) batches.clear();
    let end = restarted === null ? found.end : 0;
    file.truncateSync(end);
    let flushed = performance.now();
    const append = async (value: unknown): Promise<Line> => {
      const bytes = workLine(value);
      await file.seek(end, Deno.SeekMode.Start);
      await writeAll(file, bytes); // awaited: in this pause a person's Stop comes through
      const line = { offset: end, length: bytes.length };
      end += bytes.length;
      if (performance.now() - flushed > FLUSH_EVERY) {
        await file.syncData();
        flushed = performance.now();
      }
      return line;
    };
    if (end === 0) await append({ format: WORK_FORMAT, ...identity });
    return {
      restarted,
      ...sourceOf(file, path, batches),
      append: async (batch, images) => {
        batches.set(batch, await append([batch, images]));
      },
      close: async () => await file.syncData().finally(() => file.close()),
    };
  } catch (error) {
    file.close();
    throw error;
  }
}

/** A part of an evaluation: number `index` of `count`, from 1. The whole is 1 of 1. */
export type Shard = WorkIdentity["shard"];

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
 * The batches of a part: of 3 parts the first has the batches 0, 3, 6 …, so that each takes about the
 * same time. A batch is never divided, so that the last digits of a probability are the same.
 *
 * @param batches Of the whole folder.
 * @returns Batch numbers, from 0, ascending.
 */
export function shardBatches(batches: number, { index, count }: Shard): number[] {
  const length = Math.max(0, Math.ceil((batches - index + 1) / count));
  return Array.from({ length }, (_, i) => index - 1 + i * count);
}

/** The work file of a part, or of the whole. */
export function workPath({ parts }: EvaluationFiles, shard?: Shard): string {
  return join(parts, shard ? `${shard.index}_of_${shard.count}.work` : "whole.work");
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
    const parts: Part[] = [];
    for (const path of await partPaths(files)) {
      const file = await Deno.open(path);
      opened.push(file);
      const { identity, batches } = readWork(file, { withRetry: true });
      parts.push({ path, ...checkPart(path, identity, batches.size, wanted) });
      sources.push(sourceOf(file, path, batches));
    }
    checkDivision(parts, files.parts);
    return { sources, close };
  } catch (error) {
    close();
    throw error;
  }
}

type Part = Shard & { path: string };

async function partPaths(files: EvaluationFiles): Promise<string[]> {
  if (!await exists(files.parts)) return [];
  const entries = await Array.fromAsync(Deno.readDir(files.parts));
  return entries.map(({ name }) => join(files.parts, name))
    .filter((path) => path.endsWith(".work") && path !== workPath(files)).sort();
}

function checkPart(
  path: string,
  identity: WorkIdentity | null,
  done: number,
  wanted: WorkIdentity,
): Shard {
  if (identity === null) {
    throw new DataError(`${path} is damaged.`, "Remove it and evaluate its part again.", {
      file: path,
    });
  }
  const { images, shard, model, listing } = identity;
  if (model !== wanted.model || listing !== wanted.listing) {
    const other = model !== wanted.model
      ? "with another model"
      : "of another folder, or of this one before it changed";
    throw new DataError(
      `${path} holds results ${other}.`,
      "Evaluate this part again, or remove the file if it does not belong here.",
      { file: path },
    );
  }
  const expected = shardBatches(batchCount(images), shard).length;
  if (done < expected) {
    throw new DataError(
      `Part ${shard.index} of ${shard.count} is not finished: ${done} of ${expected} batches are ` +
        "there.",
      `Run it again with --shard ${shard.index}/${shard.count}; it goes on where it ended.`,
    );
  }
  return shard;
}

function checkDivision(parts: readonly Part[], folder: string): void {
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

/** Where a line is in its file, in bytes; the line break counts. */
type Line = { offset: number; length: number };

/**
 * Reads a work file from its beginning to its end or its first damaged line.
 *
 * @param withRetry Whether a batch with an image whose file could not be reached counts as there.
 * @returns `identity`: `null` where the file is empty or its first line damaged. `batches`: by number
 * in the whole folder. `end`: of the last whole line, in bytes; what comes after was cut by a kill.
 */
function readWork(file: Deno.FsFile, { withRetry }: { withRetry: boolean }) {
  let identity: WorkIdentity | null = null;
  const batches = new Map<number, Line>();
  let end = 0;
  for (const { bytes, offset } of readLines(file)) {
    const value = lineValue(bytes);
    if (value === undefined) break;
    if (offset === 0) {
      const { data } = identitySchema.safeParse(value);
      if (!data) break;
      identity = data;
    } else {
      const [batch, images] = value as [number, StoredImage[]];
      if (withRetry || !images.some((image) => "error" in image && image.retry)) {
        batches.set(batch, { offset, length: bytes.length });
      } else batches.delete(batch);
    }
    end = offset + bytes.length;
  }
  return { identity, batches, end };
}

/** The whole lines of a file. Memory holds one of them and a piece of the file. */
function* readLines(file: Deno.FsFile): Generator<{ bytes: Uint8Array; offset: number }> {
  const piece = new Uint8Array(1 << 18);
  let rest = new Uint8Array(0);
  let offset = 0;
  file.seekSync(0, Deno.SeekMode.Start);
  for (let read = file.readSync(piece); read !== null; read = file.readSync(piece)) {
    const all = new Uint8Array(rest.length + read);
    all.set(rest);
    all.set(piece.subarray(0, read), rest.length);
    let start = 0;
    for (let end = all.indexOf(10); end >= 0; end = all.indexOf(10, start)) {
      const bytes = all.subarray(start, end + 1);
      yield { bytes, offset };
      offset += bytes.length;
      start = end + 1;
    }
    rest = all.slice(start);
  }
}

function sourceOf(file: Deno.FsFile, path: string, batches: ReadonlyMap<number, Line>): Source {
  return {
    has: (batch) => batches.has(batch),
    read: async (batch) => {
      const { offset, length } = batches.get(batch)!;
      const bytes = new Uint8Array(length);
      await file.seek(offset, Deno.SeekMode.Start);
      await readAll(file, bytes);
      const value = lineValue(bytes);
      if (value === undefined) {
        throw new DataError(`${path} has been changed meanwhile.`, "Run the evaluation again.", {
          file: path,
        });
      }
      return (value as [number, StoredImage[]])[1];
    },
  };
}

const CHECK_LENGTH = 16;

/** A line of a work file: the beginning of its SHA-256, then JSON. A torn or altered line shows. */
function workLine(value: unknown): Uint8Array {
  const json = JSON.stringify(value);
  return new TextEncoder().encode(`${checkSum(json)} ${json}\n`);
}

/** The value of a line, or `undefined` when it is not whole. */
function lineValue(bytes: Uint8Array): unknown {
  const line = new TextDecoder().decode(bytes);
  const json = line.slice(CHECK_LENGTH + 1, -1);
  return line.slice(0, CHECK_LENGTH) === checkSum(json) ? JSON.parse(json) : undefined;
}

function checkSum(json: string): string {
  return createHash("sha256").update(json).digest("hex").slice(0, CHECK_LENGTH);
}
