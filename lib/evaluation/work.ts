import { createHash } from "node:crypto";
import { dirname } from "node:path";
import { z } from "zod";
import { DataError } from "../core/errors.ts";
import { readAll, writeAll } from "../core/files.ts";
import type { Flag } from "../model/reference.ts";

/** Images that are computed together. Other batches could change the last digit of a probability. */
export const BATCH_SIZE = 32;

/** How many batches a folder of so many images has. */
export function batchCount(images: number): number {
  return Math.ceil(images / BATCH_SIZE);
}

/** What the model computed for an image, before calibration and threshold. */
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

/** What became of an image: classified, or why it could not be. */
export type StoredImage = ClassifiedImage | {
  error: string;
  /** The file could not be reached, as opposed to understood: another try may do better. */
  retry: boolean;
};

/** Results that can be read batch by batch. */
export interface Source {
  /** Whether the results of this batch are there. */
  has(batch: number): boolean;
  /**
   * Reads a batch that is there.
   *
   * @throws {DataError} When the file has changed since it was opened.
   */
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
    const found = readWork(file);
    const { batches, identity: earlier } = found;
    const restarted = earlier === null
      ? found.size === 0 ? null : "damaged"
      : earlier.model !== identity.model
      ? "model"
      : earlier.listing !== identity.listing
      ? "folder"
      : null;
    const isNew = restarted !== null || earlier === null;
    if (isNew) batches.clear();
    else for (const batch of found.retry) batches.delete(batch);
    let end = isNew ? 0 : found.end;
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
    if (isNew) await append({ format: WORK_FORMAT, ...identity });
    return {
      restarted,
      ...sourceOf(file, path, batches),
      append: async (batch, images) => {
        batches.set(batch, await append([batch, images]));
      },
      close: async () => {
        try {
          await file.syncData();
        } finally {
          file.close();
        }
      },
    };
  } catch (error) {
    file.close();
    throw error;
  }
}

/** Where a line is in its file, in bytes; the line break counts. */
interface Line {
  offset: number;
  length: number;
}

/** What a work file holds. */
export interface WorkContent {
  /** `null`: the file is empty or its first line is damaged. */
  identity: WorkIdentity | null;
  /** By number of the batch in the whole folder, from 0. */
  batches: Map<number, Line>;
  /** Batches with an image whose file could not be reached. */
  retry: Set<number>;
  /** Where the last whole line ends, in bytes: what comes after it was cut short by a kill. */
  end: number;
  /** Of the file, in bytes. */
  size: number;
}

/** Reads a work file from its beginning to its end or its first damaged line. */
export function readWork(file: Deno.FsFile): WorkContent {
  const { size } = file.statSync();
  const content: WorkContent = {
    ...{ identity: null, batches: new Map(), retry: new Set(), end: 0, size },
  };
  for (const { bytes, offset } of readLines(file)) {
    const value = lineValue(bytes);
    if (value === undefined) break;
    if (offset === 0) {
      const { data } = identitySchema.safeParse(value);
      if (!data) break;
      const { format: _, ...identity } = data;
      content.identity = identity;
    } else {
      const [batch, images] = value as [number, StoredImage[]];
      content.batches.set(batch, { offset, length: bytes.length });
      if (images.some((image) => "error" in image && image.retry)) content.retry.add(batch);
      else content.retry.delete(batch);
    }
    content.end = offset + bytes.length;
  }
  return content;
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

/** The batches of a work file that {@linkcode readWork} found. */
export function sourceOf(
  file: Deno.FsFile,
  path: string,
  batches: ReadonlyMap<number, Line>,
): Source {
  return {
    has: (batch) => batches.has(batch),
    read: async (batch) => {
      const { offset, length } = batches.get(batch)!;
      const bytes = new Uint8Array(length);
      await file.seek(offset, Deno.SeekMode.Start);
      await readAll(file, bytes);
      const value = lineValue(bytes);
      if (value === undefined) {
        throw new DataError(`${path} has been changed meanwhile.`, "Run the evaluation again.");
      }
      return (value as [number, StoredImage[]])[1];
    },
  };
}

/** Bytes of the check sum of a line. */
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
