import { readCsv, writeCsv } from "../csv.ts";

/**
 * What can be found about an image or its file. What is done about it is `config.data.audit`, but
 * for four: `unreadable` and `left_out_by_labels` are always left out, the last two are for
 * information.
 */
export const FINDING_MEANINGS = {
  unreadable: "cannot be decoded",
  wrong_extension: "content of another format than the name says",
  unusual_mode: "grey, 16-bit, CMYK, or transparency that hides tissue",
  size_outlier: "far smaller or larger than the other images",
  aspect_outlier: "far longer or taller than the other images",
  blurred: "far less sharp than the other images",
  too_dark: "nearly black",
  too_bright: "nearly white",
  nearly_uniform: "hardly any structure",
  empty_margin: "a broad border without tissue",
  duplicate: "the same bytes as another image of its class",
  conflicting_labels: "the same bytes as an image of another class",
  near_duplicate: "shows the same as another image of its class",
  conflicting_near_duplicate: "shows the same as an image of another class",
  left_out_by_labels: "an empty label in labels.csv",
  case_collision: "a path that differs from another by case alone: one file on other systems",
  skipped: "files of a class folder that were not looked at",
} as const;

/** The name of a finding in audit.csv. */
export type FindingKind = keyof typeof FINDING_MEANINGS;

/** One row of audit.csv. */
export interface Finding {
  /** Image the finding is about, relative to the data folder. */
  path: string;
  finding: FindingKind;
  /** In plain words, with the measured value. */
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

/**
 * The pairs of near-duplicates among the findings: what the split must not separate. Some may be of
 * images that are not used.
 */
export function nearDuplicatePairs(findings: readonly Finding[]): [string, string][] {
  return findings
    .filter(({ finding }) => finding.endsWith("near_duplicate"))
    .map(({ path, other_path }) => [path, other_path]);
}
