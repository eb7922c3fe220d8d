import { readCsv, writeCsv } from "../core/csv.ts";
import type { Config, Policy } from "../core/settings.ts";

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

/** The pairs of near-duplicates among the findings, some of images that are not used. */
export function nearDuplicatePairs(findings: readonly Finding[]): [string, string][] {
  return findings
    .filter(({ finding }) => finding.endsWith("near_duplicate"))
    .map(({ path, other_path }) => [path, other_path]);
}

/** What is done about each kind of finding: `config.data.audit`. */
export type AuditPolicies = Config["data"]["audit"];

/** What is done about a kind of finding: what cannot be decoded is left out, hints are only shown. */
export function policyOf(kind: FindingKind, audit: AuditPolicies): Policy {
  const field = fieldOf(kind, audit);
  if (field !== null) return audit[field];
  return kind === "unreadable" || kind === "left_out_by_labels" ? "drop" : "warn";
}

/** The field that rules a kind of finding, of the same name in camel case; `null`: it is no choice. */
function fieldOf(kind: FindingKind, audit: AuditPolicies): keyof AuditPolicies | null {
  const field = kind.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
  return Object.hasOwn(audit, field) ? field as keyof AuditPolicies : null;
}

const EFFECTS: Readonly<Record<Policy, string>> = {
  drop: "left out",
  warn: "used, and shown below",
  keep: "used, and named in audit.csv alone",
};

const HINTS: Partial<Record<FindingKind, string>> = {
  case_collision: "used",
  skipped: "not looked at",
};

const DROPS: Partial<Record<FindingKind, string>> = {
  duplicate: "left out but for the first",
  near_duplicate: "left out but for the first",
  conflicting_labels: "left out, every one of them",
  conflicting_near_duplicate: "left out, every one of them",
};

const KINDS = Object.keys(FINDING_MEANINGS) as FindingKind[];

/**
 * Every kind of finding with its field and value in the config, and what becomes of the images, for
 * a table before anything is left out.
 */
export function auditPolicies(audit: AuditPolicies) {
  return KINDS.map((finding) => {
    const [field, policy] = [fieldOf(finding, audit), policyOf(finding, audit)];
    return {
      finding,
      meaning: FINDING_MEANINGS[finding],
      policy: field === null ? "always" : `data.audit.${field}: "${policy}"`,
      effect: HINTS[finding] ?? (policy === "drop" ? DROPS[finding] : null) ?? EFFECTS[policy],
    };
  });
}

/** How much was found of each kind, in the order of {@linkcode auditPolicies}, for a table. */
export function auditCounts(findings: readonly Finding[], audit: AuditPolicies) {
  const counts = Map.groupBy(findings, ({ finding }) => finding);
  return KINDS.filter((kind) => counts.has(kind)).map((finding) => ({
    finding,
    meaning: FINDING_MEANINGS[finding],
    policy: policyOf(finding, audit),
    count: counts.get(finding)!.length,
  }));
}
