import { join, normalize } from "node:path";
import { readCsv } from "../csv.ts";
import { DataError } from "../errors.ts";
import { exists } from "../files.ts";
import { LABELS_FILE } from "../paths.ts";
import { isImageName } from "./list_images.ts";

/** What labels.csv says about one image. */
export interface LabelledImage {
  /** Relative to the data folder, `/` separators, spelt as the file system spells it. */
  path: string;
  /** Class name; `null`: the image is left out. */
  label: string | null;
  /** Patient or slide; `null`: the file does not say. */
  group: string | null;
}

const MOST_SHOWN = 20;

/**
 * Reads labels.csv of a data folder: `path,label[,group]`, a row an image; further columns, as
 * review.csv has them, mean nothing here. An empty label leaves the image out. Paths may be written
 * with `\` or with a leading `./`, and in either Unicode form (NFC, NFD).
 *
 * @param classes The labels that there are.
 * @returns `null` when there is no such file.
 * @throws {DataError} Listing every row whose path is no image in the folder, whose label is not
 *   one of the classes, or whose path stands twice.
 */
export async function readLabels(
  folder: string,
  classes: readonly string[],
): Promise<LabelledImage[] | null> {
  const file = join(folder, LABELS_FILE);
  if (!await exists(file)) return null;
  const remedy = "Write it as path,label[,group], one row an image, paths as in the data folder; " +
    `the labels are ${classes.map((name) => JSON.stringify(name)).join(", ")}, or empty to leave ` +
    "an image out.";
  const rows: { path: string; label: string; group?: string }[] = await readCsv(
    file,
    ["path", "label"],
    remedy,
  );
  const problems: string[] = [];
  const images = new Map<string, LabelledImage>();
  for (const [i, row] of rows.entries()) {
    const complain = (what: string) =>
      problems.push(`row ${i + 1}, ${JSON.stringify(row.path)}: ${what}`);
    const label = row.label.trim();
    const path = await findImage(folder, row.path);
    if (path === null) complain("there is no such image in the data folder");
    else if (images.has(path)) complain("this image has a row already");
    if (label !== "" && !classes.includes(label)) complain(`${JSON.stringify(label)} is no class`);
    if (path !== null) {
      images.set(path, { path, label: label || null, group: row.group?.trim() || null });
    }
  }
  if (problems.length > 0) {
    const shown = problems.slice(0, MOST_SHOWN).map((line) => `\n  - ${line}`).join("");
    const more = problems.length > MOST_SHOWN
      ? `\n  … and ${problems.length - MOST_SHOWN} more`
      : "";
    throw new DataError(
      `${JSON.stringify(file)} has ${problems.length} entr` +
        `${problems.length === 1 ? "y" : "ies"} that cannot be used:${shown}${more}`,
      remedy,
    );
  }
  return [...images.values()];
}

/** The path as the file system spells it; `null` when it leads to no image inside the folder. */
async function findImage(folder: string, written: string): Promise<string | null> {
  const path = normalize(written.replaceAll("\\", "/")).replace(/^\.\//, "");
  const parts = path.split("/");
  if (path.startsWith("/") || parts.some((part) => part.startsWith(".") || part.includes("\0"))) {
    return null;
  }
  if (!isImageName(parts.at(-1)!)) return null;
  for (const form of new Set([path, path.normalize("NFC"), path.normalize("NFD")])) {
    if (await isPlainFile(folder, form.split("/"))) return form;
  }
  return null;
}

/** Whether a file is there without a link on the way: links are not followed out of the folder. */
async function isPlainFile(folder: string, parts: readonly string[]): Promise<boolean> {
  try {
    for (let depth = 1; depth <= parts.length; depth++) {
      const { isFile, isDirectory } = await Deno.lstat(join(folder, ...parts.slice(0, depth)));
      if (depth < parts.length ? !isDirectory : !isFile) return false;
    }
    return true;
  } catch {
    return false;
  }
}
