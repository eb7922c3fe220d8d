import { compareCodePoints } from "../data/compare_code_points.ts";
import { type ManifestRow, usable } from "../data/manifest.ts";
import { DataError } from "../errors.ts";
import { createRandom } from "../random.ts";
import { balanceFromManyStarts } from "./balance.ts";
import { type Fractions, type SplitRow, SUBSETS } from "./split.ts";
import { describeMissingClasses } from "./subset_counts.ts";
import { gatherUnits } from "./units.ts";

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
