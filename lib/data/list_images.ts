import { join } from "node:path";
import { DataError } from "../errors.ts";
import { createLinkFollower, type EntryKind, type LinkFollower } from "./link_follower.ts";
import { sortCodePoints } from "./sort_code_points.ts";

const IMAGE_NAME = /\.(jpe?g|png|tiff?|bmp|webp)$/i;
const SYSTEM_NAMES = new Set(["Thumbs.db", "desktop.ini", "__MACOSX", "$RECYCLE.BIN"]);

/** What {@linkcode listImages} passed over. */
export interface Skipped {
  /** Names that begin with a dot, and files and folders that operating systems leave behind. */
  hidden: number;
  /**
   * Symbolic links that were not followed: all of them, unless following is asked for; then those
   * to what is listed anyway, and to devices and pipes.
   */
  links: number;
  /** Files with another extension than those of images. */
  otherType: number;
}

/** The images of a folder. */
export interface ImageList {
  /** Relative to the folder with `/` separators, in code-point order: the same on every machine. */
  paths: string[];
  /** How many entries were passed over. */
  skipped: Skipped;
  /** Real paths of the folders elsewhere that links led to. */
  outside: readonly string[];
}

/**
 * The images under a folder, at any depth: `.jpg .jpeg .png .tif .tiff .bmp .webp` in any case.
 *
 * @param folder May itself be a link.
 * @param options.followLinks Lists what symbolic links lead to as well, under the links' names, but
 *   no folder twice. By default none is followed: no loop, no way out of the folder.
 * @throws {DataError} When the folder, or one inside it, is missing or may not be read: its images
 *   would be lost in silence.
 */
export async function listImages(
  folder: string,
  { followLinks = false }: { followLinks?: boolean } = {},
): Promise<ImageList> {
  const paths: string[] = [];
  const skipped: Skipped = { hidden: 0, links: 0, otherType: 0 };
  const links = followLinks ? await createLinkFollower(folder, isListed) : null;
  // Each folder is sorted by itself, and a folder inside it as if its name ended in a slash: one
  // after the other they then are in the order of the whole paths.
  const waiting = await listFolder(folder, "", skipped, links);
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    if (!path.endsWith("/")) paths.push(path);
    else for (const inner of await listFolder(folder, path, skipped, links)) waiting.push(inner);
  }
  return { paths, skipped, outside: links?.outside ?? [] };
}

/** Images and folders in one folder, the last first; folders end in a slash. */
async function listFolder(
  root: string,
  inner: string,
  skipped: Skipped,
  links: LinkFollower | null,
): Promise<string[]> {
  const names: string[] = [];
  const folder = join(root, inner);
  if (links && !await links.enter(folder)) {
    skipped.links++;
    return names;
  }
  for await (const entry of readFolder(folder)) {
    if (isPassedOver(entry.name)) {
      skipped.hidden++;
      continue;
    }
    const kind = entry.isSymlink && links
      ? await links.kindOf(join(folder, entry.name))
      : kindOf(entry);
    if (kind === "link") skipped.links++;
    else if (kind === "folder") names.push(`${entry.name}/`);
    else if (kind === "file" && IMAGE_NAME.test(entry.name)) names.push(entry.name);
    else skipped.otherType++;
  }
  const sorted = await sortCodePoints(names);
  return sorted.reverse().map((name) => inner + name);
}

function kindOf({ isSymlink, isDirectory, isFile }: Deno.DirEntry): EntryKind {
  return isSymlink ? "link" : isDirectory ? "folder" : isFile ? "file" : "other";
}

function isPassedOver(name: string): boolean {
  return name.startsWith(".") || SYSTEM_NAMES.has(name);
}

function isListed(name: string, kind: "file" | "folder"): boolean {
  return !isPassedOver(name) && (kind === "folder" || IMAGE_NAME.test(name));
}

/** The entries of one folder; links are not followed. */
async function* readFolder(folder: string): AsyncGenerator<Deno.DirEntry, void, void> {
  try {
    yield* Deno.readDir(folder);
  } catch (cause) {
    const reason = cause instanceof Deno.errors.NotFound
      ? "is not there"
      : cause instanceof Deno.errors.NotADirectory
      ? "is a file, and the folder that holds the images is needed"
      : `cannot be read (${cause instanceof Error ? cause.message : String(cause)})`;
    throw new DataError(
      `The folder ${JSON.stringify(folder)} ${reason}.`,
      "Check the path and the permission to read it.",
      { cause },
    );
  }
}
