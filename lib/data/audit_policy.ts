import type { Config, Policy } from "../config_schema.ts";
import { type Finding, FINDING_MEANINGS, type FindingKind } from "./findings.ts";

/** What is done about each kind of finding: `config.data.audit`. */
export type AuditPolicies = Config["data"]["audit"];

/** The field of `config.data.audit` that rules each kind of finding; `null`: it is no choice. */
const FIELDS: Readonly<Record<FindingKind, keyof AuditPolicies | null>> = {
  unreadable: null,
  left_out_by_labels: null,
  wrong_extension: "wrongExtension",
  unusual_mode: "unusualMode",
  size_outlier: "sizeOutlier",
  aspect_outlier: "aspectOutlier",
  blurred: "blurred",
  too_dark: "tooDark",
  too_bright: "tooBright",
  nearly_uniform: "nearlyUniform",
  empty_margin: "emptyMargin",
  duplicate: "duplicate",
  conflicting_labels: "conflictingLabels",
  near_duplicate: "nearDuplicate",
  conflicting_near_duplicate: "conflictingNearDuplicate",
  case_collision: null,
  skipped: null,
};

/** What is done about a kind of finding: what cannot be decoded is left out, hints are only shown. */
export function policyOf(kind: FindingKind, audit: AuditPolicies): Policy {
  const field = FIELDS[kind];
  if (field !== null) return audit[field];
  return kind === "unreadable" || kind === "left_out_by_labels" ? "drop" : "warn";
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

/** A kind of finding and what is done about it, for a table. */
export interface PolicyRow {
  finding: FindingKind;
  meaning: string;
  /** Field and value in the config. */
  policy: string;
  /** What becomes of the images, in words. */
  effect: string;
}

/** Every kind of finding with what is done about it, for a table before anything is left out. */
export function auditPolicies(audit: AuditPolicies): PolicyRow[] {
  return kinds().map((finding) => {
    const [field, policy] = [FIELDS[finding], policyOf(finding, audit)];
    return {
      finding,
      meaning: FINDING_MEANINGS[finding],
      policy: field === null ? "always" : `data.audit.${field}: "${policy}"`,
      effect: HINTS[finding] ?? (policy === "drop" ? DROPS[finding] : null) ?? EFFECTS[policy],
    };
  });
}

/** How much was found of each kind, in the order of {@linkcode auditPolicies}, for a table. */
export function auditCounts(
  findings: readonly Finding[],
  audit: AuditPolicies,
): { finding: FindingKind; meaning: string; policy: Policy; count: number }[] {
  const counts = Map.groupBy(findings, ({ finding }) => finding);
  return kinds().filter((kind) => counts.has(kind)).map((finding) => ({
    finding,
    meaning: FINDING_MEANINGS[finding],
    policy: policyOf(finding, audit),
    count: counts.get(finding)!.length,
  }));
}

function kinds(): FindingKind[] {
  return Object.keys(FINDING_MEANINGS) as FindingKind[];
}
