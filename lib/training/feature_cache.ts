import { type FeatureStore, openFeatureStore } from "./feature_store.ts";

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
