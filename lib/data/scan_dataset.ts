import type { Config } from "../config_schema.ts";
import { DataError } from "../errors.ts";
import type { OnProgress } from "../progress.ts";
import { type AuditPolicies, policyOf } from "./audit_policy.ts";
import { findCaseCollisions, setAsideDuplicates } from "./duplicates.ts";
import { type Finding, FINDING_MEANINGS } from "./findings.ts";
import { imageFindings } from "./image_findings.ts";
import { type ListedImage, listLabelled } from "./list_labelled.ts";
import type { ManifestRow } from "./manifest.ts";
import { type ReadImage, readImages } from "./read_images.ts";
import { setAsideNearDuplicates } from "./set_aside_near_duplicates.ts";

/**
 * Looks at every image of a data folder: decodes it once, measures it, compares it with all others,
 * and leaves out what the policies say: first what is wrong with one image by itself, then exact
 * duplicates among the rest, then near-duplicates among what still remains.
 *
 * @param folder Absolute path of the folder that holds one folder per class.
 * @param config `config.data`.
 * @param options `progress`: called at the beginning of each of two stretches of work, reading and
 *   comparing; `cachePath`: from `scanCachePath`, to remember what was read; `null`: all is read anew.
 * @returns The manifest, in code-point order of the paths, and what was found. Images whose status
 *   is not `ok` are in the manifest but are not used.
 * @throws {DataError} When a class folder is missing, empty or holds no image that can be used, or
 *   when an image has no group.
 */
export async function scanDataset(
  folder: string,
  config: Omit<Config["data"], "folder">,
  { progress = () => () => {}, cachePath = null }: {
    progress?: (label: string) => OnProgress;
    cachePath?: string | null;
  } = {},
): Promise<{ rows: ManifestRow[]; findings: Finding[] }> {
  const { listed, findings: listFindings } = await listLabelled(folder, config);
  const { maxMegapixels, audit } = config;
  const paths = listed.map(({ path }) => path);
  const onProgress = progress("Reading images");
  const images = await readImages(folder, paths, { maxMegapixels, cachePath, onProgress });

  const found = [
    ...listFindings,
    ...listed.flatMap(({ path }, i) => unreadable(path, images[i]!)),
    ...imageFindings(listed.flatMap(({ path }, i) => {
      const { look } = images[i]!;
      return look ? [{ path, look }] : [];
    })),
  ];
  const single = listed.map((image, i) => manifestRow(image, images[i]!));
  const exact = setAsideDuplicates(setAside(single, found, audit), audit);
  const prints = images.map(({ look }) => look?.fingerprint ?? null);
  const compared = progress("Comparing images");
  const near = await setAsideNearDuplicates(exact.rows, prints, audit, compared);
  checkClasses(near.rows, config.classes);
  return {
    rows: near.rows,
    findings: [
      ...found,
      ...exact.findings,
      ...near.findings,
      ...findCaseCollisions(paths),
    ],
  };
}

function manifestRow(listed: ListedImage, { sha256, look }: ReadImage): ManifestRow {
  return {
    ...listed,
    sha256,
    dhash: look?.fingerprint.dhash ?? "",
    width: look?.width ?? 0,
    height: look?.height ?? 0,
    channels: look?.channels ?? 0,
    format: look?.format ?? "",
    status: "ok",
  };
}

function unreadable(path: string, { look, error }: ReadImage): Finding[] {
  return look ? [] : [{ path, finding: "unreadable", detail: error, other_path: "" }];
}

/** The rows, those with a finding that leaves its image out with that as their status. */
function setAside(
  rows: readonly ManifestRow[],
  findings: readonly Finding[],
  audit: AuditPolicies,
): ManifestRow[] {
  const dropped = new Map<string, Finding>();
  for (const finding of findings) {
    const isDropped = policyOf(finding.finding, audit) === "drop";
    if (isDropped && !dropped.has(finding.path)) dropped.set(finding.path, finding);
  }
  return rows.map((row) => {
    const reason = dropped.get(row.path);
    return reason ? { ...row, status: describeStatus(reason) } : row;
  });
}

function describeStatus({ finding, detail }: Finding): string {
  return finding === "unreadable"
    ? `unreadable: ${detail}`
    : `${FINDING_MEANINGS[finding]}: ${detail}`;
}

function checkClasses(rows: readonly ManifestRow[], classes: readonly string[]): void {
  for (const label of classes) {
    const own = rows.filter((row) => row.label === label);
    if (own.some(({ status }) => status === "ok")) continue;
    const shown = own.slice(0, 3).map(({ path, status }) =>
      `\n  - ${JSON.stringify(path)}: ${status}`
    );
    throw new DataError(
      `None of the ${own.length} images of the class ${label} can be used:${shown.join("")}`,
      "Replace these files, or set data.audit to leave out less; learning needs examples of every " +
        "class.",
    );
  }
}
