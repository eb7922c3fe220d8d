import { DataError } from "../core/errors.ts";
import { fromRoot, runPaths } from "../core/paths.ts";
import type { Config } from "../core/settings.ts";
import type { OnProgress } from "../core/stop.ts";
import {
  type AuditPolicies,
  type Finding,
  FINDING_MEANINGS,
  policyOf,
  writeFindings,
} from "../run/findings.ts";
import { type ManifestRow, writeManifest } from "../run/manifest.ts";
import { findCaseCollisions, setAsideDuplicates, setAsideNearDuplicates } from "./duplicates.ts";
import { imageFindings } from "./image_findings.ts";
import { type ListedImage, listLabelled } from "./labels.ts";
import { type ReadImage, readImages, scanCachePath } from "./read_images.ts";

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

/**
 * Scans the run's data folder and writes manifest.parquet and audit.csv. What was read of files that
 * have not changed since the last scan, of any run, is remembered.
 *
 * @param progress Makes a display for each stretch of work: `showProgress`.
 * @throws {DataError} See `scanDataset`.
 */
export async function scanRun(
  config: Config,
  progress?: (label: string) => OnProgress,
): Promise<{ rows: ManifestRow[]; findings: Finding[] }> {
  const folder = fromRoot(config.data.folder);
  const options = { progress, cachePath: scanCachePath(folder) };
  const scan = await scanDataset(folder, config.data, options);
  const paths = runPaths(config.run);
  await writeManifest(paths.manifest, scan.rows);
  await writeFindings(paths.audit, scan.findings);
  return scan;
}

/** How much there is of one class. */
interface ClassCount {
  label: string;
  /** Usable images. */
  images: number;
  /** Share of all usable images, 0 to 1. */
  share: number;
  /** Groups with at least one image of the class. */
  groups: number;
  /** Images that are not used. */
  left_out: number;
}

/** Images and groups a class, in the order of `classes`. */
export function classCounts(
  rows: readonly ManifestRow[],
  classes: readonly string[],
): ClassCount[] {
  const total = rows.filter(({ status }) => status === "ok").length;
  return classes.map((label) => {
    const own = rows.filter((row) => row.label === label);
    const used = own.filter(({ status }) => status === "ok");
    return {
      label,
      images: used.length,
      share: total === 0 ? 0 : used.length / total,
      groups: new Set(used.map(({ group }) => group)).size,
      left_out: own.length - used.length,
    };
  });
}

/**
 * The baseline beside every accuracy: always answering the most frequent class (scikit-learn's
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
