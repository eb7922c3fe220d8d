import { join } from "node:path";
import { DataError } from "../errors.ts";
import { describeSkipped } from "./describe_skipped.ts";
import { listImages, type Skipped } from "./list_images.ts";

/** The images of one class folder. */
export interface ClassFolder {
  label: string;
  /** Relative to the data folder: the class folder's name is their first part. */
  paths: string[];
  skipped: Skipped;
}

/**
 * Lists the images of every class folder of a data folder. Other folders (new images, notes) may
 * lie beside them.
 *
 * @param options.followLinks `config.data.followLinks`; the class folders may be links anyway.
 * @param options.optional Class folders may be missing or empty, since labels.csv brings labels.
 * @throws {DataError} When the data folder or a class folder is missing or holds no image, or when a
 *   folder beside them has nearly the name of a class: its images would be left out in silence.
 */
export async function listClassFolders(
  folder: string,
  classes: readonly string[],
  { optional = false, followLinks = false }: { optional?: boolean; followLinks?: boolean } = {},
): Promise<ClassFolder[]> {
  const present = await foldersIn(folder);
  if (optional) {
    const own = classes.filter((label) => present.includes(label));
    return await Promise.all(own.map((label) => readClassFolder(folder, label, followLinks)));
  }
  const missing = classes.filter((label) => !present.includes(label));
  const others = present.filter((name) => !classes.includes(name));
  if (missing.length > 0) {
    throw new DataError(
      `${quote(folder)} lacks the class folder${missing.length > 1 ? "s" : ""} ` +
        `${missing.map(quote).join(" and ")}. ` +
        (others.length > 0
          ? `It holds ${others.slice(0, 10).map(quote).join(", ")}.`
          : "It holds no other folder."),
      "Put the images of each class into a folder of that name, or set data.classes to the names " +
        "of your folders (the negative class first).",
    );
  }
  const misspelt = others.find((name) => classes.some((label) => isAlike(name, label)));
  if (misspelt !== undefined) {
    throw new DataError(
      `${quote(misspelt)} in ${
        quote(folder)
      } looks like a class folder with a misspelt name; its ` +
        "images would be left out.",
      "Move its images into the class folder, or rename it or move it elsewhere.",
    );
  }
  return await Promise.all(classes.map((label) => listClassFolder(folder, label, followLinks)));
}

async function readClassFolder(
  folder: string,
  label: string,
  followLinks: boolean,
): Promise<ClassFolder> {
  const { paths, skipped } = await listImages(join(folder, label), { followLinks });
  return { label, paths: paths.map((path) => `${label}/${path}`), skipped };
}

async function listClassFolder(
  folder: string,
  label: string,
  followLinks: boolean,
): Promise<ClassFolder> {
  const listed = await readClassFolder(folder, label, followLinks);
  const { paths, skipped } = listed;
  if (paths.length === 0) {
    throw new DataError(
      `The class folder ${quote(join(folder, label))} holds no images` +
        `${skipped.links + skipped.otherType > 0 ? ` (${describeSkipped(skipped)})` : ""}.`,
      "Put .jpg, .png, .tif, .bmp or .webp files into it" +
        (skipped.links > 0 && !followLinks ? ", or set data.followLinks: true" : "") +
        ": learning needs examples of every class.",
    );
  }
  return listed;
}

async function foldersIn(folder: string): Promise<string[]> {
  const names: string[] = [];
  try {
    for await (const { name, isFile } of Deno.readDir(folder)) {
      if (isFile || name.startsWith(".")) continue;
      if ((await Deno.stat(join(folder, name)).catch(() => null))?.isDirectory) names.push(name);
    }
  } catch (cause) {
    throw new DataError(
      `The data folder ${quote(folder)} cannot be read: ` +
        `${cause instanceof Error ? cause.message : String(cause)}.`,
      "Set data.folder (or --data) to the folder that holds one folder per class.",
      { cause },
    );
  }
  return names.sort();
}

/** Equal but for case, spaces and punctuation, or up to two typing errors in a long name. */
function isAlike(name: string, label: string): boolean {
  const [a, b] = [name, label].map((text) => text.toLowerCase().replace(/[^\p{L}\p{N}]/gu, ""));
  return a === b || (label.length >= 8 && editDistance(a!, b!) <= 2);
}

/** Levenshtein distance. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(change, previous[j]! + 1, row[j - 1]! + 1));
    }
    previous = row;
  }
  return previous[b.length]!;
}

const quote = (text: string): string => JSON.stringify(text);
