import { createHash } from "node:crypto";
import { join } from "node:path";
import type { Config } from "../config.ts";
import { DataError, ImageError } from "../errors.ts";
import type { OnProgress } from "../progress.ts";
import { describeSkipped, listClassFolders } from "./class_folders.ts";
import { compareCodePoints } from "./compare_code_points.ts";
import { findCaseCollisions, setAsideDuplicates } from "./duplicates.ts";
import type { Finding } from "./findings.ts";
import { type Fingerprint, fingerprint } from "./fingerprint.ts";
import { groupsOf } from "./group.ts";
import type { ManifestRow } from "./manifest.ts";
import { mapAhead } from "./map_ahead.ts";
import { findNearDuplicates } from "./near_duplicates.ts";
import { DECODES_IN_FLIGHT, openImage, readImageFile } from "./open_image.ts";
import { extensionFits, type ImageFormat } from "./sniff_format.ts";

/** An image before it is looked at. */
type Listed = Pick<ManifestRow, "path" | "label" | "group">;

/** An image after it was looked at; the thumbnail is `null` when it could not be decoded. */
interface Looked {
  row: ManifestRow;
  thumbnail: Uint8Array | null;
}

/**
 * Looks at every image of a data folder: decodes it once, hashes it, compares it with all others.
 *
 * @param folder Absolute path of the folder that holds one folder per class.
 * @param config `config.data`.
 * @returns The manifest, in code-point order of the paths, and what was found. Images whose status
 *   is not `ok` are in the manifest but are not used.
 * @throws {DataError} When a class folder is missing, empty or holds no image that can be decoded,
 *   or when an image has no group.
 */
export async function scanDataset(
  folder: string,
  config: Pick<Config["data"], "classes" | "groupPattern" | "maxMegapixels">,
  onProgress: OnProgress = () => {},
): Promise<{ rows: ManifestRow[]; findings: Finding[] }> {
  const folders = await listClassFolders(folder, config.classes);
  const labelled = folders.flatMap(({ label, paths }) => paths.map((path) => ({ path, label })))
    .sort((a, b) => compareCodePoints(a.path, b.path));
  const groups = groupsOf(labelled.map(({ path }) => path), config.groupPattern);
  const listed: Listed[] = labelled.map((image, i) => ({ ...image, group: groups[i]! }));

  const looked: Looked[] = [];
  const look = (image: Listed) => lookAt(folder, image, config.maxMegapixels);
  const pace = { inFlight: DECODES_IN_FLIGHT, ahead: 4 * DECODES_IN_FLIGHT };
  for await (const image of mapAhead(listed, look, pace)) {
    looked.push(image);
    onProgress(looked.length, listed.length, image.row.path);
  }

  const { rows, findings } = setAsideDuplicates(looked.map(({ row }) => row));
  checkClasses(rows, config.classes);
  return {
    rows,
    findings: [
      ...folders.flatMap(({ label, skipped }): Finding[] =>
        skipped.links + skipped.otherType === 0 ? [] : [
          { path: label, finding: "skipped", detail: describeSkipped(skipped), other_path: "" },
        ]
      ),
      ...rows.flatMap(fileFindings),
      ...findings,
      ...nearDuplicateFindings(rows, looked.map(({ thumbnail }) => thumbnail)),
      ...findCaseCollisions(rows.map(({ path }) => path)),
    ],
  };
}

async function lookAt(folder: string, listed: Listed, maxMegapixels: number): Promise<Looked> {
  const row: ManifestRow = {
    ...listed,
    sha256: "",
    dhash: "",
    width: 0,
    height: 0,
    channels: 0,
    format: "",
    status: "ok",
  };
  const path = join(folder, listed.path);
  try {
    const bytes = await readImageFile(path, maxMegapixels);
    row.sha256 = createHash("sha256").update(bytes).digest("hex");
    const image = await openImage(bytes, path, maxMegapixels);
    const { dhash, thumbnail } = await fingerprint(image);
    const { width, height, channels, format } = image;
    return { row: { ...row, dhash, width, height, channels, format }, thumbnail };
  } catch (error) {
    if (!(error instanceof ImageError)) throw error;
    return { row: { ...row, status: `unreadable: ${error.reason}` }, thumbnail: null };
  }
}

/** Findings about one file by itself. */
function fileFindings({ path, status, format }: ManifestRow): Finding[] {
  if (status.startsWith("unreadable: ")) {
    const detail = status.slice("unreadable: ".length);
    return [{ path, finding: "unreadable", detail, other_path: "" }];
  }
  if (extensionFits(path, format as ImageFormat)) return [];
  const detail = `The content is ${format.toUpperCase()}, other than the name says.`;
  return [{ path, finding: "wrong_extension", detail, other_path: "" }];
}

function nearDuplicateFindings(
  rows: readonly ManifestRow[],
  thumbnails: readonly (Uint8Array | null)[],
): Finding[] {
  const images: (ManifestRow & Fingerprint)[] = rows.flatMap((row, i) => {
    const thumbnail = thumbnails[i];
    return row.status === "ok" && thumbnail ? [{ ...row, thumbnail }] : [];
  });
  return findNearDuplicates(images).map(({ first, second, correlation }) => {
    const [a, b] = [images[first]!, images[second]!];
    return {
      path: b.path,
      finding: "near_duplicate",
      detail: `Shows the same as the other (correlation ${correlation.toFixed(3)}); both stay in ` +
        "one subset." +
        (a.label === b.label ? "" : ` Their labels differ (${b.label}, ${a.label}): look at both.`),
      other_path: a.path,
    };
  });
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
      "Replace these files; learning needs examples of every class.",
    );
  }
}
