import { readCsv, writeCsv } from "../csv.ts";

/**
 * What can be found about an image or its file:
 * - `unreadable`: it cannot be decoded and is left out;
 * - `wrong_extension`: its content is of another format than its name says; used all the same;
 * - `duplicate`: the same bytes as `other_path`; left out;
 * - `conflicting_labels`: the same bytes in two class folders; both are left out;
 * - `near_duplicate`: shows the same as `other_path`; used, and kept in one subset with it;
 * - `case_collision`: its path differs from `other_path` by case alone: one file on other systems;
 * - `skipped`: files of a class folder that were not looked at.
 */
export type FindingKind =
  | "unreadable"
  | "wrong_extension"
  | "duplicate"
  | "conflicting_labels"
  | "near_duplicate"
  | "case_collision"
  | "skipped";

/** One row of audit.csv. */
export interface Finding {
  /** Image the finding is about, relative to the data folder. */
  path: string;
  finding: FindingKind;
  /** In plain words. */
  detail: string;
  /** The other image of a pair, else empty. */
  other_path: string;
}

const COLUMNS = ["path", "finding", "detail", "other_path"] as const;

/** Writes audit.csv, atomically. */
export async function writeFindings(path: string, findings: readonly Finding[]): Promise<void> {
  await writeCsv(path, COLUMNS, findings);
}

/**
 * Reads audit.csv.
 *
 * @throws {DataError} When it is missing or damaged.
 */
export async function readFindings(path: string): Promise<Finding[]> {
  const rows = await readCsv(path, COLUMNS, "Run notebook 02 again; it writes this file.");
  return rows.map((row) => ({ ...row, finding: row.finding as FindingKind }));
}

/** The pairs of near-duplicates among the findings: what the split must not separate. */
export function nearDuplicatePairs(findings: readonly Finding[]): [string, string][] {
  return findings
    .filter(({ finding }) => finding === "near_duplicate")
    .map(({ path, other_path }) => [path, other_path]);
}
