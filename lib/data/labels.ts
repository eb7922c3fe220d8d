import { distance } from "fastest-levenshtein";
import { join, posix } from "node:path";
import { readCsv } from "../core/csv.ts";
import { DataError, reasonOf } from "../core/errors.ts";
import { exists } from "../core/files.ts";
import { LABELS_FILE } from "../core/paths.ts";
import type { Config } from "../core/settings.ts";
import { compareCodePoints, listLines } from "../core/words.ts";
import type { Finding } from "../run/findings.ts";
import type { ManifestRow } from "../run/manifest.ts";
import { describeSkipped, listImages } from "./list.ts";

type ListedImage = Pick<ManifestRow, "path" | "label" | "group">;

type DataRules = Pick<Config["data"], "classes" | "groupPattern" | "followLinks">;

/**
 * The images of a data folder with their labels and groups. A label comes from labels.csv where that
 * names the image, else from the class folder; a group from labels.csv where that has one, else from
 * `groupPattern`. With a labels.csv there need be no class folders.
 *
 * @param folder Absolute path.
 * @returns In code-point order of the paths. An image that labels.csv leaves out keeps its place,
 *   with an empty label, and has a finding; so have images without any label, by their folder.
 * @throws {DataError} When the folder or a class folder is missing, a class has no images, labels.csv
 *   cannot be used, a folder's name is nearly that of a class, or an image has no group although
 *   others have.
 */
export async function listLabelled(
  folder: string,
  { classes, groupPattern, followLinks }: DataRules,
): Promise<{ listed: ListedImage[]; findings: Finding[] }> {
  const file = join(folder, LABELS_FILE);
  const hasLabels = await exists(file);
  const present = await foldersIn(folder);
  if (!hasLabels) checkFolders(folder, present, classes);
  const folders = await Promise.all(
    classes.filter((label) => present.includes(label))
      .map((label) => listClassFolder(folder, label, followLinks, hasLabels)),
  );
  const images = new Map<string, LabelledImage>();
  for (const { label, paths } of folders) {
    for (const path of paths) images.set(path, { path, label, group: null });
  }
  const findings = folders.filter(({ skipped }) => skipped.links + skipped.otherType > 0)
    .map(({ label, skipped }) => finding(label, "skipped", describeSkipped(skipped)));
  if (hasLabels) {
    // a class folder may itself be a link, which the list of the whole folder passes over
    const { paths } = await listImages(folder, { followLinks });
    const all = new Set([...images.keys(), ...paths]);
    for (const image of await readLabels(file, all, classes)) images.set(image.path, image);
    findings.push(...describeUnlabelled([...all].filter((path) => !images.has(path))));
    checkLabels(folder, [...images.values()], classes);
  }
  const sorted = [...images.values()].sort((a, b) => compareCodePoints(a.path, b.path));
  const leftOut = sorted.filter(({ label }) => label === null).map(({ path }) =>
    finding(path, "left_out_by_labels", `Its label in ${LABELS_FILE} is empty.`)
  );
  return { listed: withGroups(sorted, groupPattern), findings: [...findings, ...leftOut] };
}

function finding(path: string, kind: Finding["finding"], detail: string): Finding {
  return { path, finding: kind, detail, other_path: "" };
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
      `The data folder ${quote(folder)} cannot be read: ${reasonOf(cause)}.`,
      "Set data.folder (or --data) to the folder that holds one folder per class.",
      { cause },
    );
  }
  return names.sort();
}

/** @throws {DataError} When a class folder is missing, or another has nearly the name of a class. */
function checkFolders(folder: string, present: string[], classes: readonly string[]): void {
  const missing = classes.filter((label) => !present.includes(label));
  const others = present.filter((name) => !classes.includes(name));
  if (missing.length > 0) {
    const held = others.length > 0 ? others.slice(0, 10).map(quote).join(", ") : "no other folder";
    throw new DataError(
      `${quote(folder)} lacks the class folder${missing.length > 1 ? "s" : ""} ` +
        `${missing.map(quote).join(" and ")}. It holds ${held}.`,
      "Put the images of each class into a folder of that name, or set data.classes to the names " +
        "of your folders (the negative class first).",
    );
  }
  const misspelt = others.find((name) => classes.some((label) => isAlike(name, label)));
  if (misspelt === undefined) return;
  throw new DataError(
    `${quote(misspelt)} in ${quote(folder)} looks like a class folder with a misspelt name; its ` +
      "images would be left out.",
    "Move its images into the class folder, or rename it or move it elsewhere.",
  );
}

/** Equal but for case, spaces and punctuation, or up to two typing errors in a long name. */
function isAlike(name: string, label: string): boolean {
  const plain = (text: string) => text.toLowerCase().replace(/[^\p{L}\p{N}]/gu, "");
  return distance(plain(name), plain(label)) <= (label.length >= 8 ? 2 : 0);
}

/** @throws {DataError} When a class folder holds no image, unless it may be empty. */
async function listClassFolder(
  folder: string,
  label: string,
  followLinks: boolean,
  mayBeEmpty: boolean,
) {
  const { paths, skipped } = await listImages(join(folder, label), { followLinks });
  if (paths.length === 0 && !mayBeEmpty) {
    const others = skipped.links + skipped.otherType > 0 ? ` (${describeSkipped(skipped)})` : "";
    const follow = skipped.links > 0 && !followLinks ? ", or set data.followLinks: true" : "";
    throw new DataError(
      `The class folder ${quote(join(folder, label))} holds no images${others}.`,
      `Put .jpg, .png, .tif, .bmp or .webp files into it${follow}: learning needs examples of ` +
        "every class.",
    );
  }
  return { label, paths: paths.map((path) => `${label}/${path}`), skipped };
}

/** Images with neither a row in labels.csv nor a class folder, counted by outermost folder. */
function describeUnlabelled(paths: readonly string[]): Finding[] {
  const folders = Map.groupBy(paths, (path) => path.includes("/") ? path.split("/")[0]! : ".");
  return [...folders].sort(([a], [b]) => compareCodePoints(a, b)).map(([name, { length }]) =>
    finding(name, "skipped", `${length} image${length === 1 ? "" : "s"} without a label`)
  );
}

/** @throws {DataError} When a class has no image. */
function checkLabels(folder: string, images: LabelledImage[], classes: readonly string[]): void {
  const present = new Set(images.map(({ label }) => label));
  const missing = classes.filter((name) => !present.has(name));
  if (missing.length === 0) return;
  throw new DataError(
    `No image of ${quote(folder)} has the label ${missing.map(quote).join(" or ")}.`,
    `Learning needs examples of every class: add rows to ${LABELS_FILE}, or correct data.classes.`,
  );
}

/** @throws {DataError} When a used image has no group: of unknown origin it could leak. */
function withGroups(images: readonly LabelledImage[], pattern: string | null): ListedImage[] {
  const used = images.filter(({ label }) => label !== null);
  const someGiven = used.some(({ group }) => group !== null);
  const find = ({ path, group }: LabelledImage) =>
    group ?? (someGiven && pattern === null ? null : groupOf(path, pattern));
  const unmatched = used.filter((image) => find(image) === null);
  if (unmatched.length > 0) {
    const count = `${unmatched.length} of ${used.length}`;
    const what = pattern === null
      ? `${LABELS_FILE} gives no group to ${count} images:`
      : `data.groupPattern ${pattern} finds no group in ${count} image paths:`;
    throw new DataError(
      what + listLines(unmatched.map(({ path }) => quote(path))),
      someGiven
        ? `Give every image a group in ${LABELS_FILE}, or set data.groupPattern for the others.`
        : "Correct the pattern or rename the files. With data.groupPattern: null every image is " +
          "its own group.",
    );
  }
  return images.map((image) => {
    const group = image.label === null ? image.group : find(image);
    return { path: image.path, label: image.label ?? "", group: group ?? image.path };
  });
}

/**
 * The group (patient or slide) of an image.
 *
 * @param path Relative to the data folder, `/` separators.
 * @param pattern Regular expression with one capturing group, or `null`: every image by itself.
 * @returns What the group captured; the path itself without a pattern; `null` when the pattern does
 *   not match or captures nothing.
 * @example
 * ```ts
 * groupOf("globally_sclerotic/S12-7.png", "([^/]+)-[^-]+\\.png$"); // "S12"
 * ```
 */
export function groupOf(path: string, pattern: string | null): string | null {
  if (pattern === null) return path;
  return new RegExp(pattern).exec(path)?.[1] || null;
}

/** What a folder says of a new image: its class, and its patient or slide (`null`: it does not). */
type FolderLabel = { label: string; group: string | null };

/**
 * The true classes of a folder of new images, where it tells them: by a labels.csv, else by the
 * innermost folder that has the name of a class. An image whose label in labels.csv is empty has
 * none.
 *
 * @param folder Absolute path.
 * @param names Of all images, relative to it.
 * @param classes The model's.
 * @returns The label of an image by its name, `null` where it has none; `null` itself when not one
 *   image has a label.
 * @throws {DataError} When there is a labels.csv that cannot be used.
 */
export async function folderLabels(
  folder: string,
  names: readonly string[],
  classes: readonly string[],
): Promise<((name: string) => FolderLabel | null) | null> {
  const file = join(folder, LABELS_FILE);
  const rows = await exists(file) ? await readLabels(file, names, classes) : [];
  const written = new Map(rows.map((row) => [row.path, row]));
  const find = classFinder(classes);
  const labelOf = (name: string): FolderLabel | null => {
    const row = written.get(name);
    const label = row ? row.label : name.split("/").slice(0, -1).map(find).findLast(Boolean);
    return label ? { label, group: row?.group ?? null } : null;
  };
  return names.some((name) => labelOf(name) !== null) ? labelOf : null;
}

/** Finds the class that is meant by a name in any Unicode form; `null`: none. */
function classFinder(classes: readonly string[]): (name: string) => string | null {
  const known = new Map(classes.map((name) => [name.normalize("NFC"), name]));
  return (name) => known.get(name.normalize("NFC")) ?? null;
}

interface LabelledImage {
  /** Relative to the data folder, `/` separators, spelt as the file system spells it. */
  path: string;
  /** Class name; `null`: the image is left out. */
  label: string | null;
  /** Patient or slide; `null`: the file does not say. */
  group: string | null;
}

/**
 * Reads a labels.csv: `path,label[,group]`, a row an image; further columns, as a list of images to
 * review has them, mean nothing here. An empty label leaves the image out. Paths may be written as
 * `pathFinder` allows; rows without a path and a label are passed over.
 *
 * @param file Absolute path of the CSV.
 * @param images The images that there are, relative to the data folder.
 * @param classes The labels that there are.
 * @throws {DataError} When it is no such CSV; or listing every row whose path is none of the images,
 *   whose label is not one of the classes, or whose image has another row.
 */
export async function readLabels(
  file: string,
  images: Iterable<string>,
  classes: readonly string[],
): Promise<LabelledImage[]> {
  const remedy = "Write it as path,label[,group], one row an image, paths relative to its folder " +
    "(of links that are followed too: data.followLinks, evaluation.followLinks); the labels are " +
    `${classes.map(quote).join(", ")}, or empty to leave an image out.`;
  const rows = await readCsv<"path" | "label" | "group">(file, ["path", "label"], remedy);
  const find = classFinder(classes);
  const { found, problems } = matchRows(
    // as spreadsheets leave them at the end
    rows.map((row) => row.path === "" && row.label === "" ? null : row),
    images,
    ({ label }) => label.trim() === "" || find(label.trim()) ? [] : [`${quote(label)} is no class`],
  );
  if (problems.length > 0) throw unusableRows(quote(file), problems, remedy);
  return [...found].map(([path, { label, group }]) => {
    return { path, label: find(label.trim()), group: group?.trim() || null };
  });
}

const quote = (text: string): string => JSON.stringify(text);

/**
 * Matches the rows of a file that a person wrote with the images that there are.
 *
 * @param rows `null`: passed over.
 * @param check What is wrong with a row beside its path.
 * @returns The row of every image that has one, and all that is wrong, in words.
 */
export function matchRows<Row extends { path: string }>(
  rows: readonly (Row | null)[],
  images: Iterable<string>,
  check: (row: Row, image: string | null) => string[],
): { found: Map<string, Row>; problems: string[] } {
  const find = pathFinder(images);
  const found = new Map<string, Row>();
  const problems: string[] = [];
  for (const [i, row] of rows.entries()) {
    if (row === null) continue;
    const path = find(row.path);
    const wrong = check(row, path);
    if (path === null) wrong.push("there is no such image in the data folder");
    else if (found.has(path)) wrong.push("this image has a row already");
    else found.set(path, row);
    problems.push(...wrong.map((what) => `row ${i + 1}, ${quote(row.path)}: ${what}`));
  }
  return { found, problems };
}

/** The error that lists what is wrong with the rows of a file that a person wrote. */
export function unusableRows(subject: string, problems: readonly string[], remedy: string) {
  const count = `${problems.length} problem${problems.length === 1 ? "" : "s"}`;
  return new DataError(
    `${subject} has ${count}, and cannot be used:${listLines(problems)}`,
    remedy,
  );
}

/**
 * Finds the path that a person meant, who writes with `\` or `/`, perhaps with a leading `./`, and
 * on a system that may store accents otherwise (macOS decomposes them: NFD) than the one that
 * stored the file.
 *
 * @param paths Those that there are, with `/` separators; all others are not found, so that nothing
 *   leads out of their folder.
 * @returns A function that gives the one of `paths` that is meant, spelt as it is there; `null` when
 *   there is none, or when several differ by their accents' form alone and none is written exactly.
 * @example
 * ```ts
 * pathFinder(["non/a.png"])(".\\non\\a.png"); // "non/a.png"
 * ```
 */
export function pathFinder(paths: Iterable<string>): (written: string) => string | null {
  const exact = new Set(paths);
  const composed = Map.groupBy(exact, (path) => path.normalize("NFC"));
  return (written) => {
    if (exact.has(written)) return written; // on Linux a name may hold a backslash
    const path = posix.normalize(written.replaceAll("\\", "/"));
    if (exact.has(path)) return path;
    const same = composed.get(path.normalize("NFC")) ?? [];
    return same.length === 1 ? same[0]! : null;
  };
}
