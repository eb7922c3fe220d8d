import { StaticDisjointSet } from "mnemonist";
import { readCsv } from "../core/csv.ts";
import { DataError } from "../core/errors.ts";
import { fromRoot } from "../core/paths.ts";
import { createRandom } from "../core/random.ts";
import { compareCodePoints, percent } from "../core/words.ts";
import { matchRows, unusableRows } from "../data/labels.ts";
import { nearDuplicatePairs, readFindings } from "../run/findings.ts";
import { type ManifestRow, readManifest, usable } from "../run/manifest.ts";
import type { Run } from "../run/run.ts";
import {
  certifySplit,
  configuredRequest,
  type SplitCertificate,
  type SplitRequest,
  writeCertificate,
} from "../run/split_certificate.ts";
import {
  asSubset,
  describeMissingClasses,
  type Fractions,
  isFold,
  requireUnmixed,
  type SplitRow,
  type Subset,
  subsetCounts,
  subsetsOf,
  writeSplit,
} from "../run/split_file.ts";
import { balanceFromManyStarts } from "./balance.ts";

/**
 * Splits the run's images, or takes the split that `split.file` brings, and writes split.csv and
 * split_certificate.json.
 *
 * @throws {DataError} When notebook 02 has not been run, there are too few groups to split, or a
 *   given split cannot be used or leaks.
 */
export async function splitRun(
  { config, paths }: Run,
): Promise<{ rows: SplitRow[]; certificate: SplitCertificate }> {
  const manifest = await readManifest(paths.manifest);
  const pairs = nearDuplicatePairs(await readFindings(paths.audit));
  const requested = configuredRequest(config);
  const rows = requested === null
    ? await readGivenSplit(fromRoot(config.split.file!), manifest)
    : stratifiedSplit(manifest, requested, pairs);
  const certificate = certifySplit(rows, manifest, pairs, requested);
  await writeSplit(paths.split, rows);
  await writeCertificate(paths.splitCertificate, certificate);
  return { rows, certificate };
}

/**
 * What each subset holds beside what was asked for, a row a subset, ready for a table: images,
 * groups, fraction achieved and requested, and for each class, in words, its images and their share
 * of the subset. The last row has the whole, whose class shares are what every subset should have.
 *
 * @param requested Fractions; `null` for a split that was given: it has no such column.
 */
export function splitTable(
  rows: readonly SplitRow[],
  requested: Fractions | null,
): Record<string, string | number>[] {
  const counts = subsetCounts(rows);
  const groups = new Set(rows.map(({ group }) => group)).size;
  const classes = Object.fromEntries(
    Object.keys(counts[0]!.classes).map((label) => [
      label,
      rows.filter((row) => row.label === label).length,
    ]),
  );
  const all = { subset: "all", images: rows.length, fraction: 1, groups, classes };
  return [...counts, all].map(({ subset, images, groups, fraction, classes }) => ({
    subset: subset.replaceAll("_", " "),
    images,
    groups,
    fraction: percent(fraction),
    ...requested &&
      { requested: percent(requested[subset.replace(/(_\d+)_\d+$/, "$1")] ?? 1) },
    ...Object.fromEntries(
      Object.entries(classes).map(([label, n]) => [
        label.replaceAll("_", " "),
        `${n} (${percent(n / Math.max(1, images))})`,
      ]),
    ),
  }));
}

/** More gain nothing from 40 groups on, and under 4 % with 20. */
const RANDOM_STARTS = 32;

/**
 * Divides the usable images into the subsets that are asked for: training, validation and test, or
 * folds and perhaps a held-out test. No group and no cluster of near-duplicates crosses subsets; the
 * fractions, and the share of every class in them, are as near to the request as that allows (see
 * `balanceFromManyStarts`).
 *
 * The same rows and seed give the same split on every machine, in whatever order the rows come.
 *
 * @param rows The manifest; rows that are not `ok` are left out.
 * @param request `repeats`: how often folds are dealt; a held-out test stays as it is.
 * @param nearDuplicates Pairs of paths, from `nearDuplicatePairs`.
 * @returns In code-point order of the paths.
 * @throws {DataError} When there are not two classes, or too few groups: for every subset to hold
 *   every class (scores would then mean nothing), or for every fold to hold one.
 */
export function stratifiedSplit(
  rows: readonly ManifestRow[],
  { fractions, seed, repeats = 1 }: Omit<SplitRequest, "repeats"> & { repeats?: number },
  nearDuplicates: readonly (readonly [string, string])[],
): SplitRow[] {
  const sorted = usableInOrder(rows);
  const labels = [...new Set(sorted.map(({ label }) => label))].sort(compareCodePoints);
  if (labels.length < 2) {
    throw new DataError(
      labels.length === 0
        ? "There are no usable images to divide."
        : `All ${sorted.length} usable images have the label ${labels[0]}.`,
      "Add images of the other class; notebook 02 lists what is there and what could not be used.",
    );
  }
  const units = gatherUnits(sorted, nearDuplicates);
  const folds = Object.keys(fractions).filter(isFold);
  if (folds.length > units.length) throw tooFewGroups(folds.length, units.length);
  const counts = units.map((unit) =>
    labels.map((label) => unit.filter((i) => sorted[i]!.label === label).length)
  ); // [units, classes]
  const first = deal(counts, fractions, `${seed}/split`);
  const free = [...units.keys()].filter((u) => isFold(first[u]!)); // not held out
  const even = Object.fromEntries(folds.map((fold) => [fold, 1 / folds.length]));
  const again = Array.from({ length: repeats - 1 }, (_, t) => {
    const dealt = deal(free.map((u) => counts[u]!), even, `${seed}/split/${t + 2}`);
    const foldOf = new Map(free.map((u, at) => [u, dealt[at]!]));
    return first.map((held, u) => foldOf.get(u) ?? held);
  });
  const unitOf = new Map(units.flatMap((unit, u) => unit.map((i) => [i, u])));
  const split = splitOf(sorted, (_, i) => first[unitOf.get(i)!]!).map((row, i) => {
    return again.length === 0 ? row : { ...row, again: again.map((own) => own[unitOf.get(i)!]!) };
  });
  const lack = describeMissingClasses(split);
  if (lack === null) return split;
  throw new DataError(
    `The images cannot be divided so that ${
      folds.length > 0 ? "every training" : "every subset"
    } holds every class. They form ` +
      `${units.length} groups that must stay whole (patients or slides, joined where images are ` +
      `near-duplicates); the best division is:${lack}`,
    "Add images from more patients or slides, so that at least three groups hold each class, or " +
      "check data.groupPattern: it may capture too little of the name.",
  );
}

function tooFewGroups(folds: number, groups: number): DataError {
  return new DataError(
    `${folds} folds were asked for, but the images form ${groups} groups that must stay whole ` +
      "(patients or slides, joined where images are near-duplicates).",
    groups < 3
      ? "Add images from more patients or slides; three folds need three of them at least."
      : `Set split.folds to ${groups} or less.`,
  );
}

/** The subset of every unit, by one seeded dealing. */
function deal(counts: readonly number[][], fractions: Fractions, seed: string): Subset[] {
  const names = Object.keys(fractions) as Subset[];
  const random = createRandom(seed);
  const { subsets } = balanceFromManyStarts(
    counts,
    names.map((name) => fractions[name]!),
    random,
    RANDOM_STARTS,
  );
  fillEmpty(subsets, counts, names.length);
  return subsets.map((subset) => names[subset]!);
}

/**
 * Gives each subset that got nothing the smallest unit of the one with most units: with about as many
 * folds as groups, no single exchange of the balance may gain by it.
 */
function fillEmpty(subsets: number[], counts: readonly number[][], count: number): void {
  const size = counts.map((unit) => unit.reduce((a, b) => a + b, 0));
  const unitsOf = (subset: number) => [...subsets.keys()].filter((u) => subsets[u] === subset);
  for (let empty = 0; empty < count; empty++) {
    if (subsets.includes(empty)) continue;
    const all = Array.from({ length: count }, (_, subset) => unitsOf(subset));
    const most = all.reduce((a, b) => b.length > a.length ? b : a);
    if (most.length < 2) return; // fewer units than subsets: said elsewhere
    subsets[most.reduce((a, b) => size[b]! < size[a]! ? b : a)] = empty;
  }
}

function usableInOrder(manifest: readonly ManifestRow[]): ManifestRow[] {
  return usable(manifest).sort((a, b) => compareCodePoints(a.path, b.path));
}

function splitOf(
  rows: readonly ManifestRow[],
  subset: (path: string, i: number) => Subset,
): SplitRow[] {
  return rows.map(({ path, label, group, sha256 }, i) => {
    return { path, label, group, sha256, subset: subset(path, i) };
  });
}

/**
 * Gathers images into units that must stay in one subset: all images of a group, and all groups that
 * a pair of near-duplicates links, directly or through others.
 *
 * @param rows Usable images.
 * @param nearDuplicates Pairs of paths; those with a path that is not in `rows` say nothing.
 * @returns Indices of the rows of each unit, in the order of their first ones.
 */
function gatherUnits(
  rows: readonly ManifestRow[],
  nearDuplicates: readonly (readonly [string, string])[],
): number[][] {
  const sets = new StaticDisjointSet(rows.length);
  for (const [first, ...others] of Map.groupBy(rows.keys(), (i) => rows[i]!.group).values()) {
    for (const other of others) sets.union(first!, other);
  }
  const indexOf = new Map(rows.map(({ path }, i) => [path, i]));
  for (const [a, b] of nearDuplicates) {
    const [i, j] = [indexOf.get(a), indexOf.get(b)];
    if (i !== undefined && j !== undefined) sets.union(i, j);
  }
  return sets.compile();
}

/** A row as it was written; the last three where the file has such columns. */
interface GivenRow extends Partial<Record<"label" | "group" | "sha256", string>> {
  path: string;
  subset: string;
}

/**
 * Reads a split that a person brought: a CSV of `path,subset`, one row for every usable image.
 * Images that cannot be used may be in it; `label`, `group` and `sha256`, where they are there, must
 * agree with the manifest, and further columns mean nothing. Paths may be written as `pathFinder`
 * allows.
 *
 * @param path Absolute path of the CSV.
 * @returns In code-point order of the paths.
 * @throws {DataError} Listing every row that cannot be used and every image without a row, or when
 *   a subset lacks a class. Whether anything crosses subsets is for `certifySplit` to say.
 */
export async function readGivenSplit(
  path: string,
  manifest: readonly ManifestRow[],
): Promise<SplitRow[]> {
  const remedy = "Correct the file that split.file names: path,subset with one row for every " +
    "usable image of notebook 02; subsets are train, validation and test, or fold_1, fold_2 and so on.";
  const written: GivenRow[] = await readCsv(path, ["path", "subset"], remedy);
  const images = new Map(manifest.map((row) => [row.path, row]));
  const { found, problems } = matchRows(written, images.keys(), (row, path) => {
    const wrong = subsetOf(row) ? [] : [`${quote(row.subset)} is no subset`];
    const image = path === null ? null : images.get(path)!;
    for (const column of ["label", "group"] as const) {
      if (!image || !row[column] || row[column] === image[column]) continue;
      wrong.push(`its ${column} is ${quote(image[column])}, not ${quote(row[column])}`);
    }
    if (image && row.sha256 && row.sha256 !== image.sha256) {
      wrong.push("the file has other content");
    }
    return wrong;
  });
  const rows = usableInOrder(manifest);
  const absent = rows.filter(({ path }) => !found.has(path));
  problems.push(...absent.map(({ path }) => `${quote(path)} has no row`));
  if (problems.length > 0) throw unusableRows(`The split of ${quote(path)}`, problems, remedy);
  const given = splitOf(rows, (path) => subsetOf(found.get(path)!)!);
  const split = requireUnmixed(given, quote(path), remedy);
  const folds = subsetsOf(split).filter(isFold);
  if (folds.length === 1 || folds.length === 2) {
    const what = `The split of ${quote(path)} has ${folds.join(" and ")} alone.`;
    const why =
      "Each model is tested on one fold and validated on another, and learns from the rest";
    throw new DataError(what, `Name three folds at least. ${why}.`);
  }
  const lack = describeMissingClasses(split);
  if (lack !== null) {
    throw new DataError(
      `In the split of ${quote(path)} a subset lacks a class:${lack}`,
      "Move images, so that every subset holds every class; scores would mean nothing.",
    );
  }
  return split;
}

function subsetOf({ subset }: GivenRow): Subset | undefined {
  const name = subset.trim().toLowerCase();
  return name === "val" || name === "valid" ? "validation" : asSubset(name);
}

const quote = (text: string): string => JSON.stringify(text);
