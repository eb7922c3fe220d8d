import { dirname } from "node:path";
import { DataError } from "../errors.ts";
import { writeAll } from "../files.ts";
import { batchLine, identityLine, type StoredImage, type WorkIdentity } from "./work_format.ts";
import { indexWork, type LinePlace, readBatch } from "./work_index.ts";

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
