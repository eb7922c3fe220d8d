import { createHash } from "node:crypto";
import { join } from "node:path";
import { DataError } from "../core/errors.ts";
import { breathe, type OnProgress, type StopRequested, throwIfStopped } from "../core/stop.ts";
import { describeSkipped, listImages, type Skipped } from "../data/list.ts";

/** The images of a folder, as they were when it was listed. */
export interface Listing {
  /** Paths relative to the folder, in code-point order. */
  names: string[];
  /** SHA-256 of all names, sizes and times of change: tells whether the folder is still the same. */
  sha256: string;
  skipped: Skipped;
  /** Real paths of the folders elsewhere that links led to. */
  outside: readonly string[];
}

/** How to follow links, in words. */
export const HOW_TO_FOLLOW = "evaluation.followLinks: true, or --follow-links";

/** Files that are looked at between two breaths. */
const AT_A_TIME = 512;

/**
 * Lists a folder of new images. Memory holds the names: about 0.1 kB an image.
 *
 * @param options.folder Absolute path.
 * @param options.followLinks `config.evaluation.followLinks`.
 * @param options.onProgress Told now and then, in large folders alone.
 * @throws {DataError} When the folder is missing or holds no image.
 * @throws {StoppedError} When the person has asked to stop.
 */
export async function listFolder(
  { folder, followLinks = false, onProgress }: {
    folder: string;
    followLinks?: boolean | undefined;
    onProgress?: OnProgress | undefined;
  },
  stopRequested: StopRequested,
): Promise<Listing> {
  const { paths: names, skipped, outside } = await listImages(folder, { followLinks });
  if (names.length === 0) throw noImage(folder, skipped, followLinks);
  const hash = createHash("sha256");
  for (let start = 0; start < names.length; start += AT_A_TIME) {
    const some = names.slice(start, start + AT_A_TIME);
    for (const name of some) hash.update(`${name}\0${sizeAndTime(join(folder, name))}\0`);
    if (names.length <= AT_A_TIME) break;
    const done = start + some.length;
    throwIfStopped(stopRequested);
    onProgress?.(done, names.length, "", {
      place: `${done.toLocaleString("en-GB")} files looked at`,
      unit: "files",
    });
    await breathe();
  }
  return { names, sha256: hash.digest("hex"), skipped, outside };
}

function noImage(folder: string, skipped: Skipped, followLinks: boolean): DataError {
  const passedOver = describeSkipped(skipped);
  return new DataError(
    `There is no image in ${JSON.stringify(folder)}${passedOver && ` (${passedOver})`}.`,
    "Name a folder that holds .png, .jpg, .tif, .bmp or .webp files, at any depth" +
      (skipped.links > 0 && !followLinks ? `, or follow its links: ${HOW_TO_FOLLOW}.` : "."),
  );
}

/** Asked without waiting: a million asynchronous questions take minutes. */
function sizeAndTime(path: string): string {
  try {
    const { size, mtime } = Deno.statSync(path);
    return `${size} ${mtime?.getTime()}`;
  } catch {
    return "cannot be looked at"; // reading it will say why
  }
}
