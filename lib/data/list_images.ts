import { join } from "node:path";
import { DataError } from "../errors.ts";
import { sortCodePoints } from "./sort_code_points.ts";

const IMAGE_NAME = /\.(jpe?g|png|tiff?|bmp|webp)$/i;
const SYSTEM_NAMES = new Set(["Thumbs.db", "desktop.ini", "__MACOSX", "$RECYCLE.BIN"]);

/** What {@linkcode listImages} passed over. */
export interface Skipped {
  /** Names that begin with a dot, and files and folders that operating systems leave behind. */
  hidden: number;
  /** Symbolic links: none is followed, so no loop and no way out of the folder. */
  links: number;
  /** Files with another extension than those of images. */
  otherType: number;
}

/**
 * The images under a folder, at any depth: `.jpg .jpeg .png .tif .tiff .bmp .webp` in any case.
 *
 * @param folder May itself be a link.
 * @returns Paths relative to the folder with `/` separators, in code-point order: the same list on
 *   every machine. And how many entries were passed over.
 * @throws {DataError} When the folder, or one inside it, is missing or may not be read: its images
 *   would be lost in silence.
 */
export async function listImages(folder: string): Promise<{ paths: string[]; skipped: Skipped }> {
  const paths: string[] = [];
  const skipped: Skipped = { hidden: 0, links: 0, otherType: 0 };
  // Each folder is sorted by itself, and a folder inside it as if its name ended in a slash: one
  // after the other they then are in the order of the whole paths.
  const waiting = await listFolder(folder, "", skipped);
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    if (!path.endsWith("/")) paths.push(path);
    else for (const inner of await listFolder(folder, path, skipped)) waiting.push(inner);
  }
  return { paths, skipped };
}

/** Images and folders in one folder, the last first; folders end in a slash. */
async function listFolder(root: string, inner: string, skipped: Skipped): Promise<string[]> {
  const names: string[] = [];
  for await (const entry of readFolder(join(root, inner))) {
    if (entry.name.startsWith(".") || SYSTEM_NAMES.has(entry.name)) skipped.hidden++;
    else if (entry.isSymlink) skipped.links++;
    else if (entry.isDirectory) names.push(`${entry.name}/`);
    else if (entry.isFile && IMAGE_NAME.test(entry.name)) names.push(entry.name);
    else skipped.otherType++;
  }
  const sorted = await sortCodePoints(names);
  return sorted.reverse().map((name) => inner + name);
}

/** The entries of one folder; links are not followed. */
async function* readFolder(folder: string): AsyncGenerator<Deno.DirEntry, void, void> {
  try {
    yield* Deno.readDir(folder);
  } catch (cause) {
    const reason = cause instanceof Deno.errors.NotFound
      ? "is not there"
      : `cannot be read (${cause instanceof Error ? cause.message : String(cause)})`;
    throw new DataError(
      `The folder ${JSON.stringify(folder)} ${reason}.`,
      "Check the path and the permission to read it.",
      { cause },
    );
  }
}
