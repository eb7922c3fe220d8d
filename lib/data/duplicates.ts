import type { AuditPolicies } from "./audit_policy.ts";
import type { Finding } from "./findings.ts";
import type { ManifestRow } from "./manifest.ts";

/**
 * Finds images whose files have the same bytes and sets them aside where the policies say `drop`: of
 * copies under one label the first is kept, of copies under several labels none, since at least one
 * label is wrong.
 *
 * @param rows In the order of their paths; those that are not `ok` pass unchanged.
 */
export function setAsideDuplicates(
  rows: readonly ManifestRow[],
  audit: Pick<AuditPolicies, "duplicate" | "conflictingLabels">,
): { rows: ManifestRow[]; findings: Finding[] } {
  const copies = Map.groupBy(rows.filter(({ status }) => status === "ok"), (row) => row.sha256);
  const findings: Finding[] = [];
  const result = rows.map((row) => {
    const same = row.status === "ok" ? copies.get(row.sha256)! : [];
    const contrary = same.find(({ label }) => label !== row.label);
    if (contrary) {
      findings.push(describeConflict(row, contrary, audit.conflictingLabels === "drop"));
      if (audit.conflictingLabels === "drop") {
        return { ...row, status: `conflicting labels: the same file as ${contrary.path}` };
      }
    }
    const first = same.find(({ label }) => label === row.label);
    if (first === undefined || first.path === row.path) return row;
    findings.push(describeDuplicate(row, first, audit.duplicate === "drop"));
    return audit.duplicate === "drop" ? { ...row, status: `duplicate of ${first.path}` } : row;
  });
  return { rows: result, findings };
}

function describeConflict(row: ManifestRow, contrary: ManifestRow, isDropped: boolean): Finding {
  return {
    path: row.path,
    finding: "conflicting_labels",
    detail: `The same file is labelled ${row.label} and ${contrary.label}; ` +
      (isDropped ? "none is used." : "at least one label is wrong."),
    other_path: contrary.path,
  };
}

function describeDuplicate(row: ManifestRow, first: ManifestRow, isDropped: boolean): Finding {
  const groups = first.group === row.group || row.group === row.path // each its own group
    ? ""
    : `, in the groups ${first.group} and ${row.group}`;
  return {
    path: row.path,
    finding: "duplicate",
    detail: `The same file twice${groups}; ${isDropped ? "only the other is" : "both are"} used.`,
    other_path: first.path,
  };
}

/** Paths that differ by case (or by how accents are stored) alone: one file on other systems. */
export function findCaseCollisions(paths: readonly string[]): Finding[] {
  const same = Map.groupBy(paths, (path) => path.normalize("NFC").toLowerCase());
  return [...same.values()].flatMap(([first, ...others]) =>
    others.map((path): Finding => ({
      path,
      finding: "case_collision",
      detail: "The two paths differ by upper and lower case alone: on Windows and macOS one " +
        "would overwrite the other.",
      other_path: first!,
    }))
  );
}
