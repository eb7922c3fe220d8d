import { DataError } from "../core/errors.ts";
import type { OnProgress } from "../core/long_work.ts";
import { fromRoot } from "../core/paths.ts";
import type { Config } from "../core/settings.ts";
import { listLines } from "../core/words.ts";
import type { AuditPolicies, Finding } from "../run/findings.ts";
import { FINDING_MEANINGS, policyOf, writeFindings } from "../run/findings.ts";
import { type ManifestRow, usable, writeManifest } from "../run/manifest.ts";
import type { Run } from "../run/run.ts";
import { findCaseCollisions, setAsideDuplicates, setAsideNearDuplicates } from "./duplicates.ts";
import { imageFindings } from "./image_findings.ts";
import { listLabelled } from "./labels.ts";
import { readImages, scanCachePath } from "./read_images.ts";

/**
 * Scans the run's data folder and writes manifest.parquet and audit.csv. What was read of files that
 * have not changed since the last scan, of any run, is remembered.
 *
 * @param progress Makes a display for each stretch of work: `showProgress`.
 * @throws {DataError} See `scanDataset`.
 */
export async function scanRun(
  { config, paths }: Run,
  progress?: (label: string) => OnProgress,
): Promise<{ rows: ManifestRow[]; findings: Finding[] }> {
  const folder = fromRoot(config.data.folder);
  const cachePath = scanCachePath(folder);
  const scan = await scanDataset(folder, config.data, { progress, cachePath });
  await writeManifest(paths.manifest, scan.rows);
  await writeFindings(paths.audit, scan.findings);
  return scan;
}

/**
 * Looks at every image of a data folder: decodes it once, measures it, compares it with all others,
 * and leaves out what the policies say: first what is wrong with one image by itself, then exact
 * duplicates among the rest, then near-duplicates among what still remains.
 *
 * @param folder Absolute path of the folder that holds one folder per class.
 * @param options `progress`: called at the beginning of reading and of comparing; `cachePath`: from
 *   `scanCachePath`, to remember what was read; `null`: every file is read.
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
  const looks = images.map(({ look }) => look);

  const found = [
    ...listFindings,
    ...images.flatMap(({ look, error }, i): Finding[] =>
      look ? [] : [{ path: paths[i]!, finding: "unreadable", detail: error, other_path: "" }]
    ),
    ...imageFindings(paths.flatMap((path, i) => looks[i] ? [{ path, look: looks[i] }] : [])),
  ];
  const single = listed.map((image, i): ManifestRow => {
    const { width = 0, height = 0, channels = 0, format = "", fingerprint } = looks[i] ?? {};
    const content = { sha256: images[i]!.sha256, dhash: fingerprint?.dhash ?? "" };
    return { ...image, ...content, width, height, channels, format, status: "ok" };
  });
  const exact = setAsideDuplicates(setAside(single, found, audit), audit);
  const prints = looks.map((look) => look?.fingerprint ?? null);
  const compared = progress("Comparing images");
  const near = await setAsideNearDuplicates(exact.rows, prints, audit, compared);
  checkClasses(near.rows, config.classes);
  return {
    rows: near.rows,
    findings: [...found, ...exact.findings, ...near.findings, ...findCaseCollisions(paths)],
  };
}

/** The rows, those with a finding that leaves its image out with the first one as their status. */
function setAside(
  rows: readonly ManifestRow[],
  findings: readonly Finding[],
  audit: AuditPolicies,
): ManifestRow[] {
  const dropped = findings.filter(({ finding }) => policyOf(finding, audit) === "drop");
  const reasons = new Map(dropped.toReversed().map((finding) => [finding.path, finding]));
  return rows.map((row) => {
    const { finding, detail } = reasons.get(row.path) ?? {};
    if (!finding) return row;
    const meaning = finding === "unreadable" ? finding : FINDING_MEANINGS[finding];
    return { ...row, status: `${meaning}: ${detail}` };
  });
}

function checkClasses(rows: readonly ManifestRow[], classes: readonly string[]): void {
  for (const label of classes) {
    const own = rows.filter((row) => row.label === label);
    if (own.some(({ status }) => status === "ok")) continue;
    const reasons = own.map(({ path, status }) => `${JSON.stringify(path)}: ${status}`);
    throw new DataError(
      `None of the ${own.length} images of the class ${label} can be used:${listLines(reasons, 3)}`,
      "Replace these files, or set data.audit to leave out less: learning needs every class.",
    );
  }
}

/**
 * How much there is of each class, in the order of `classes`: usable images, their share of all
 * usable images (0 to 1), groups with at least one of them, and images that are not used.
 */
export function classCounts(rows: readonly ManifestRow[], classes: readonly string[]) {
  const total = usable(rows).length;
  return classes.map((label) => {
    const own = rows.filter((row) => row.label === label);
    const used = usable(own);
    const share = total === 0 ? 0 : used.length / total;
    const groups = new Set(used.map(({ group }) => group)).size;
    return { label, images: used.length, share, groups, left_out: own.length - used.length };
  });
}

/**
 * The baseline beside every accuracy: always predicting the most frequent class (scikit-learn's
 * `DummyClassifier(strategy="most_frequent")`).
 *
 * @param labels Labels of the images that are scored.
 * @returns The class and its accuracy, 0 to 1; NaN for no labels. Of equally frequent classes the
 *   one that comes first.
 */
export function majorityBaseline(labels: readonly string[]): { label: string; accuracy: number } {
  let [label, most] = ["", 0];
  for (const [name, own] of Map.groupBy(labels, (name) => name)) {
    if (own.length > most) [label, most] = [name, own.length];
  }
  return { label, accuracy: most / labels.length };
}
