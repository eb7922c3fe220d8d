import { join } from "node:path";
import { ImageError } from "../errors.ts";
import { sha256Of } from "../files.ts";
import type { OnProgress } from "../progress.ts";
import { type Look, lookAt } from "./look_at.ts";
import { mapAhead } from "./map_ahead.ts";
import { DECODES_IN_FLIGHT, readImageFile } from "./open_image.ts";
import {
  type CachedImage,
  isUnchanged,
  readScanCache,
  type Stamp,
  writeScanCache,
} from "./scan_cache.ts";

/** An image file after it was read. */
export interface ReadImage {
  /** SHA-256 of the file's bytes, hexadecimal; empty when it could not be read. */
  sha256: string;
  /** `null` when it could not be decoded. */
  look: Look | null;
  /** Why it could not be decoded; else empty. */
  error: string;
}

/**
 * Reads and decodes image files, several side by side on all cores, or remembers them: a file whose
 * size and times are as before is not opened, and one with the same bytes as a file seen before,
 * touched, moved or renamed, is not decoded.
 *
 * @param folder Absolute.
 * @param paths Relative to `folder`.
 * @param options `maxMegapixels`: larger images are refused; `cachePath`: from `scanCachePath`, or
 *   `null` to read everything anew.
 * @returns In the order of `paths`. The same with a cache and without.
 */
export async function readImages(
  folder: string,
  paths: readonly string[],
  { maxMegapixels, cachePath, onProgress }: {
    maxMegapixels: number;
    cachePath: string | null;
    onProgress: OnProgress;
  },
): Promise<ReadImage[]> {
  const known = cachePath === null ? [] : await readScanCache(cachePath, maxMegapixels);
  const memory = new Map(known.map((image) => [image.path, image]));
  const contents = new Map(known.map(({ sha256, look }) => [sha256, look]));
  let isStale = false;
  const read = async (path: string): Promise<ReadImage> => {
    const stamp = await stampOf(join(folder, path));
    const before = memory.get(path);
    if (before && stamp && isUnchanged(before.stamp, stamp)) return { ...before, error: "" };
    const now = await readImage(join(folder, path), maxMegapixels, contents);
    if (now.look && stamp) {
      memory.set(path, { path, stamp, sha256: now.sha256, look: now.look });
      isStale = true;
    }
    return now;
  };

  const images: ReadImage[] = [];
  const pace = { inFlight: DECODES_IN_FLIGHT, ahead: 4 * DECODES_IN_FLIGHT };
  try {
    for await (const image of mapAhead(paths, read, pace)) {
      images.push(image);
      onProgress(images.length, paths.length, paths[images.length - 1]);
    }
  } finally {
    if (cachePath !== null && (isStale || memory.size > paths.length)) {
      const present = new Set(paths);
      await keep(cachePath, memory.values().filter(({ path }) => present.has(path)), maxMegapixels);
    }
  }
  return images;
}

async function readImage(
  path: string,
  maxMegapixels: number,
  contents: ReadonlyMap<string, Look>,
): Promise<ReadImage> {
  let sha256 = "";
  try {
    const bytes = await readImageFile(path, maxMegapixels);
    sha256 = await sha256Of(bytes);
    const look = contents.get(sha256) ?? await lookAt(bytes, path, maxMegapixels);
    return { sha256, look, error: "" };
  } catch (error) {
    if (!(error instanceof ImageError)) throw error;
    return { sha256, look: null, error: error.reason };
  }
}

/** `null` when the file cannot be asked: reading it says why. */
async function stampOf(path: string): Promise<Stamp | null> {
  try {
    const asked = Date.now();
    const { size, mtime, ctime } = await Deno.stat(path);
    return { size, mtime: mtime?.getTime() ?? null, ctime: ctime?.getTime() ?? null, asked };
  } catch {
    return null;
  }
}

/** A cache that cannot be written (a full disk, a folder that is read-only) costs time, no result. */
async function keep(
  path: string,
  images: Iterable<CachedImage>,
  maxMegapixels: number,
): Promise<void> {
  await writeScanCache(path, images, maxMegapixels).catch(() => {});
}
