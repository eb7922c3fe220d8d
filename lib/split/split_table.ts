import { percent } from "../in_words.ts";
import type { Fractions, SplitRow } from "./split.ts";
import { subsetCounts } from "./subset_counts.ts";

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
