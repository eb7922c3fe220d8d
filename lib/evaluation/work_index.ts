import { DataError } from "../errors.ts";
import { readAll } from "../files.ts";
import {
  parseBatch,
  parseIdentity,
  type StoredBatch,
  type StoredImage,
  type WorkIdentity,
} from "./work_format.ts";

/** Images that are computed together. Other batches could change the last digit of a probability. */
export const BATCH_SIZE = 32;

/** How many batches a folder of so many images has. */
export function batchCount(images: number): number {
  return Math.ceil(images / BATCH_SIZE);
}

/** Where a batch's line is in its file. */
export interface LinePlace {
  /** In bytes. */
  offset: number;
  /** In bytes, without the line break. */
  length: number;
}

/** What a work file holds. */
export interface WorkIndex {
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
export async function indexWork(file: Deno.FsFile): Promise<WorkIndex> {
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
export async function readBatch(
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
