import type { OnProgress } from "../progress.ts";
import type { AuditPolicies } from "./audit_policy.ts";
import type { Finding } from "./findings.ts";
import type { Fingerprint } from "./fingerprint.ts";
import type { ManifestRow } from "./manifest.ts";
import { findNearDuplicates, type NearDuplicate } from "./near_duplicates.ts";
import { createUnionFind } from "./union_find.ts";

/**
 * Finds images that show the same and sets them aside where the policies say `drop`. Of a cluster
 * with several labels none is then used; of a cluster, or what is used of it, the first of a label.
 * Pairs are sought among used images alone, so that a chain never runs through one that is left out.
 *
 * @param rows In the order of their paths; those that are not `ok` pass unchanged.
 * @param fingerprints Of the rows, in their order; `null` where there is none.
 */
export async function setAsideNearDuplicates(
  rows: readonly ManifestRow[],
  fingerprints: readonly (Fingerprint | null)[],
  audit: Pick<AuditPolicies, "nearDuplicate" | "conflictingNearDuplicate">,
  onProgress?: OnProgress,
): Promise<{ rows: ManifestRow[]; findings: Finding[] }> {
  const images = rows.flatMap((row, i) => {
    const fingerprint = fingerprints[i];
    return row.status === "ok" && fingerprint ? [{ ...fingerprint, row }] : [];
  });
  const pairs = await findNearDuplicates(images, onProgress);
  const used = images.map(({ row }) => row);
  const statuses = statusesOf(used, pairs, audit);
  return {
    rows: rows.map((row) => ({ ...row, status: statuses.get(row.path) ?? row.status })),
    findings: pairs.map((pair) => describePair(pair, used, statuses)),
  };
}

/** Why an image of a cluster is not used, by path; those that are used have no entry. */
function statusesOf(
  rows: readonly ManifestRow[],
  pairs: readonly NearDuplicate[],
  audit: Pick<AuditPolicies, "nearDuplicate" | "conflictingNearDuplicate">,
): Map<string, string> {
  const sets = createUnionFind(rows.length);
  for (const { first, second } of pairs) sets.unite(first, second);
  const statuses = new Map<string, string>();
  for (const indices of Map.groupBy(rows.keys(), (i) => sets.find(i)).values()) {
    const cluster = indices.map((i) => rows[i]!);
    for (const row of cluster) {
      const first = cluster.find(({ label }) => label === row.label)!;
      const contrary = cluster.find(({ label }) => label !== row.label);
      if (contrary && audit.conflictingNearDuplicate === "drop") {
        statuses.set(row.path, `conflicting labels: shows the same as ${contrary.path}`);
      } else if (first !== row && audit.nearDuplicate === "drop") {
        statuses.set(row.path, `near-duplicate of ${first.path}`);
      }
    }
  }
  return statuses;
}

function describePair(
  { first, second, correlation, symmetry }: NearDuplicate,
  rows: readonly ManifestRow[],
  statuses: ReadonlyMap<string, string>,
): Finding {
  const [a, b] = [rows[first]!, rows[second]!];
  const left = [b, a].filter(({ path }) => statuses.has(path));
  const use = left.length === 0
    ? "both stay in one subset."
    : left.length === 2
    ? "neither is used."
    : left[0] === b
    ? "only the other is used."
    : "the other is not used.";
  const labels = a.label === b.label
    ? ""
    : ` Their labels differ (${b.label}, ${a.label}): look at both.`;
  const turned = symmetry === "as it is" ? "" : `, ${symmetry}`;
  return {
    path: b.path,
    finding: a.label === b.label ? "near_duplicate" : "conflicting_near_duplicate",
    detail: `Shows the same as the other${turned} (correlation ${correlation.toFixed(3)}); ` +
      use + labels,
    other_path: a.path,
  };
}
