import { join } from "node:path";
import { readCsv, toCsv } from "../core/csv.ts";
import { DataError } from "../core/errors.ts";
import { writeAtomic } from "../core/files.ts";
import { fromRoot } from "../core/paths.ts";
import { type Config, type SplitConfig, TEST_FRACTION } from "../core/settings.ts";
import { compareCodePoints } from "../core/words.ts";
import type { ManifestRow } from "./manifest.ts";

/** The subsets of a single split, in order. */
export const SUBSETS = ["train", "validation", "test"] as const;

/** One part of the data; with folds it is one of them, or the held-out `test`. */
export type Subset = (typeof SUBSETS)[number] | `fold_${number}`;

/** Fraction of the images that goes to each subset, in order; they sum to 1. */
export type Fractions = Readonly<Record<string, number>>;

/** One usable image and where it went: a row of split.csv. */
export interface SplitRow extends Pick<ManifestRow, "path" | "label" | "group" | "sha256"> {
  subset: Subset;
  /** Its subsets when the folds are dealt again (`split.repeats`): columns subset_2 and on. */
  again?: Subset[];
}

const COLUMNS = ["path", "label", "group", "sha256", "subset"] as const;

/** The subsets that `config.split` asks for, with the fraction of each. */
export function requestedFractions(
  { folds, train, validation, test }: Omit<SplitConfig, "file" | "repeats">,
): Fractions {
  if (folds === 0) return { train, validation, test: test ?? TEST_FRACTION };
  const heldOut = test ?? 0;
  const fold = (_: unknown, i: number) => [`fold_${i + 1}`, (1 - heldOut) / folds];
  const even = Object.fromEntries(Array.from({ length: folds }, fold));
  return { ...even, ...heldOut > 0 && { test: heldOut } };
}

/** Numbers in names compare as numbers: fold_2 before fold_10. */
const inOrder = new Intl.Collator("en", { numeric: true }).compare;

/** The folds among some names of subsets, each once and in the order of their members. */
export function foldsOf(subsets: readonly string[]): string[] {
  return [...new Set(subsets)].filter(isFold).sort(inOrder);
}

/** The subsets that occur, in order: those of a single split, or the folds and a held-out test. */
export function subsetsOf(rows: readonly Pick<SplitRow, "subset">[]): Subset[] {
  const names = rows.map(({ subset }) => subset);
  const folds = foldsOf(names) as Subset[];
  if (folds.length === 0) return [...SUBSETS];
  return names.includes("test") ? [...folds, "test"] : folds;
}

/** Whether a subset is a fold. */
export const isFold = (subset: string): boolean => /^fold_[1-9]\d*$/.test(subset);

/** One training of a run, and the images for it. */
export interface Member extends Record<"train" | "validation" | "test", SplitRow[]> {
  /** The fold that it is tested on, as history.csv names it; empty: the run has a single split. */
  fold: string;
}

/**
 * The trainings that a split asks for. A single split is one of them. With folds there is one a fold:
 * tested on this fold, validated on the next one, trained on all others; so every image is tested
 * once by a model that never saw its group, and once more each time that the folds are dealt again.
 */
export function members(rows: readonly SplitRow[]): Member[] {
  return dealings(rows).flatMap((dealt, time) => {
    const of = (...subsets: string[]) => dealt.filter(({ subset }) => subsets.includes(subset));
    const folds = subsetsOf(dealt).filter(isFold);
    if (folds.length === 0) {
      return [{ fold: "", train: of("train"), validation: of("validation"), test: of("test") }];
    }
    return folds.map((fold, i): Member => {
      const next = folds[(i + 1) % folds.length]!;
      const train = of(...folds.filter((other) => other !== fold && other !== next));
      return { fold: nameOf(fold, time), train, validation: of(next), test: of(fold) };
    });
  });
}

/** The images that section 6 scores: the test images, or with folds (and none held out) all. */
export function testedRows(rows: readonly SplitRow[]): SplitRow[] {
  const heldOut = rows.filter(({ subset }) => subset === "test");
  return heldOut.length > 0 ? heldOut : foldRows(rows);
}

/** The images of all folds; none of a single split. */
export function foldRows(rows: readonly SplitRow[]): SplitRow[] {
  return rows.filter(({ subset }) => isFold(subset));
}

/** The rows of a split once for each time that the folds were dealt. */
export function dealings(rows: readonly SplitRow[]): (readonly SplitRow[])[] {
  const times = rows[0]?.again ?? [];
  if (times.length === 0) return [rows];
  const first = rows.map(({ again: _, ...row }) => row);
  return [
    first,
    ...times.map((_, t) => rows.map((row, i) => ({ ...first[i]!, subset: row.again![t]! }))),
  ];
}

const nameOf = (subset: string, time: number) => time === 0 ? subset : `${subset}_${time + 1}`;

const REMEDY = "Run notebook 03 again; it writes this file.";

/**
 * The text of split.csv: rows in code-point order of their paths, so that the same split is the same
 * file, byte for byte.
 */
export function splitText(rows: readonly SplitRow[]): string {
  const again = (rows[0]?.again ?? []).map((_, t) => `subset_${t + 2}`);
  const sorted = rows.toSorted((a, b) => compareCodePoints(a.path, b.path));
  const cells = ({ again: more = [], ...row }: SplitRow): Record<string, string> => {
    return { ...row, ...Object.fromEntries(again.map((column, t) => [column, more[t]!])) };
  };
  return toCsv([...COLUMNS, ...again], sorted.map(cells));
}

/** Writes split.csv, atomically. */
export async function writeSplit(path: string, rows: readonly SplitRow[]): Promise<void> {
  await writeAtomic(path, splitText(rows));
}

/**
 * Reads split.csv.
 *
 * @throws {DataError} When it is missing, damaged or names an unknown subset.
 */
export async function readSplit(path: string): Promise<SplitRow[]> {
  const rows = await readCsv(path, COLUMNS, REMEDY);
  const columns = ["subset", ...Object.keys(rows[0] ?? {}).filter((c) => /^subset_\d+$/.test(c))];
  const read = rows.map((row, i) => {
    const [subset, ...again] = columns.map((column) => {
      const text = (row as Record<string, string>)[column] ?? "";
      const known = asSubset(text);
      if (known) return known;
      const names = `${SUBSETS.join(", ")} or fold_1 and on`;
      const what = `${path}, row ${i + 1}: ${JSON.stringify(text)} is not one of ${names}.`;
      throw new DataError(what, REMEDY, { file: path });
    });
    const { path: image, label, group, sha256 } = row;
    return { path: image, label, group, sha256, subset: subset!, ...again.length > 0 && { again } };
  });
  return requireUnmixed(read, path, REMEDY);
}

/**
 * The rows, which are either those of a single split or of folds.
 *
 * @throws {DataError} When they are both.
 */
export function requireUnmixed(rows: SplitRow[], path: string, remedy: string): SplitRow[] {
  const isSingle = ({ subset }: SplitRow) => subset === "train" || subset === "validation";
  const isMixed = (rows: readonly SplitRow[]) =>
    rows.some(isSingle) && subsetsOf(rows).some(isFold);
  if (!dealings(rows).some(isMixed)) return rows;
  throw new DataError(`${path} mixes folds with train or validation.`, remedy, { file: path });
}

/** A text that names a subset; else `undefined`. */
export function asSubset(text: string): Subset | undefined {
  return isFold(text) ? text as Subset : SUBSETS.find((name) => name === text);
}

/**
 * How much is in each subset, in their order: images, their fraction of all (0 to 1), groups, and
 * images of each class by label. Folds that were dealt again follow as `fold_1_2` and so on.
 */
export function subsetCounts(rows: readonly SplitRow[]) {
  const labels = [...new Set(rows.map(({ label }) => label))].sort();
  return dealings(rows).flatMap((dealt, time) => {
    const bySubset = Map.groupBy(dealt, ({ subset }) => subset);
    return subsetsOf(dealt).filter((subset) => time === 0 || isFold(subset)).map((subset) => {
      const own = bySubset.get(subset) ?? [];
      const count = (label: string) => own.filter((row) => row.label === label).length;
      const classes = Object.fromEntries(labels.map((label) => [label, count(label)]));
      const groups = new Set(own.map(({ group }) => group)).size;
      const fraction = own.length / rows.length;
      return { subset: nameOf(subset, time), images: own.length, fraction, groups, classes };
    });
  });
}

/**
 * A table of what each subset holds, where a model could not be trained or scored by it: a subset of
 * a single split lacks a class, or the training images of a fold do; else `null`.
 */
export function describeMissingClasses(rows: readonly SplitRow[]): string | null {
  const labels = new Set(rows.map(({ label }) => label));
  const holdsAll = (own: readonly SplitRow[]) =>
    new Set(own.map(({ label }) => label)).size === labels.size;
  const isUsable = members(rows).every(({ fold, train, validation, test }) =>
    holdsAll(train) &&
    (fold === "" ? holdsAll(validation) && holdsAll(test) : validation.length * test.length > 0)
  );
  if (isUsable) return null;
  return subsetCounts(rows).map(({ subset, classes }) =>
    `\n  ${subset}: ` + Object.entries(classes).map(([label, n]) => `${n} ${label}`).join(", ")
  ).join("");
}

/**
 * One line on what it means for the scores when nothing says which images belong to one patient or
 * slide; `null` when groups are known.
 */
export function groupWarning(rows: readonly { path: string; group: string }[]): string | null {
  return rows.some(({ path, group }) => path !== group)
    ? null
    : "No groups: one patient may be in both training and test, so scores are likely too good.";
}

/** Images of the split, as a training takes them. */
export function labelledFiles(
  rows: readonly SplitRow[],
  { data }: Pick<Config, "data">,
): LabelledFile[] {
  const folder = fromRoot(data.folder);
  return rows.map(({ path, label, sha256 }) => {
    return { path: join(folder, path), label: data.classes.indexOf(label), sha256 };
  });
}

/** The images that models of the run learn from: the training subset, or the images of all folds. */
export function learntRows(rows: readonly SplitRow[]): SplitRow[] {
  const { fold, train } = members(rows)[0]!;
  return fold === "" ? train : foldRows(rows);
}

/** Patients or slides of a class below which its scores hang on one or two of them. */
const FEW_GROUPS = 5;

/**
 * One line on what it means that few patients or slides of a class are in validation or test, and
 * which folds would show more, or that a fold lacks a class; `null` where there are enough.
 */
export function foldsAdvice(rows: readonly SplitRow[]): string | null {
  const groupsOf = (own: readonly SplitRow[]) => new Set(own.map(({ group }) => group)).size;
  const labels = [...new Set(rows.map(({ label }) => label))];
  if (rows.some(({ subset }) => isFold(subset))) {
    const lacking = subsetCounts(rows).filter(({ classes }) => Object.values(classes).includes(0));
    if (lacking.length === 0) return null;
    const names = lacking.map(({ subset }) => subset.replaceAll("_", " ")).join(", ");
    return `Without images of one of the classes: ${names}. An AUC is undefined there: as what epochs ` +
      "are kept by (val_auc) it says nothing, and a low loss says little. Fewer folds hold all classes.";
  }
  const few = (["validation", "test"] as const).map((subset) => {
    const counts = labels.map((label) =>
      groupsOf(rows.filter((row) => row.subset === subset && row.label === label))
    );
    return { subset, groups: Math.min(...counts) };
  }).filter(({ groups }) => groups < FEW_GROUPS);
  const scarce = Math.min(
    ...labels.map((label) => groupsOf(rows.filter((row) => row.label === label))),
  );
  if (few.length === 0) return null;
  const parts = few.map(({ subset, groups }) => `${groups} in ${subset}`).join(", ");
  const means = "One patient or slide more or less moves threshold, accepted band and scores.";
  return `Few patients or slides hold one of the classes: ${parts}. ${means} ` +
    (scarce < 3
      ? "Folds would not help: fewer than three hold it in all."
      : `With split.folds: ${
        Math.min(FEW_GROUPS, scarce)
      } all ${scarce} of them decide, and every ` +
        "image is tested once.");
}

/** An image file to learn from or to score. */
export interface LabelledFile {
  /** Absolute. */
  path: string;
  /** Class index. */
  label: number;
  /** Of the file's content, in hexadecimal; where given, other content is an error. */
  sha256?: string;
}

/** The files of some images of the split, in their order, and the SHA-256 of what each must hold. */
export function splitContents(
  rows: readonly SplitRow[],
  { data }: Pick<Config, "data">,
): Map<string, string> {
  const folder = fromRoot(data.folder);
  return new Map(rows.map(({ path, sha256 }) => [join(folder, path), sha256]));
}
