import { createHash } from "node:crypto";
import { join, resolve } from "node:path";
import sharp from "sharp";
import { writeAll, writeAtomicWith } from "../files.ts";
import { projectRoot } from "../paths.ts";
import type { Look } from "./look_at.ts";

/** Size and times of a file when it was read: while they stay, its content does. */
export interface Stamp {
  /** In bytes. */
  size: number;
  /** Last change of the content, in milliseconds; `null` where the system does not say. */
  mtime: number | null;
  /** Last change of content, name or rights, in milliseconds; nobody can set it back. */
  ctime: number | null;
  /** When the file was asked, before it was read. */
  asked: number;
}

/** What is remembered of one image file. */
export interface CachedImage {
  /** Relative to the data folder. */
  path: string;
  stamp: Stamp;
  /** SHA-256 of the file's bytes, hexadecimal. */
  sha256: string;
  look: Look;
}

/** The modules that decide what a {@linkcode Look} holds: after a change of any, nothing is reused. */
const SOURCES = [
  "decode_bmp.ts",
  "fingerprint.ts",
  "look_at.ts",
  "measure_image.ts",
  "open_image.ts",
  "preview.ts",
  "scan_cache.ts",
  "sniff_format.ts",
];

/** Changes within so many milliseconds before a file was read may leave no trace in its times. */
const TOO_FRESH = 2000;

/**
 * Where the looks at a data folder are kept, for all runs: results/.scan_cache/. Everything in it
 * can be deleted at any time; the next scan takes longer.
 *
 * @param folder The data folder.
 */
export function scanCachePath(folder: string): string {
  const name = createHash("sha256").update(resolve(folder)).digest("hex").slice(0, 16);
  return join(projectRoot, "results", ".scan_cache", `${name}.jsonl`);
}

/**
 * Whether a file is still the one that was read: same size and times, and these old enough at that
 * time. (A change within the clock's resolution of the reading could go unnoticed; such files are
 * read again. File systems keep times to two seconds at worst.)
 */
export function isUnchanged(then: Stamp, now: Stamp): boolean {
  return then.size === now.size && then.mtime === now.mtime && then.ctime === now.ctime &&
    then.mtime !== null &&
    Math.max(then.mtime, then.ctime ?? 0) < then.asked - TOO_FRESH;
}

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
    const end = bytes.lastIndexOf(NEW_LINE, bytes.length - 2) + 1; // of all lines but the last
    const body = bytes.subarray(0, end);
    const sha256 = createHash("sha256").update(body).digest("hex");
    const [version, ...images] = linesOf(body);
    if (decodeLine(bytes.subarray(end)) !== sha256) return [];
    if (decodeLine(version!) !== await versionOf(maxMegapixels)) return [];
    return images.map((line) => decodeLine(line) as CachedImage);
  } catch {
    return []; // whatever is wrong with it: everything is looked at anew
  }
}

/**
 * Keeps the looks at a data folder, atomically: a version line, a line an image, and the SHA-256 of
 * all of them, each as JSON. A line at a time, since the whole may be larger than a text can be.
 */
export async function writeScanCache(
  path: string,
  images: Iterable<CachedImage>,
  maxMegapixels: number,
): Promise<void> {
  const version = await versionOf(maxMegapixels);
  await writeAtomicWith(path, async (file) => {
    const hash = createHash("sha256");
    let waiting: string[] = [encodeLine(version)];
    const flush = async () => {
      const bytes = new TextEncoder().encode(waiting.join(""));
      hash.update(bytes);
      waiting = [];
      await writeAll(file, bytes);
    };
    for (const image of images) {
      if (waiting.push(encodeLine(image)) >= 1000) await flush();
    }
    await flush();
    await writeAll(file, new TextEncoder().encode(encodeLine(hash.digest("hex"))));
  });
}

/** Of the code, the decoder and the limit that looks are taken with. */
async function versionOf(maxMegapixels: number): Promise<string> {
  const hash = createHash("sha256");
  for (const name of SOURCES) hash.update(await Deno.readFile(join(import.meta.dirname!, name)));
  return JSON.stringify([hash.digest("hex"), sharp.versions, maxMegapixels]);
}

const NEW_LINE = 10;

function* linesOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let start = 0; start < bytes.length;) {
    const end = bytes.indexOf(NEW_LINE, start);
    yield bytes.subarray(start, end);
    start = end + 1;
  }
}

/** JSON with byte arrays as base64, and a line break. */
function encodeLine(value: unknown): string {
  return JSON.stringify(
    value,
    (_, part) => part instanceof Uint8Array ? { base64: part.toBase64() } : part,
  ) + "\n";
}

function decodeLine(bytes: Uint8Array): unknown {
  return JSON.parse(
    new TextDecoder().decode(bytes),
    (_, part) => typeof part?.base64 === "string" ? Uint8Array.fromBase64(part.base64) : part,
  );
}
