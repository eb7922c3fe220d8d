import { mapAhead } from "../data/map_ahead.ts";
import { createRandom } from "../random.ts";
import { decodeImage, type DecodeOptions, DECODES_AHEAD } from "./decode.ts";

/** An image to learn from or to score. */
export interface BatchItem {
  /** Absolute path. */
  path: string;
  /** Class index. */
  label: number;
  /** SHA-256 of the file's content, in hexadecimal; where given, other content is an error. */
  sha256?: string;
}

/** Some images, decoded. */
export interface Batch {
  /** 8-bit sRGB, row-major [n, size, size, 3]. */
  pixels: Uint8Array;
  /** Class indices: [n]. */
  labels: Int32Array;
  /** Where the images are in the list of items: n of them. */
  indices: number[];
}

/** How to make batches. */
export interface BatchOptions extends DecodeOptions {
  /** Images a batch; the last batch holds what remains. */
  batchSize: number;
  /** Indices of the items, in the order wanted; by default all, as they come. */
  order?: readonly number[];
  /** Batches that are decoded ahead of the one in use. */
  prefetch?: number;
}

/**
 * Decodes images into batches, ahead of the consumer. Memory holds a few batches, however many
 * images there are.
 *
 * @throws {ImageError} When the turn of an image comes that cannot be decoded: no image ever becomes
 *   zeros. Batches before it are whole. A consumer that stops early leaves nothing running.
 * @example
 * ```ts
 * const order = epochOrder(items.length, config.seed, epoch);
 * for await (const { pixels, labels } of batches(items, { ...decode, batchSize, order })) {
 *   step(pixels, labels);
 * }
 * ```
 */
export async function* batches(
  items: readonly BatchItem[],
  {
    batchSize,
    order = [...items.keys()],
    prefetch = 2,
    ...options
  }: BatchOptions,
): AsyncGenerator<Batch, void, void> {
  const decoded = mapAhead(
    order,
    async (index) => {
      const { path, sha256 } = items[index]!;
      return (await decodeImage(path, options, sha256)).pixels;
    },
    { inFlight: DECODES_AHEAD, ahead: Math.max(1, prefetch) * batchSize },
  );
  const length = options.size ** 2 * 3;
  try {
    for (let start = 0; start < order.length; start += batchSize) {
      const indices = order.slice(start, start + batchSize);
      const pixels = new Uint8Array(indices.length * length); // [n, size, size, 3]
      for (const i of indices.keys()) {
        const { value } = await decoded.next();
        pixels.set(value!, i * length);
      }
      yield { pixels, labels: Int32Array.from(indices, (i) => items[i]!.label), indices };
    }
  } finally {
    await decoded.return();
  }
}

/**
 * The order of an epoch's images: another one each epoch, the same each time for the same seed.
 *
 * @param n Number of images.
 * @param epoch From 0.
 * @returns The integers 0 to n − 1, shuffled.
 */
export function epochOrder(n: number, seed: number, epoch: number): number[] {
  return createRandom(`${seed}/epoch/${epoch}`).shuffle(Array.from({ length: n }, (_, i) => i));
}
