import type { Fractions, SplitRow } from "./split.ts";
import { subsetCounts } from "./subset_counts.ts";

const percent = (value: number) => `${(100 * value).toFixed(1)} %`;

/**
 * What each subset holds beside what was asked for, a row a subset, ready for a table: images,
 * groups, fraction achieved and requested, and for each class its images and its share among the
 * subset's images. The last row has the whole.
 *
 * @param requested `config.split`; a split that was given has no request, so that its column is
 *   empty there.
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
      return [label, `${n} (${percent(n / Math.max(1, own.length))})`];
    }));
  return [
    ...counts.map(({ subset, images, groups, fraction }) => ({
      subset,
      images,
      groups,
      fraction: percent(fraction),
      requested: requested ? percent(requested[subset]) : "",
      ...cells(rows.filter((row) => row.subset === subset)),
    })),
    {
      subset: "all",
      images: rows.length,
      groups: new Set(rows.map(({ group }) => group)).size,
      fraction: "100.0 %",
      requested: requested ? "100.0 %" : "",
      ...cells(rows),
    },
  ];
}
