import { readCsv } from "../csv.ts";
import { compareCodePoints } from "../data/compare_code_points.ts";
import { type ManifestRow, usable } from "../data/manifest.ts";
import { pathFinder } from "../data/path_finder.ts";
import { DataError } from "../errors.ts";
import { listLines } from "../list_lines.ts";
import { type SplitRow, type Subset, SUBSETS } from "./split.ts";
import { describeMissingClasses } from "./subset_counts.ts";

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
