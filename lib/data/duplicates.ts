import type { Finding } from "./findings.ts";
import type { ManifestRow } from "./manifest.ts";

/**
 * Sets aside images whose files have the same bytes: of copies under one label the first is kept,
 * of copies under several labels none, since at least one label is wrong.
 *
 * @param rows In the order of their paths; those that are not `ok` pass unchanged.
 */
export function setAsideDuplicates(
  rows: readonly ManifestRow[],
): { rows: ManifestRow[]; findings: Finding[] } {
  const copies = Map.groupBy(rows.filter(({ status }) => status === "ok"), (row) => row.sha256);
  const findings: Finding[] = [];
  const result = rows.map((row) => {
    const same = row.status === "ok" ? copies.get(row.sha256) ?? [] : [];
    const first = same[0];
    if (first === undefined || same.length === 1) return row;
    const contrary = same.find(({ label }) => label !== row.label);
    if (contrary) {
      findings.push({
        path: row.path,
        finding: "conflicting_labels",
        detail: `The same file is labelled ${row.label} and ${contrary.label}; none is used.`,
        other_path: contrary.path,
      });
      return { ...row, status: `conflicting labels: the same file as ${contrary.path}` };
    }
    if (first.path === row.path) return row;
    findings.push({
      path: row.path,
      finding: "duplicate",
      detail: first.group === row.group
        ? "The same file twice; only the other is used."
        : `The same file twice, in the groups ${first.group} and ${row.group}; only the other is ` +
          "used.",
      other_path: first.path,
    });
    return { ...row, status: `duplicate of ${first.path}` };
  });
  return { rows: result, findings };
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
