import { createHash } from "node:crypto";
import { join, resolve } from "node:path";
import sharp from "sharp";
import { ImageError } from "../core/errors.ts";
import { sha256Of, writeAll, writeAtomicWith } from "../core/files.ts";
import { mapAhead, type OnProgress } from "../core/long_work.ts";
import { projectRoot } from "../core/paths.ts";
import { type Look, lookAt } from "./look.ts";
import { DECODES_IN_FLIGHT, readImageFile } from "./open_image.ts";

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
 *   `null` to read every file. What has been read is kept there even when the work is stopped.
 * @returns In the order of `paths`. The same with a cache and without.
 */
export async function readImages(
  folder: string,
  paths: readonly string[],
  options: { maxMegapixels: number; cachePath: string | null; onProgress: OnProgress },
): Promise<ReadImage[]> {
  const { maxMegapixels, cachePath, onProgress } = options;
  const known = cachePath === null ? [] : await readScanCache(cachePath, maxMegapixels);
  const memory = new Map(known.map((image) => [image.path, image]));
  const contents = new Map(known.map(({ sha256, look }) => [sha256, look]));
  let isStale = false;
  const read = async (path: string): Promise<ReadImage> => {
    const stamp = await stampOf(join(folder, path));
    const before = memory.get(path);
    if (before && stamp !== null && before.stamp === stamp) {
      return { sha256: before.sha256, look: before.look, error: "" };
    }
    const { sha256, look, error } = await readImage(join(folder, path), maxMegapixels, contents);
    if (look) {
      memory.set(path, { path, stamp, sha256, look });
      isStale = true;
    }
    return { sha256, look, error };
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
      const kept = [...memory.values()].filter(({ path }) => present.has(path));
      // a cache that cannot be written costs the next scan time, and nothing else
      await writeScanCache(cachePath, kept, maxMegapixels).catch(() => {});
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

/** Changes within this many milliseconds before a file was read may leave no trace in its times. */
const TOO_FRESH = 2000;

/**
 * Size and times of a file: while they stay the same, so does its content. A program can set the
 * time of the last change of the content, but not that of the last change of content, name or rights.
 *
 * @returns `null` for a file that was changed so lately that another change could go unnoticed (file
 *   systems keep times to two seconds at worst), or that has no times: it is read again.
 */
async function stampOf(path: string): Promise<string | null> {
  const now = Date.now();
  const info = await Deno.stat(path).catch(() => null);
  if (!info?.mtime) return null;
  const [mtime, ctime] = [info.mtime.getTime(), info.ctime?.getTime() ?? 0];
  return Math.max(mtime, ctime) < now - TOO_FRESH ? [info.size, mtime, ctime].join() : null;
}

/** What is remembered of one image file: a line of the cache. */
export interface CachedImage extends Pick<ReadImage, "sha256"> {
  /** Relative to the data folder. */
  path: string;
  /** See `stampOf`. */
  stamp: string | null;
  look: Look;
}

/**
 * Where the looks at a data folder are kept, for all runs: results/.scan_cache/. Everything in it
 * can be deleted at any time; the next scan takes longer.
 *
 * A version line, a line an image, and the SHA-256 of all of them, each as JSON. (SQLite takes three
 * to seven times as long to write 100,000 rows, returns a row with a changed byte without a word, and
 * relies on locks that network file systems may lack.)
 *
 * @param folder The data folder.
 */
export function scanCachePath(folder: string): string {
  const name = createHash("sha256").update(resolve(folder)).digest("hex").slice(0, 16);
  return join(projectRoot, "results", ".scan_cache", `${name}.jsonl`);
}

const NEW_LINE = 10;

/**
 * Reads what an earlier scan kept.
 *
 * @param maxMegapixels Looks taken under another limit do not count.
 * @returns Nothing when the file is missing, damaged in a single byte, or of another version of this
 *   code or its decoder: the cache saves time and never decides a result.
 */
export async function readScanCache(path: string, maxMegapixels: number): Promise<CachedImage[]> {
  try {
    const bytes = await Deno.readFile(path);
    const parse = (start: number, end: number) =>
      JSON.parse(new TextDecoder().decode(bytes.subarray(start, end)));
    const end = bytes.lastIndexOf(NEW_LINE, bytes.length - 2) + 1; // of all lines but the last
    const sha256 = createHash("sha256").update(bytes.subarray(0, end)).digest("hex");
    if (parse(end, bytes.length) !== sha256) return [];
    const lines: CachedImage[] = [];
    for (let start = 0; start < end; start = bytes.indexOf(NEW_LINE, start) + 1) {
      lines.push(parse(start, bytes.indexOf(NEW_LINE, start)));
    }
    const version: unknown = lines.shift();
    return version === await versionOf(maxMegapixels) ? lines : [];
  } catch {
    return []; // whatever is wrong with it: every image is read again
  }
}

/**
 * Keeps the looks at a data folder, atomically. Some lines at a time, since the whole may be larger
 * than a text can be.
 */
export async function writeScanCache(
  path: string,
  images: readonly CachedImage[],
  maxMegapixels: number,
): Promise<void> {
  const lines = [await versionOf(maxMegapixels), ...images];
  const encode = (values: readonly unknown[]) =>
    new TextEncoder().encode(values.map((value) => `${JSON.stringify(value)}\n`).join(""));
  await writeAtomicWith(path, async (file) => {
    const hash = createHash("sha256");
    for (let start = 0; start < lines.length; start += 1000) {
      const bytes = encode(lines.slice(start, start + 1000));
      hash.update(bytes);
      await writeAll(file, bytes);
    }
    await writeAll(file, encode([hash.digest("hex")]));
  });
}

/** The modules that decide what a {@linkcode Look} holds: after a change of any, nothing is reused. */
const SOURCES = ["look.ts", "open_image.ts", "read_images.ts"];

/** Of the code, the decoder and the limit that looks are taken with. */
async function versionOf(maxMegapixels: number): Promise<string> {
  const hash = createHash("sha256");
  for (const name of SOURCES) hash.update(await Deno.readFile(join(import.meta.dirname!, name)));
  return JSON.stringify([hash.digest("hex"), sharp.versions, maxMegapixels]);
}
