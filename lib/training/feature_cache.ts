import { Buffer } from "node:buffer";
import { createHash, randomUUID } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { crc32 } from "node:zlib";

/** Frozen outputs that are kept, by a text that stands for the image and its view. */
export interface FeatureCache {
  /** `null` when it is not kept. */
  read(key: string): Promise<Float16Array<ArrayBuffer> | null>;
  /** Keeps records as far as the budgets go. They must not be changed afterwards. */
  keep(records: ReadonlyMap<string, Float16Array<ArrayBuffer>>): Promise<void>;
  /** Why not all is kept, in words; `null` while it is. */
  refusal(): string | null;
  close(): Promise<void>;
}

/**
 * A cache in memory, where the first records that fit stay, over one on disk, which the next kernel
 * finds again.
 *
 * @param options `folder`: its name is the hash of all that the records depend on; `values`: of one
 *   record; `memoryBytes` and `diskBytes`: budgets, the latter of all such folders beside it.
 */
export async function openFeatureCache(
  { folder, values, memoryBytes, diskBytes }: {
    folder: string;
    values: number;
    memoryBytes: number;
    diskBytes: number;
  },
): Promise<FeatureCache> {
  const recordBytes = 2 * values;
  let refusal: string | null = null;
  let disk: FeatureStore | null = null;
  try {
    disk = await openFeatureStore(folder, { recordBytes, budgetBytes: diskBytes });
  } catch (error) {
    refusal = `${folder} cannot be used (${error instanceof Error ? error.message : error})`;
  }
  const memory = new Map<string, Float16Array<ArrayBuffer>>();
  const hold = (key: string, record: Float16Array<ArrayBuffer>): void => {
    if ((memory.size + 1) * recordBytes <= memoryBytes) memory.set(key, record);
  };
  return {
    read: async (key) => {
      const held = memory.get(key);
      if (held) return held;
      const bytes = await disk?.read(key);
      if (!bytes) return null;
      const record = new Float16Array(bytes.buffer);
      hold(key, record);
      return record;
    },
    keep: async (records) => {
      const beyond = new Map<string, Uint8Array<ArrayBuffer>>();
      for (const [key, record] of records) {
        hold(key, record);
        beyond.set(key, new Uint8Array(record.buffer));
      }
      refusal = await disk?.add(beyond) ?? refusal;
    },
    refusal: () => refusal,
    close: async () => await disk?.close(),
  };
}

const KEY_BYTES = 32;

/** A key and the CRC-32 of its record. */
const ENTRY_BYTES = KEY_BYTES + 4;

const FOLDER_NAME = /^[0-9a-f]{64}$/;

/**
 * Records of one size, kept on disk between kernels. Several processes may use one folder at a time:
 * each adds to a segment of its own.
 */
export interface FeatureStore {
  /** Whether a record is there. */
  has(key: string): boolean;
  /** A record; `null` when it is not there, or is damaged: then it has to be made again. */
  read(key: string): Promise<Uint8Array<ArrayBuffer> | null>;
  /**
   * Adds records, all or none; they are on the disk when the promise resolves.
   *
   * @returns Why they were not added, in words, when the budget or the disk is used up; else `null`.
   */
  add(records: ReadonlyMap<string, Uint8Array>): Promise<string | null>;
  close(): Promise<void>;
}

interface Segment {
  data: FileHandle;
  /** Records that are whole. */
  count: number;
}

interface Place {
  segment: Segment;
  index: number;
  checksum: number;
  /** The checksum has been compared. */
  verified: boolean;
}

/**
 * Opens a store, and makes room by removing the stores beside it that were not used for the longest
 * time, where the budget asks for it.
 *
 * A segment is two files: NAME.bin holds the records one after another, NAME.keys their keys and
 * checksums. Keys are written after their records, so that a kill leaves at most records that nobody
 * finds.
 *
 * @param folder Its name is the hash of all that the records depend on; made where it is missing.
 * @param options `recordBytes`: size of every record; `budgetBytes`: of all stores beside each other.
 */
export async function openFeatureStore(
  folder: string,
  { recordBytes, budgetBytes }: { recordBytes: number; budgetBytes: number },
): Promise<FeatureStore> {
  await Deno.mkdir(folder, { recursive: true });
  const now = new Date();
  await Deno.utime(folder, now, now);
  const places = new Map<string, Place>();
  const segments: Segment[] = [];
  for (const name of (await namesIn(folder)).filter((file) => file.endsWith(".keys")).sort()) {
    const segment = await readSegment(join(folder, name.slice(0, -".keys".length)), {
      recordBytes,
      places,
    });
    if (segment) segments.push(segment);
  }
  let own: { segment: Segment; keys: FileHandle } | null = null;
  let refusal: string | null = null;

  const add = async (records: ReadonlyMap<string, Uint8Array>): Promise<string | null> => {
    const fresh = [...records].filter(([key]) => !places.has(hashOf(key)));
    if (refusal !== null || fresh.length === 0) return refusal;
    if (!await makeRoom(folder, fresh.length * recordBytes, budgetBytes)) {
      return refusal = "the disk budget (training.cacheGigabytes) is used up";
    }
    try {
      own ??= await createSegment(join(folder, randomUUID()));
      const { segment, keys } = own;
      const entries = new Uint8Array(fresh.length * ENTRY_BYTES);
      const block = new Uint8Array(fresh.length * recordBytes);
      for (const [i, [key, record]] of fresh.entries()) {
        block.set(record, i * recordBytes);
        entries.set(Buffer.from(hashOf(key), "hex"), i * ENTRY_BYTES);
        new DataView(entries.buffer).setUint32(i * ENTRY_BYTES + KEY_BYTES, crc32(record));
      }
      await writeWhole(segment.data, block, segment.count * recordBytes);
      await segment.data.datasync();
      await writeWhole(keys, entries, segment.count * ENTRY_BYTES);
      for (const [key, record] of fresh) {
        const checksum = crc32(record);
        places.set(hashOf(key), { segment, index: segment.count++, checksum, verified: true });
      }
      return null;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      return refusal = `the disk takes no more (${reason})`;
    }
  };

  return {
    has: (key) => places.has(hashOf(key)),
    read: async (key) => {
      const place = places.get(hashOf(key));
      if (!place) return null;
      const record = new Uint8Array(recordBytes);
      const whole = await readWhole(place.segment.data, record, place.index * recordBytes)
        .catch(() => false);
      if (whole && (place.verified || crc32(record) === place.checksum)) {
        place.verified = true;
        return record;
      }
      places.delete(hashOf(key));
      return null;
    },
    add,
    close: async () => {
      await Promise.all(segments.map(({ data }) => data.close()));
      await own?.segment.data.close();
      await own?.keys.close();
    },
  };
}

const hashOf = (key: string): string => createHash("sha256").update(key).digest("hex");

/** Reads a segment's keys into `places`; `null` when its files are not there (any more). */
async function readSegment(
  path: string,
  { recordBytes, places }: { recordBytes: number; places: Map<string, Place> },
): Promise<Segment | null> {
  try {
    const keys = await Deno.readFile(`${path}.keys`);
    const data = await open(`${path}.bin`, "r");
    const { size } = await data.stat();
    const count = Math.min(
      Math.floor(keys.length / ENTRY_BYTES),
      Math.floor(size / recordBytes),
    );
    const segment = { data, count };
    const view = new DataView(keys.buffer, keys.byteOffset);
    for (let index = 0; index < count; index++) {
      const start = index * ENTRY_BYTES;
      const key = Buffer.from(keys.subarray(start, start + KEY_BYTES)).toString("hex");
      const checksum = view.getUint32(start + KEY_BYTES);
      places.set(key, { segment, index, checksum, verified: false });
    }
    return segment;
  } catch {
    return null; // removed by another process meanwhile, or damaged: made again
  }
}

async function createSegment(path: string): Promise<{ segment: Segment; keys: FileHandle }> {
  const data = await open(`${path}.bin`, "wx+");
  return { segment: { data, count: 0 }, keys: await open(`${path}.keys`, "wx") };
}

async function writeWhole(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}

async function readWhole(file: FileHandle, bytes: Uint8Array, position: number): Promise<boolean> {
  for (let done = 0; done < bytes.length;) {
    const { bytesRead } = await file.read(bytes, done, bytes.length - done, position + done);
    if (bytesRead === 0) return false;
    done += bytesRead;
  }
  return true;
}

/** Removes the stores beside `folder` that were unused for longest until `bytes` more fit. */
async function makeRoom(folder: string, bytes: number, budgetBytes: number): Promise<boolean> {
  const stores = await Promise.all(
    (await namesIn(dirname(folder))).filter((name) => FOLDER_NAME.test(name)).map(async (name) => {
      const path = join(dirname(folder), name);
      const { mtime } = await Deno.stat(path);
      return { path, mtime: mtime?.getTime() ?? 0, size: await sizeOf(path) };
    }),
  );
  let used = stores.reduce((sum, { size }) => sum + size, bytes);
  const others = stores.filter(({ path }) => path !== folder).sort((a, b) => a.mtime - b.mtime);
  const own = stores.find(({ path }) => path === folder)?.size ?? 0;
  if (own + bytes > budgetBytes) return false; // nothing gained by removing others
  for (const { path, size } of others) {
    if (used <= budgetBytes) break;
    await Deno.remove(path, { recursive: true });
    used -= size;
  }
  return used <= budgetBytes;
}

async function sizeOf(folder: string): Promise<number> {
  const sizes = await Promise.all(
    (await namesIn(folder)).map(async (name) => (await Deno.stat(join(folder, name))).size),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

async function namesIn(folder: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
}
