import { createHash, randomUUID } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { crc32 } from "node:zlib";
import { reasonOf } from "../core/errors.ts";
import { writeAll } from "../core/files.ts";

/** The frozen layers' outputs for one view of one image, as 16-bit floats. */
export type FeatureRecord = Float16Array<ArrayBuffer>;

/** Records by a key that names the image's content and the view. */
export interface FeatureCache {
  /** A record; `null` when it is not cached, or is damaged: then it has to be computed again. */
  read(key: string): Promise<FeatureRecord | null>;
  /** Adds records as far as the budgets allow. They must not be changed afterwards. */
  add(records: ReadonlyMap<string, FeatureRecord>): Promise<void>;
  /** Why some records are not on disk, in words; `null` while all are. */
  problem(): string | null;
  close(): Promise<void>;
}

/**
 * Opens a cache: in memory the first records that fit, below it a store on disk, which other runs
 * and later kernels find again. Several processes may use one folder at a time.
 *
 * @param options `folder`: its name is the hash of all that the records depend on; `values`: of one
 *   record; `memoryBytes` and `diskBytes`: budgets, the latter of all such folders beside it. Where
 *   it asks for room, the folders that were not used for the longest time are removed.
 */
export async function openFeatureCache(
  { folder, values, memoryBytes, diskBytes }:
    & Record<"values" | "memoryBytes" | "diskBytes", number>
    & { folder: string },
): Promise<FeatureCache> {
  const recordBytes = 2 * values;
  const memory = new Map<string, FeatureRecord>();
  const remember = (key: string, record: FeatureRecord): void => {
    if ((memory.size + 1) * recordBytes <= memoryBytes) memory.set(key, record);
  };
  let problem: string | null = null;
  const disk = await openStore(folder, recordBytes, diskBytes).catch((error: unknown) => {
    problem = `${folder} cannot be used (${reasonOf(error)})`;
    return null;
  });
  return {
    read: async (key) => {
      const record = memory.get(key) ?? await disk?.read(key) ?? null;
      if (record) remember(key, record);
      return record;
    },
    add: async (records) => {
      for (const [key, record] of records) remember(key, record);
      problem = await disk?.add(records) ?? problem;
    },
    problem: () => problem,
    close: async () => await disk?.close(),
  };
}

/** A key's SHA-256 (32 bytes), and with it the CRC-32 of its record. */
const [KEY_BYTES, ENTRY_BYTES] = [32, 36];

type Place = { reader: FileHandle; index: number; checksum: number };

/**
 * Records on disk, in segments: NAME.bin holds records one after another, NAME.keys their keys and
 * checksums. Each process adds to a segment of its own, so none has to lock, which network file
 * systems do not do reliably. Keys are written after their records, so that a kill leaves at most
 * records that nobody finds.
 */
async function openStore(folder: string, recordBytes: number, budgetBytes: number) {
  await Deno.mkdir(folder, { recursive: true });
  const now = new Date();
  await Deno.utime(folder, now, now); // used just now
  const places = new Map<string, Place>(); // by the key's hash
  const readers: FileHandle[] = [];
  for (const name of (await namesIn(folder)).filter((file) => file.endsWith(".keys")).sort()) {
    const path = join(folder, name.replace(/keys$/, ""));
    // removed by another process meanwhile, or damaged: computed again
    const reader = await readSegment(path, recordBytes, places).catch(() => null);
    if (reader) readers.push(reader);
  }
  let own: { data: Deno.FsFile; keys: Deno.FsFile; reader: FileHandle; count: number } | undefined;
  let problem: string | null = null;

  const append = async (records: (readonly [hash: string, FeatureRecord])[]): Promise<void> => {
    if (!own) {
      const path = join(folder, `${randomUUID()}.`);
      const data = await Deno.open(`${path}bin`, { write: true, createNew: true });
      const keys = await Deno.open(`${path}keys`, { write: true, createNew: true });
      own = { data, keys, reader: await open(`${path}bin`, "r"), count: 0 };
      readers.push(own.reader);
    }
    const block = new Uint8Array(records.length * recordBytes);
    const entries = new Uint8Array(records.length * ENTRY_BYTES);
    const added = new Map<string, Place>();
    for (const [i, [hash, record]] of records.entries()) {
      const bytes = new Uint8Array(record.buffer);
      const checksum = crc32(bytes);
      block.set(bytes, i * recordBytes);
      entries.set(Uint8Array.fromHex(hash), i * ENTRY_BYTES);
      new DataView(entries.buffer).setUint32(i * ENTRY_BYTES + KEY_BYTES, checksum);
      added.set(hash, { reader: own.reader, index: own.count + i, checksum });
    }
    await writeAll(own.data, block);
    await own.data.syncData();
    await writeAll(own.keys, entries);
    own.count += records.length;
    for (const [hash, place] of added) places.set(hash, place);
  };

  return {
    read: async (key: string): Promise<FeatureRecord | null> => {
      const hash = hashOf(key);
      const place = places.get(hash);
      if (!place) return null;
      const bytes = new Uint8Array(recordBytes);
      await place.reader.read(bytes, 0, recordBytes, place.index * recordBytes).catch(() => {});
      if (crc32(bytes) === place.checksum) return new Float16Array(bytes.buffer);
      places.delete(hash);
      return null;
    },
    /** Adds records, all or none, durably. @returns Why not, in words; `null`: they were added. */
    add: async (records: ReadonlyMap<string, FeatureRecord>): Promise<string | null> => {
      const hashed = [...records].map(([key, record]) => [hashOf(key), record] as const);
      const fresh = hashed.filter(([hash]) => !places.has(hash));
      if (problem !== null || fresh.length === 0) return problem;
      try {
        if (await makeRoom(folder, fresh.length * recordBytes, budgetBytes)) await append(fresh);
        else problem = "the disk budget (training.cacheGigabytes) is used up";
      } catch (error) {
        problem = `the disk takes no more (${reasonOf(error)})`;
      }
      return problem;
    },
    close: async (): Promise<void> => {
      await Promise.all(readers.map((reader) => reader.close()));
      own?.data.close();
      own?.keys.close();
    },
  };
}

const hashOf = (key: string): string => createHash("sha256").update(key).digest("hex");

/** Reads a segment's keys into `places`. @returns What reads its records. */
async function readSegment(path: string, recordBytes: number, places: Map<string, Place>) {
  const keys = await Deno.readFile(`${path}keys`);
  const reader = await open(`${path}bin`, "r");
  const { size } = await reader.stat();
  const count = Math.min(Math.floor(keys.length / ENTRY_BYTES), Math.floor(size / recordBytes));
  for (let index = 0; index < count; index++) {
    const start = index * ENTRY_BYTES;
    const checksum = new DataView(keys.buffer).getUint32(start + KEY_BYTES);
    places.set(keys.subarray(start, start + KEY_BYTES).toHex(), { reader, index, checksum });
  }
  return reader;
}

/** Removes the stores beside `folder` that were unused for longest until `bytes` more fit. */
async function makeRoom(folder: string, bytes: number, budgetBytes: number): Promise<boolean> {
  const root = dirname(folder);
  const names = (await namesIn(root)).filter((name) => /^[0-9a-f]{64}$/.test(name));
  const stores = await Promise.all(names.map(async (name) => {
    const path = join(root, name);
    const files = (await namesIn(path)).map((file) => Deno.stat(join(path, file)));
    const size = (await Promise.all(files)).reduce((sum, file) => sum + file.size, 0);
    return { path, size, used: (await Deno.stat(path)).mtime?.getTime() ?? 0 };
  }));
  let total = stores.reduce((sum, { size }) => sum + size, bytes);
  const own = stores.find(({ path }) => path === folder)?.size ?? 0;
  if (own + bytes > budgetBytes) return false; // removing others would not help
  for (const { path, size } of stores.sort((a, b) => a.used - b.used)) {
    if (total <= budgetBytes) break;
    if (path === folder) continue;
    await Deno.remove(path, { recursive: true });
    total -= size;
  }
  return total <= budgetBytes;
}

async function namesIn(folder: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
}
