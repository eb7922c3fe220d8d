import { readCsv } from "../csv.ts";
import { compareCodePoints } from "../data/compare_code_points.ts";
import { type ManifestRow, usable } from "../data/manifest.ts";
import { DataError } from "../errors.ts";
import { type SplitRow, type Subset, SUBSETS } from "./split.ts";
import { describeMissingClasses } from "./subset_counts.ts";

const SPELLINGS = new Map<string, Subset>([
  ...SUBSETS.map((subset) => [subset, subset] as const),
  ["val", "validation"],
  ["valid", "validation"],
]);
const MOST_SHOWN = 20;

/**
 * Reads a split that a person brought: a CSV of `path,subset`, one row for every usable image.
 * Images that cannot be used may be in it; `label` and `sha256`, where they are there, must agree
 * with the manifest, and further columns mean nothing.
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
  const given: { path: string; subset: string; label?: string; sha256?: string }[] = await readCsv(
    path,
    ["path", "subset"],
    remedy,
  );
  const images = new Map(manifest.map((row) => [row.path, row]));
  const subsets = new Map<string, Subset>();
  const problems: string[] = [];
  for (const [i, row] of given.entries()) {
    const complain = (what: string) =>
      problems.push(`row ${i + 1}, ${JSON.stringify(row.path)}: ${what}`);
    const image = images.get(row.path);
    const subset = SPELLINGS.get(row.subset.trim().toLowerCase());
    if (!image) complain("there is no such image in the data folder");
    if (!subset) complain(`${JSON.stringify(row.subset)} is no subset`);
    if (subsets.has(row.path)) complain("this image has a row already");
    if (image && row.label && row.label !== image.label) {
      complain(`its label is ${JSON.stringify(image.label)}, not ${JSON.stringify(row.label)}`);
    }
    if (image && row.sha256 && row.sha256 !== image.sha256) complain("the file has other content");
    if (subset) subsets.set(row.path, subset);
  }
  const rows = usable(manifest).sort((a, b) => compareCodePoints(a.path, b.path));
  for (const row of rows) {
    if (!subsets.has(row.path)) problems.push(`${JSON.stringify(row.path)} has no row`);
  }
  if (problems.length > 0) {
    const shown = problems.slice(0, MOST_SHOWN).map((line) => `\n  - ${line}`).join("");
    const more = problems.length > MOST_SHOWN
      ? `\n  … and ${problems.length - MOST_SHOWN} more`
      : "";
    throw new DataError(
      `The split of ${JSON.stringify(path)} cannot be used:${shown}${more}`,
      remedy,
    );
  }
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
