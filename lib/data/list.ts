import { realpath, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { DataError, reasonOf } from "../core/errors.ts";
import { namesBetween } from "../core/files.ts";
import { breathe } from "../core/long_work.ts";
import { compareCodePoints } from "../core/words.ts";

const IMAGE_NAME = /\.(jpe?g|png|tiff?|bmp|webp)$/i;

const SYSTEM_NAMES = new Set(["Thumbs.db", "desktop.ini", "__MACOSX", "$RECYCLE.BIN"]);

/** How many entries {@linkcode listImages} passed over. */
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

/** What was passed over: "2 links, 1 file of another type not looked at"; empty: nothing was. */
export function describeSkipped({ hidden, links, otherType }: Skipped): string {
  const parts = [
    [links, "link", "links"],
    [otherType, "file of another type", "files of other types"],
    [hidden, "hidden file", "hidden files"],
  ] as const;
  const some = parts.filter(([n]) => n > 0).map(([n, one, many]) => `${n} ${n === 1 ? one : many}`);
  return some.length === 0 ? "" : `${some.join(", ")} not looked at`;
}

/**
 * The images under a folder, at any depth: `.jpg .jpeg .png .tif .tiff .bmp .webp` in any case.
 *
 * @param folder May itself be a link.
 * @param options.followLinks Lists what symbolic links lead to as well, under the links' names, but
 *   no folder twice. By default none is followed: no loop, no way out of the folder.
 * @returns `paths` relative to the folder with `/` separators, in code-point order: the same on every
 *   machine; `outside`: real paths of the folders elsewhere that links led to.
 * @throws {DataError} When the folder, or one inside it, is missing or may not be read: its images
 *   would be lost in silence.
 */
export async function listImages(
  folder: string,
  { followLinks = false }: { followLinks?: boolean } = {},
): Promise<{ paths: string[]; skipped: Skipped; outside: readonly string[] }> {
  const paths: string[] = [];
  const skipped: Skipped = { hidden: 0, links: 0, otherType: 0 };
  const links = followLinks ? await createLinkFollower(folder) : null;
  const list = async (inner: string): Promise<void> => {
    const path = join(folder, inner);
    if (links && !await links.enter(path)) {
      skipped.links++;
      return;
    }
    const names: string[] = [];
    for await (const { name, isSymlink, isDirectory, isFile } of readFolder(path)) {
      if (isPassedOver(name)) {
        skipped.hidden++;
        continue;
      }
      const kind = isSymlink
        ? await links?.kindOf(join(path, name)) ?? "link"
        : isDirectory
        ? "folder"
        : isFile
        ? "file"
        : "other";
      if (kind === "link") skipped.links++;
      else if (kind === "other" || !isListed(name, kind)) skipped.otherType++;
      else names.push(kind === "folder" ? `${name}/` : name);
    }
    // a folder sorts as if its name ended in a slash, so that whole paths come in order
    for (const name of await sortCodePoints(names)) {
      if (name.endsWith("/")) await list(inner + name);
      else paths.push(inner + name);
    }
  };
  await list("");
  return { paths, skipped, outside: links?.outside ?? [] };
}

/** Whether a name is that of a hidden file or folder, or of one that operating systems leave. */
const isPassedOver = (name: string) => name.startsWith(".") || SYSTEM_NAMES.has(name);

/** Whether a file or folder of this name is listed where it lies. */
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
      : `cannot be read (${reasonOf(cause)})`;
    throw new DataError(
      `The folder ${JSON.stringify(folder)} ${reason}.`,
      "Check the path and the permission to read it.",
      { cause },
    );
  }
}

/**
 * Follows links so that every folder is entered once and under one name: what the folder holds
 * itself keeps its own name, and neither a loop nor many links to one place add anything. What the
 * folder does not list, as in hidden folders of tools that store files by their content, is reached
 * through links alone.
 */
async function createLinkFollower(root: string) {
  // what cannot be resolved keeps its name: reading it tells what is wrong
  const real = (path: string) => realpath(path).catch(() => path);
  const home = await real(root);
  const entered = new Set<string>();
  const outside: string[] = [];
  const isListedAtHome = (target: string, kind: "file" | "folder"): boolean => {
    const way = namesBetween(home, target);
    return way !== null &&
      way.every((name, i) => isListed(name, i === way.length - 1 ? kind : "folder"));
  };
  return {
    /** Real paths of the folders that links led to. */
    outside,
    /**
     * What a link counts as. `link`: it leads to what the folder holds and lists anyway, to a folder
     * around it (a loop), or to a device or pipe, which may have no end. One that leads nowhere
     * counts as a file: reading it tells what is wrong.
     */
    kindOf: async (path: string): Promise<"file" | "folder" | "link"> => {
      const info = await stat(path).catch(() => null);
      if (info === null) return "file";
      const target = await real(path);
      const kind = info.isDirectory() ? "folder" : info.isFile() ? "file" : "link";
      if (kind === "link" || isListedAtHome(target, kind)) return "link";
      return kind === "folder" && namesBetween(target, home) !== null ? "link" : kind;
    },
    /** Whether a folder was not entered before, by whatever name. Remembers it. */
    enter: async (path: string): Promise<boolean> => {
      const [target, parent] = [await real(path), await real(dirname(path))];
      if (entered.has(target)) return false;
      entered.add(target);
      if (dirname(target) !== parent && target !== home) outside.push(target);
      return true;
    },
  };
}

/** Texts that are sorted or merged between two breaths: some ten milliseconds of work. */
const AT_A_TIME = 8192;

/**
 * Texts in code-point order, as {@linkcode compareCodePoints} has it. A merge sort that lets progress
 * and signals through: a million names in one folder take seconds.
 */
export async function sortCodePoints(texts: readonly string[]): Promise<string[]> {
  if (texts.length <= AT_A_TIME) return texts.toSorted(compareCodePoints);
  const half = texts.length >> 1;
  const a = await sortCodePoints(texts.slice(0, half));
  const b = await sortCodePoints(texts.slice(half));
  const merged: string[] = [];
  for (let [i, j] = [0, 0]; i < a.length || j < b.length;) {
    if (merged.length % AT_A_TIME === 0) await breathe();
    const fromA = j === b.length || (i < a.length && compareCodePoints(a[i]!, b[j]!) <= 0);
    merged.push(fromA ? a[i++]! : b[j++]!);
  }
  return merged;
}
