import { ImageError } from "../errors.ts";

/** Decoded images in memory, for those that are read in every epoch. */
export interface PixelCache {
  /**
   * The pixels of a file, which are the caller's own: from memory when they are there and the file
   * has not changed since, else from `decode`.
   *
   * @throws {ImageError} When the file is gone, or `decode` cannot read it.
   */
  pixels(path: string, decode: () => Promise<Uint8Array>): Promise<Uint8Array>;
  /** Images held. */
  count(): number;
}

interface Entry {
  /** Size and time of the file that was decoded. */
  version: string;
  pixels: Uint8Array;
}

/**
 * A cache of decoded images. The first ones that fit stay for good: an epoch reads every image once,
 * so that making room for one would only push out another that is needed before it.
 *
 * @param megabytes `config.training.pixelCacheMegabytes`.
 */
export function createPixelCache(megabytes: number): PixelCache {
  const entries = new Map<string, Entry>();
  let left = megabytes * 1e6;
  return {
    pixels: async (path, decode) => {
      const version = await versionOf(path);
      const held = entries.get(path);
      if (held?.version === version) return new Uint8Array(held.pixels);
      const pixels = await decode();
      left += held?.pixels.length ?? 0;
      entries.delete(path);
      if (pixels.length <= left) {
        left -= pixels.length;
        // not slice(): that of the Buffer in which pixels come is a view
        entries.set(path, { version, pixels: new Uint8Array(pixels) });
      }
      return pixels;
    },
    count: () => entries.size,
  };
}

async function versionOf(path: string): Promise<string> {
  try {
    const { size, mtime } = await Deno.stat(path);
    return `${size} ${mtime?.getTime()}`;
  } catch (cause) {
    throw new ImageError(path, "the file is not there (any more).", { cause });
  }
}
