import { type SplitRow, type Subset, SUBSETS } from "./split.ts";

/** How much there is in one subset. */
export interface SubsetCount {
  subset: Subset;
  images: number;
  /** Share of all images, 0 to 1. */
  fraction: number;
  groups: number;
  /** Images of each class, by label. */
  classes: Record<string, number>;
}

/** Images, groups and classes a subset, in the order of the subsets. */
export function subsetCounts(rows: readonly SplitRow[]): SubsetCount[] {
  const labels = [...new Set(rows.map(({ label }) => label))].sort();
  return SUBSETS.map((subset) => {
    const own = rows.filter((row) => row.subset === subset);
    return {
      subset,
      images: own.length,
      fraction: own.length / rows.length,
      groups: new Set(own.map(({ group }) => group)).size,
      classes: Object.fromEntries(
        labels.map((label) => [label, own.filter((row) => row.label === label).length]),
      ),
    };
  });
}

/** A table of what each subset holds, when one of them lacks a class; else `null`. */
export function describeMissingClasses(rows: readonly SplitRow[]): string | null {
  const counts = subsetCounts(rows);
  if (counts.every(({ classes }) => Object.values(classes).every((n) => n > 0))) return null;
  return counts.map(({ subset, classes }) =>
    `\n  ${subset}: ` + Object.entries(classes).map(([label, n]) => `${n} ${label}`).join(", ")
  ).join("");
}
