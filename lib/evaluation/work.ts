import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import { z } from "zod";
import { ConfigError, DataError } from "../core/errors.ts";
import { readAll, writeAll } from "../core/files.ts";
import { listLines } from "../core/words.ts";
import { type Flag, FLAGS } from "../model/reference.ts";
import type { EvaluationFiles } from "../run/evaluation_files.ts";

/** Results that can be read batch by batch. */
export interface Source {
  /** Whether the results of this batch are there. */
  has(batch: number): boolean;
  read(batch: number): Promise<StoredImage[]>;
}

/** The results so far of an evaluation, in a file. */
export interface WorkFile extends Source {
  /** Why results of an earlier evaluation could not be used; `null`: there were none, or they are. */
  restarted: "folder" | "model" | "damaged" | null;
  append(batch: number, images: StoredImage[]): Promise<void>;
  /** Flushes to disk and closes. */
  close(): Promise<void>;
}

/** Milliseconds of work that a power cut may cost. A kill costs only the batch in hand. */
const FLUSH_EVERY = 5000;

/**
 * Opens the work file of an evaluation, to go on where an earlier one ended, or to begin anew when
 * that was of other images or another model. Batches are appended and never changed; each is guarded
 * by a check sum, so that one that a kill cut short is noticed and computed again. Batches with a
 * file that could not be reached count as missing.
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
    const index = await indexWork(file);
    const restarted = difference(index.identity, identity, (await file.stat()).size);
    const isNew = restarted !== null || index.identity === null;
    if (!isNew) { for (const batch of index.retry) index.places.delete(batch); }
    await file.truncate(isNew ? 0 : index.end);
    const work = appender(file, path, isNew ? new Map() : index.places, isNew ? 0 : index.end);
    if (isNew) await work.write(identityLine(identity));
    return { restarted, ...work };
  } catch (error) {
    file.close();
    throw error;
  }
}

function appender(
  file: Deno.FsFile,
  path: string,
  places: Map<number, LinePlace>,
  end: number,
): Omit<WorkFile, "restarted"> & { write(line: string): Promise<LinePlace> } {
  let flushed = performance.now();
  const write = async (line: string): Promise<LinePlace> => {
    const bytes = new TextEncoder().encode(line);
    await file.seek(end, Deno.SeekMode.Start);
    await writeAll(file, bytes);
    const place = { offset: end, length: bytes.length - 1 };
    end += bytes.length;
    if (performance.now() - flushed > FLUSH_EVERY) {
      await file.syncData();
      flushed = performance.now();
    }
    return place;
  };
  return {
    write,
    has: (batch) => places.has(batch),
    read: (batch) => readBatch(file, places.get(batch)!, path),
    append: async (batch, images) => {
      places.set(batch, await write(batchLine({ batch, images })));
    },
    close: async () => {
      try {
        await file.syncData();
      } finally {
        file.close();
      }
    },
  };
}

function difference(
  found: WorkIdentity | null,
  wanted: WorkIdentity,
  size: number,
): WorkFile["restarted"] {
  if (found === null) return size === 0 ? null : "damaged";
  if (found.model !== wanted.model) return "model";
  return found.listing === wanted.listing ? null : "folder";
}

/** Images that are computed together. Other batches could change the last digit of a probability. */
export const BATCH_SIZE = 32;

/** How many batches a folder of so many images has. */
export function batchCount(images: number): number {
  return Math.ceil(images / BATCH_SIZE);
}

/** Where a batch's line is in its file. */
interface LinePlace {
  /** In bytes. */
  offset: number;
  /** In bytes, without the line break. */
  length: number;
}

/** What a work file holds. */
interface WorkIndex {
  /** `null`: the file is empty or its first line is damaged. */
  identity: WorkIdentity | null;
  /** By number of the batch. */
  places: Map<number, LinePlace>;
  /** Batches with an image whose file could not be reached. */
  retry: Set<number>;
  /** Where the last whole line ends, in bytes: what comes after it was cut short by a kill. */
  end: number;
}

/** Reads a work file from its beginning to its end or its first damaged line. */
async function indexWork(file: Deno.FsFile): Promise<WorkIndex> {
  const index: WorkIndex = { identity: null, places: new Map(), retry: new Set(), end: 0 };
  for await (const { text, offset, length } of readLines(file)) {
    if (offset === 0) {
      index.identity = parseIdentity(text);
      if (index.identity === null) break;
    } else {
      const stored = parseBatch(text);
      if (stored === null) break;
      index.places.set(stored.batch, { offset, length });
      if (needsRetry(stored)) index.retry.add(stored.batch);
      else index.retry.delete(stored.batch);
    }
    index.end = offset + length + 1;
  }
  return index;
}

/**
 * Reads one batch.
 *
 * @throws {DataError} When the file has changed since it was indexed.
 */
async function readBatch(
  file: Deno.FsFile,
  { offset, length }: LinePlace,
  path: string,
): Promise<StoredImage[]> {
  const bytes = new Uint8Array(length);
  await file.seek(offset, Deno.SeekMode.Start);
  await readAll(file, bytes);
  const stored = parseBatch(new TextDecoder().decode(bytes));
  if (stored === null) {
    throw new DataError(`${path} has been changed meanwhile.`, "Run the evaluation again.");
  }
  return stored.images;
}

function needsRetry({ images }: StoredBatch): boolean {
  return images.some((image) => "error" in image && image.retry);
}

/** The whole lines of a file. Memory holds one of them and a piece of the file. */
async function* readLines(file: Deno.FsFile): AsyncGenerator<LinePlace & { text: string }> {
  const decoder = new TextDecoder();
  const piece = new Uint8Array(1 << 18);
  let rest = new Uint8Array(0);
  let offset = 0;
  await file.seek(0, Deno.SeekMode.Start);
  for (let read = await file.read(piece); read !== null; read = await file.read(piece)) {
    const bytes = new Uint8Array(rest.length + read);
    bytes.set(rest);
    bytes.set(piece.subarray(0, read), rest.length);
    let start = 0;
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, start)) {
      const length = end - start;
      yield { text: decoder.decode(bytes.subarray(start, end)), offset, length };
      offset += length + 1;
      start = end + 1;
    }
    rest = bytes.slice(start);
  }
}

/** The model's answer for an image, before it is calibrated or judged. */
export interface ClassifiedImage {
  /** One a class, in the model's order, just as the model gave them (32-bit floats). */
  probabilities: number[];
  /** In pixels, as displayed. */
  width: number;
  /** In pixels, as displayed. */
  height: number;
  /** What is unusual about the image; empty: nothing, or it is not known what is usual. */
  flags: readonly Flag[];
}

/** Why an image has no answer. */
interface UnclassifiedImage {
  error: string;
  /** The file could not be reached, as opposed to understood: another try may do better. */
  retry: boolean;
}

/** What became of an image. */
export type StoredImage = ClassifiedImage | UnclassifiedImage;

/** The images of a batch, as a work file keeps them. */
interface StoredBatch {
  /** Number of the batch in the whole folder, from 0. */
  batch: number;
  images: StoredImage[];
}

/** Format of work files; any other is begun anew. */
const WORK_FORMAT = 2;

const identitySchema = z.object({
  format: z.literal(WORK_FORMAT),
  listing: z.string(),
  images: z.int().positive(),
  model: z.string(),
  shard: z.object({ index: z.int().positive(), count: z.int().positive() }),
});

/**
 * What a work file holds results of, its first line: `listing` tells the folder's files, `images`
 * how many they are, `model` what computed the answers, `shard` which part of the folder it is.
 */
export type WorkIdentity = Omit<z.infer<typeof identitySchema>, "format">;

/** A line of a work file: the beginning of its SHA-256, then JSON. A torn or altered line shows. */
function workLine(value: unknown): string {
  const json = JSON.stringify(value);
  return `${check(json)} ${json}\n`;
}

/** The first line of a work file. */
function identityLine(identity: WorkIdentity): string {
  return workLine({ format: WORK_FORMAT, ...identity });
}

/** A line of a work file: its batch. An image takes about 60 bytes. */
function batchLine({ batch, images }: StoredBatch): string {
  return workLine([
    batch,
    images.map((image) =>
      "error" in image
        ? [image.error, image.retry]
        : [image.width, image.height, image.flags.join(" "), ...image.probabilities]
    ),
  ]);
}

/** The value of a line, or `undefined` when it is not whole. */
function lineValue(line: string): unknown {
  const json = line.slice(CHECK_LENGTH + 1);
  return line.slice(0, CHECK_LENGTH) === check(json) ? JSON.parse(json) : undefined;
}

/** The identity that a first line holds, or `null` when it holds none. */
function parseIdentity(line: string): WorkIdentity | null {
  const parsed = identitySchema.safeParse(lineValue(line));
  if (!parsed.success) return null;
  const { format: _, ...identity } = parsed.data;
  return identity;
}

/** The batch that a line holds, or `null` when it is not whole. */
function parseBatch(line: string): StoredBatch | null {
  const value = lineValue(line) as
    | [number, ([string, boolean] | [number, number, string, ...number[]])[]]
    | undefined;
  if (value === undefined) return null;
  const [batch, images] = value;
  return {
    batch,
    images: images.map((cells) => {
      if (typeof cells[0] === "string") return { error: cells[0], retry: cells[1] as boolean };
      const [width, height, flags, ...probabilities] = cells as [
        number,
        number,
        string,
        ...number[],
      ];
      return { width, height, flags: FLAGS.filter((flag) => flags.includes(flag)), probabilities };
    }),
  };
}

/** Hexadecimal digits that guard a line. */
const CHECK_LENGTH = 16;

function check(json: string): string {
  return createHash("sha256").update(json).digest("hex").slice(0, CHECK_LENGTH);
}

/** A part's results, read only. */
interface Part extends Source {
  path: string;
  identity: WorkIdentity;
  /** Batches that are there. */
  batches: number;
  close(): void;
}

/** Parts that together are the whole. */
interface Parts {
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

/** A part of an evaluation: number `index` of `count`, from 1. The whole is 1 of 1. */
export interface Shard {
  index: number;
  count: number;
}

/** More parts than anyone has machines. */
const MOST = 10_000;

/**
 * Reads "2/5": part 2 of 5.
 *
 * @throws {ConfigError} When it is anything else.
 */
export function parseShard(text: string): Shard {
  const [, index, count] = /^(\d{1,5})\/(\d{1,5})$/.exec(text)?.map(Number) ?? [];
  if (!index || !count || index > count || count > MOST) {
    throw new ConfigError(
      `--shard ${text}: a part and the number of parts are needed.`,
      `Write it as --shard 1/4, 2/4, 3/4 and 4/4; at most ${MOST} parts.`,
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

/** The ending of work files. */
const WORK_ENDING = ".work";

/** The work file of a part, or of the whole. */
export function workPath({ parts }: EvaluationFiles, shard: Shard | null): string {
  return join(parts, (shard ? `${shard.index}_of_${shard.count}` : "whole") + WORK_ENDING);
}
