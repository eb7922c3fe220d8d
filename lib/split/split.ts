import { StaticDisjointSet } from "mnemonist";
import { readCsv } from "../core/csv.ts";
import { DataError } from "../core/errors.ts";
import { fromRoot, runPaths } from "../core/paths.ts";
import { createRandom, type Random } from "../core/random.ts";
import type { Config } from "../core/settings.ts";
import { compareCodePoints, listLines, percent } from "../core/words.ts";
import { pathFinder } from "../data/labels.ts";
import { nearDuplicatePairs, readFindings } from "../run/findings.ts";
import { type ManifestRow, readManifest, usable } from "../run/manifest.ts";
import {
  certifySplit,
  describeMissingClasses,
  type Fractions,
  type SplitCertificate,
  type SplitRow,
  type Subset,
  subsetCounts,
  SUBSETS,
  writeCertificate,
  writeSplit,
} from "../run/split_file.ts";

/**
 * Splits the run's images, or takes the split that `split.file` brings, and writes split.csv and
 * split_certificate.json.
 *
 * @throws {DataError} When notebook 02 has not been run, there are too few groups to split, or a
 *   given split cannot be used or leaks.
 */
export async function splitRun(
  config: Config,
): Promise<{ rows: SplitRow[]; certificate: SplitCertificate }> {
  const paths = runPaths(config.run);
  const manifest = await readManifest(paths.manifest);
  const pairs = nearDuplicatePairs(await readFindings(paths.audit));
  const { file, ...fractions } = config.split;
  const rows = file === null
    ? stratifiedSplit(manifest, fractions, config.seed, pairs)
    : await readGivenSplit(fromRoot(file), manifest);
  const requested = file === null ? { seed: config.seed, fractions } : null;
  const certificate = certifySplit(rows, manifest, pairs, requested);
  await writeSplit(paths.split, rows);
  await writeCertificate(paths.splitCertificate, certificate);
  return { rows, certificate };
}

/**
 * What each subset holds beside what was asked for, a row a subset, ready for a table: images,
 * groups, fraction achieved and requested, and for each class, in words, its images and their share
 * among the subset's images. The last row has the whole, whose class shares are what every subset should have.
 *
 * @param requested Fractions; `null` for a split that was given: it has no such column.
 */
export function splitTable(
  rows: readonly SplitRow[],
  requested: Fractions | null,
): Record<string, string | number>[] {
  const counts = subsetCounts(rows);
  const labels = Object.keys(counts[0]!.classes);
  const cells = (own: readonly SplitRow[]) =>
    Object.fromEntries(labels.map((label) => {
      const n = own.filter((row) => row.label === label).length;
      return [label.replaceAll("_", " "), `${n} (${percent(n / Math.max(1, own.length))})`];
    }));
  return [
    ...counts.map(({ subset, images, groups, fraction }) => ({
      subset,
      images,
      groups,
      fraction: percent(fraction),
      ...(requested ? { requested: percent(requested[subset]) } : {}),
      ...cells(rows.filter((row) => row.subset === subset)),
    })),
    {
      subset: "all",
      images: rows.length,
      groups: new Set(rows.map(({ group }) => group)).size,
      fraction: percent(1),
      ...(requested ? { requested: percent(1) } : {}),
      ...cells(rows),
    },
  ];
}

const SPELLINGS = new Map<string, Subset>([
  ...SUBSETS.map((subset) => [subset, subset] as const),
  ["val", "validation"],
  ["valid", "validation"],
]);

/** A row as it was written; the last three where the file has such columns. */
type GivenRow =
  & { path: string; subset: string }
  & Partial<
    Record<"label" | "group" | "sha256", string>
  >;

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
    "usable image of notebook 02; subsets are train, validation and test.";
  const given: GivenRow[] = await readCsv(path, ["path", "subset"], remedy);
  const { subsets, problems } = placeImages(given, manifest);
  if (problems.length > 0) {
    throw new DataError(
      `The split of ${JSON.stringify(path)} has ${problems.length} ` +
        `${problems.length === 1 ? "problem" : "problems"}, and cannot be used:${
          listLines(problems)
        }`,
      remedy,
    );
  }
  const rows = usable(manifest).sort((a, b) => compareCodePoints(a.path, b.path));
  const split = rows.map(({ path, label, group, sha256 }): SplitRow => {
    return { path, label, group, sha256, subset: subsets.get(path)! };
  });
  const lack = describeMissingClasses(split);
  if (lack !== null) {
    throw new DataError(
      `In the split of ${JSON.stringify(path)} a subset lacks a class:${lack}`,
      "Move images, so that every subset holds every class; scores would mean nothing.",
    );
  }
  return split;
}

/** The subset of every image, and all that is wrong with the rows. */
function placeImages(
  given: readonly GivenRow[],
  manifest: readonly ManifestRow[],
): { subsets: Map<string, Subset>; problems: string[] } {
  const images = new Map(manifest.map((row) => [row.path, row]));
  const find = pathFinder(images.keys());
  const placed = new Set<string>();
  const subsets = new Map<string, Subset>();
  const problems: string[] = [];
  for (const [i, row] of given.entries()) {
    const complain = (what: string) =>
      problems.push(`row ${i + 1}, ${JSON.stringify(row.path)}: ${what}`);
    const path = find(row.path);
    const subset = SPELLINGS.get(row.subset.trim().toLowerCase());
    if (!subset) complain(`${JSON.stringify(row.subset)} is no subset`);
    if (path === null) {
      complain("there is no such image in the data folder");
      continue;
    }
    if (placed.has(path)) complain("this image has a row already");
    placed.add(path);
    if (subset) subsets.set(path, subset);
    const image = images.get(path)!;
    for (const column of ["label", "group"] as const) {
      if (row[column] && row[column] !== image[column]) {
        complain(
          `its ${column} is ${JSON.stringify(image[column])}, not ${JSON.stringify(row[column])}`,
        );
      }
    }
    if (row.sha256 && row.sha256 !== image.sha256) complain("the file has other content");
  }
  for (const { path } of usable(manifest)) {
    if (!placed.has(path)) problems.push(`${JSON.stringify(path)} has no row`);
  }
  return { subsets, problems };
}

/** Images that must stay in one subset: groups, joined where near-duplicates link them. */
interface Unit {
  rows: ManifestRow[];
  /** Images a class, in the order of the labels given. */
  counts: number[];
}

/**
 * Gathers images into units: all images of a group, and all groups that a pair of near-duplicates
 * links, directly or through others.
 *
 * @param rows Usable images; the order of units is that of their first image.
 * @param nearDuplicates Pairs of paths; those with a path that is not in `rows` say nothing.
 */
function gatherUnits(
  rows: readonly ManifestRow[],
  nearDuplicates: readonly (readonly [string, string])[],
  labels: readonly string[],
): Unit[] {
  const sets = new StaticDisjointSet(rows.length);
  for (const [first, ...others] of Map.groupBy(rows.keys(), (i) => rows[i]!.group).values()) {
    for (const other of others) sets.union(first!, other);
  }
  const indexOf = new Map(rows.map(({ path }, i) => [path, i]));
  for (const [a, b] of nearDuplicates) {
    const [i, j] = [indexOf.get(a), indexOf.get(b)];
    if (i !== undefined && j !== undefined) sets.union(i, j);
  }
  return sets.compile().map((indices) => {
    const own = indices.map((i) => rows[i]!);
    const counts = labels.map((label) => own.filter((row) => row.label === label).length);
    return { rows: own, counts };
  });
}

/** More gain nothing from 40 groups on, and under 4 % with 20. */
const RANDOM_STARTS = 32;

/**
 * Divides the usable images into training, validation and test images. No group and no cluster of
 * near-duplicates crosses subsets; the fractions, and the share of every class in them, are as near
 * to the request as that allows (see `balance`).
 *
 * The same rows and seed give the same split on every machine, in whatever order the rows come.
 *
 * @param rows The manifest; rows that are not `ok` are left out.
 * @param nearDuplicates Pairs of paths, from `nearDuplicatePairs`.
 * @returns In code-point order of the paths.
 * @throws {DataError} When there are not two classes, or too few groups for every subset to hold
 *   every class: scores would then mean nothing.
 */
export function stratifiedSplit(
  rows: readonly ManifestRow[],
  fractions: Fractions,
  seed: number,
  nearDuplicates: readonly (readonly [string, string])[],
): SplitRow[] {
  const sorted = usable(rows).sort((a, b) => compareCodePoints(a.path, b.path));
  const labels = [...new Set(sorted.map(({ label }) => label))].sort(compareCodePoints);
  if (labels.length < 2) {
    throw new DataError(
      labels.length === 0
        ? "There are no usable images to divide."
        : `All ${sorted.length} usable images have the label ${labels[0]}.`,
      "Add images of the other class; notebook 02 lists what is there and what could not be used.",
    );
  }
  const units = gatherUnits(sorted, nearDuplicates, labels);
  const { subsets } = balanceFromManyStarts(
    units.map(({ counts }) => counts),
    SUBSETS.map((subset) => fractions[subset]),
    createRandom(`${seed}/split`),
    RANDOM_STARTS,
  );
  const split = units.flatMap((unit, i) =>
    unit.rows.map(({ path, label, group, sha256 }): SplitRow => {
      return { path, label, group, sha256, subset: SUBSETS[subsets[i]!]! };
    })
  ).sort((a, b) => compareCodePoints(a.path, b.path));
  const lack = describeMissingClasses(split);
  if (lack === null) return split;
  throw new DataError(
    `The images cannot be divided so that every subset holds every class. They form ` +
      `${units.length} groups that must stay whole (patients or slides, joined where images are ` +
      `near-duplicates); the best division is:${lack}`,
    "Add images from more patients or slides, so that at least three groups hold each class, or " +
      "check data.groupPattern: it may capture too little of the name.",
  );
}

/** What makes a subset without any image of a class worse than every imbalance. */
const EMPTY_PENALTY = 1000;

/** Smaller gains are rounding errors. */
const MIN_GAIN = 1e-9;

/**
 * Kinds of units of each subset that are tried in an exchange. Where there are more, a few hundred
 * spread over all sizes hold one that fits to the image.
 */
const MOST_KINDS = 200;

/** A way of putting units into subsets. */
interface Assignment {
  /** Subset index of every unit. */
  subsets: number[];
  /** Sum of squared deviations from the request, in shares of each class; 0 is perfect. */
  cost: number;
}

/** What every imbalance is measured against. */
interface Request {
  /** Requested fraction of every subset, summing to 1. */
  fractions: readonly number[];
  /** Images of each class in all subsets. */
  totals: readonly number[];
}

/**
 * How far a subset is from what it should hold: the sum over classes of the squared difference from
 * the request, in shares of the class, so that a rare class weighs as much as a frequent one.
 *
 * @param held Images of each class in the subset, before `joins` come and `leaves` go.
 * @param penalty Added for every class of which the subset holds nothing.
 */
function imbalance(
  held: readonly number[],
  joins: readonly number[],
  leaves: readonly number[],
  fraction: number,
  totals: readonly number[],
  penalty: number,
): number {
  let cost = 0;
  for (let c = 0; c < totals.length; c++) { // no allocation: this is called millions of times
    const n = held[c]! + joins[c]! - leaves[c]!;
    cost += (n / totals[c]! - fraction) ** 2 + (n === 0 ? penalty : 0);
  }
  return cost;
}

/**
 * Puts units into subsets so that every subset gets its fraction of every class, as nearly as whole
 * units allow.
 *
 * One by one, in the order given, each unit goes where the sum of squared deviations stays least
 * (the greedy step of Sechidis, Tsoumakas & Vlahavas 2011 and of scikit-learn's
 * StratifiedGroupKFold). Then single moves and swaps of two units are made, the best one first,
 * until none helps. Units of the same composition are interchangeable: they are tried once a kind,
 * and of very many kinds an even selection, so that 100,000 images take seconds.
 *
 * @param counts Images a class, of every unit.
 * @param order Order in which units are placed.
 * @param fractions Requested fraction of every subset, summing to 1.
 */
function balance(
  counts: readonly (readonly number[])[],
  order: readonly number[],
  fractions: readonly number[],
): Assignment {
  const totals = counts[0]!.map((_, c) => counts.reduce((sum, unit) => sum + unit[c]!, 0));
  const none = totals.map(() => 0);
  const held = fractions.map(() => [...none]); // [subsets, classes]
  const subsets = new Array<number>(counts.length).fill(0);
  for (const unit of order) {
    const joins = counts[unit]!;
    const rise = held.map((own, s) =>
      imbalance(own, joins, none, fractions[s]!, totals, 0) -
      imbalance(own, none, none, fractions[s]!, totals, 0)
    );
    subsets[unit] = rise.indexOf(Math.min(...rise));
    add(held[subsets[unit]!]!, joins, 1);
  }
  improve(counts, order, { fractions, totals }, held, subsets);
  const costs = held.map((own, s) =>
    imbalance(own, none, none, fractions[s]!, totals, EMPTY_PENALTY)
  );
  return { subsets, cost: costs.reduce((a, b) => a + b, 0) };
}

/** An exchange between two subsets: a unit of one kind for one of another, or for nothing. */
interface Exchange {
  gain: number;
  from: number;
  to: number;
  kind: number;
  /** `null`: a move. */
  inReturn: number | null;
}

/** Makes the best exchange, again and again, until none gains; alters `held` and `subsets`. */
function improve(
  counts: readonly (readonly number[])[],
  order: readonly number[],
  request: Request,
  held: number[][],
  subsets: number[],
): void {
  const kinds = [...Map.groupBy(order, (unit) => counts[unit]!.join()).values()];
  const kindCounts = kinds.map((units) => counts[units[0]!]!);
  const stock = held.map((_, s) =>
    // units of each kind in each subset: [subsets, kinds]
    kinds.map((units) => units.filter((unit) => subsets[unit] === s))
  );
  const transfer = (from: number, to: number, kind: number): void => {
    const unit = stock[from]![kind]!.pop()!;
    stock[to]![kind]!.push(unit);
    subsets[unit] = to;
    add(held[from]!, kindCounts[kind]!, -1);
    add(held[to]!, kindCounts[kind]!, 1);
  };
  for (;;) {
    const best = bestExchange(kindCounts, stock, request, held);
    if (best === null) return;
    transfer(best.from, best.to, best.kind);
    if (best.inReturn !== null) transfer(best.to, best.from, best.inReturn);
  }
}

function bestExchange(
  kindCounts: readonly (readonly number[])[],
  stock: readonly (readonly number[][])[],
  { fractions, totals }: Request,
  held: readonly (readonly number[])[],
): Exchange | null {
  const none = totals.map(() => 0);
  const cost = (s: number, joins: readonly number[], leaves: readonly number[]): number =>
    imbalance(held[s]!, joins, leaves, fractions[s]!, totals, EMPTY_PENALTY);
  const available = stock.map((kinds) =>
    thinned([...kinds.keys()].filter((k) => kinds[k]!.length > 0))
  );
  let best: Exchange | null = null;
  for (const from of held.keys()) {
    for (const to of held.keys()) {
      if (from === to) continue;
      const before = cost(from, none, none) + cost(to, none, none);
      // a swap is seen from one side only; a move has a direction
      const returns: (number | null)[] = from < to ? [null, ...available[to]!] : [null];
      for (const kind of available[from]!) {
        const leaves = kindCounts[kind]!;
        for (const inReturn of returns) {
          const joins = inReturn === null ? none : kindCounts[inReturn]!;
          const gain = before - cost(from, joins, leaves) - cost(to, leaves, joins);
          if (gain > (best?.gain ?? MIN_GAIN)) best = { gain, from, to, kind, inReturn };
        }
      }
    }
  }
  return best;
}

/** Every nth item, so that at most {@linkcode MOST_KINDS} are left. */
function thinned(items: readonly number[]): number[] {
  const stride = Math.ceil(items.length / MOST_KINDS);
  return items.filter((_, i) => i % stride === 0);
}

function add(held: number[], unit: readonly number[], sign: 1 | -1): void {
  for (const [c, n] of unit.entries()) held[c]! += sign * n;
}

/**
 * The least cost that whole images allow, if every image could go anywhere: in every class each
 * subset gets its fraction rounded by largest remainders, which is nearest in squares.
 */
function leastCost(totals: readonly number[], fractions: readonly number[]): number {
  return totals.reduce((cost, total) => {
    const remainders = fractions.map((fraction) => (fraction * total) % 1).sort((a, b) => b - a);
    const up = Math.round(remainders.reduce((a, b) => a + b, 0));
    const misses = remainders.map((rest, i) => (i < up ? 1 - rest : rest) / total);
    return cost + misses.reduce((sum, miss) => sum + miss ** 2, 0);
  }, 0);
}

/**
 * {@linkcode balance} from several orders: once with the largest units first, then with random ones,
 * since where one start gets stuck another may not. The best result counts; of equals the first.
 * It ends early with a result that cannot be improved.
 *
 * @param starts Number of random orders beside the first.
 */
export function balanceFromManyStarts(
  counts: readonly (readonly number[])[],
  fractions: readonly number[],
  random: Random,
  starts: number,
): Assignment {
  const size = counts.map((unit) => unit.reduce((a, b) => a + b, 0));
  const shuffled = random.shuffle([...counts.keys()]);
  const largestFirst = shuffled.toSorted((a, b) => size[b]! - size[a]!); // a stable sort
  const totals = counts[0]!.map((_, c) => counts.reduce((sum, unit) => sum + unit[c]!, 0));
  const least = leastCost(totals, fractions);
  let best = balance(counts, largestFirst, fractions);
  for (let i = 0; i < starts && best.cost > least + MIN_GAIN; i++) {
    const other = balance(counts, random.shuffle(shuffled), fractions);
    if (other.cost < best.cost - MIN_GAIN) best = other;
  }
  return best;
}
