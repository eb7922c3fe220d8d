import type { ManifestRow } from "../data/manifest.ts";
import { createUnionFind } from "../data/union_find.ts";

/** Images that must stay in one subset: groups, joined where near-duplicates link them. */
export interface Unit {
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
export function gatherUnits(
  rows: readonly ManifestRow[],
  nearDuplicates: readonly (readonly [string, string])[],
  labels: readonly string[],
): Unit[] {
  const sets = createUnionFind(rows.length);
  const firstOfGroup = new Map<string, number>();
  for (const [i, { group }] of rows.entries()) {
    const first = firstOfGroup.get(group);
    if (first === undefined) firstOfGroup.set(group, i);
    else sets.unite(first, i);
  }
  const indexOf = new Map(rows.map(({ path }, i) => [path, i]));
  for (const [a, b] of nearDuplicates) {
    const [i, j] = [indexOf.get(a), indexOf.get(b)];
    if (i !== undefined && j !== undefined) sets.unite(i, j);
  }
  const members = Map.groupBy(rows.keys(), (i) => sets.find(i));
  return [...members.values()].map((indices) => {
    const own = indices.map((i) => rows[i]!);
    const counts = labels.map((label) => own.filter((row) => row.label === label).length);
    return { rows: own, counts };
  });
}
