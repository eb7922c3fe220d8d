import { mapAhead } from "../data/map_ahead.ts";
import { decodeImage, type DecodeOptions, DECODES_AHEAD } from "./decode.ts";

/** Some images, decoded. */
export interface Batch {
  /** 8-bit sRGB, row-major [n, size, size, 3]. */
  pixels: Uint8Array;
  /** Their files: n of them. */
  paths: string[];
}

/** Batches that are decoded ahead of the one in use. */
const AHEAD = 2;

/**
 * Decodes images into batches, ahead of the consumer. Memory holds a few batches, however many
 * images there are.
 *
 * @param paths Absolute.
 * @param options `batchSize`: images a batch; the last one holds what remains.
 * @throws {ImageError} When the turn of an image comes that cannot be decoded: no image ever becomes
 *   zeros. Batches before it are whole. A consumer that stops early leaves nothing running.
 * @example
 * ```ts
 * for await (const { pixels, paths } of batches(files, { ...decode, batchSize: 32 })) {
 *   look(pixels, paths);
 * }
 * ```
 */
export async function* batches(
  paths: readonly string[],
  { batchSize, ...options }: DecodeOptions & { batchSize: number },
): AsyncGenerator<Batch, void, void> {
  const decoded = mapAhead(
    paths,
    async (path) => (await decodeImage(path, options)).pixels,
    { inFlight: DECODES_AHEAD, ahead: AHEAD * batchSize },
  );
  const length = options.size ** 2 * 3;
  try {
    for (let start = 0; start < paths.length; start += batchSize) {
      const own = paths.slice(start, start + batchSize);
      const pixels = new Uint8Array(own.length * length); // [n, size, size, 3]
      for (const i of own.keys()) {
        const { value } = await decoded.next();
        pixels.set(value!, i * length);
      }
      yield { pixels, paths: own };
    }
  } finally {
    await decoded.return();
  }
}
