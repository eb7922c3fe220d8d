import { join } from "node:path";
import type { Config } from "../config_schema.ts";
import { DataError } from "../errors.ts";
import { exists } from "../files.ts";
import { LABELS_FILE } from "../paths.ts";
import { listClassFolders } from "./class_folders.ts";
import { compareCodePoints } from "./compare_code_points.ts";
import { describeSkipped } from "./describe_skipped.ts";
import type { Finding } from "./findings.ts";
import { groupsOf } from "./group.ts";
import { type LabelledImage, readLabels } from "./labels.ts";
import { listImages } from "./list_images.ts";
import type { ManifestRow } from "./manifest.ts";

/** An image before it is looked at. */
export type ListedImage = Pick<ManifestRow, "path" | "label" | "group">;

/**
 * The images of a data folder with their labels and groups. A label comes from labels.csv where that
 * names the image, else from the class folder; a group from labels.csv where that has one, else from
 * `groupPattern`. With a labels.csv there need be no class folders.
 *
 * @param folder Absolute path.
 * @returns In code-point order of the paths. An image that labels.csv leaves out keeps its place,
 *   with an empty label, and has a finding; so have images without any label, by their folder.
 * @throws {DataError} When a class has no images, labels.csv cannot be used, or an image has no
 *   group although others have.
 */
export async function listLabelled(
  folder: string,
  { classes, groupPattern, followLinks }: Pick<
    Config["data"],
    "classes" | "groupPattern" | "followLinks"
  >,
): Promise<{ listed: ListedImage[]; findings: Finding[] }> {
  const file = join(folder, LABELS_FILE);
  const hasLabels = await exists(file);
  const folders = await listClassFolders(folder, classes, { optional: hasLabels, followLinks });
  const images = new Map<string, LabelledImage>();
  for (const { label, paths } of folders) {
    for (const path of paths) images.set(path, { path, label, group: null });
  }
  const findings = folders.filter(({ skipped }) => skipped.links + skipped.otherType > 0)
    .map(({ label, skipped }) => finding(label, "skipped", describeSkipped(skipped)));
  if (hasLabels) {
    // a class folder may itself be a link, which the list of the whole folder passes over
    const { paths } = await listImages(folder, { followLinks });
    const present = new Set([...images.keys(), ...paths]);
    for (const image of await readLabels(file, present, classes)) images.set(image.path, image);
    findings.push(...describeUnlabelled([...present].filter((path) => !images.has(path))));
    checkClasses(folder, [...images.values()], classes);
  }
  const sorted = [...images.values()].sort((a, b) => compareCodePoints(a.path, b.path));
  const used = sorted.filter(({ label }) => label !== null);
  const groups = groupsOf(used.map(({ path }) => path), groupPattern, used.map((i) => i.group));
  const groupOf = new Map(used.map(({ path }, i) => [path, groups[i]!]));
  return {
    listed: sorted.map(({ path, label, group }) => {
      return { path, label: label ?? "", group: groupOf.get(path) ?? group ?? path };
    }),
    findings: [
      ...findings,
      ...sorted.filter(({ label }) => label === null).map(({ path }) =>
        finding(path, "left_out_by_labels", `Its label in ${LABELS_FILE} is empty.`)
      ),
    ],
  };
}

/** Images with neither a row in labels.csv nor a class folder, counted by outermost folder. */
function describeUnlabelled(paths: readonly string[]): Finding[] {
  const folders = Map.groupBy(paths, (path) => path.includes("/") ? path.split("/")[0]! : ".");
  return [...folders].sort(([a], [b]) => compareCodePoints(a, b)).map(([name, { length }]) =>
    finding(name, "skipped", `${length} image${length === 1 ? "" : "s"} without a label`)
  );
}

function checkClasses(
  folder: string,
  images: readonly LabelledImage[],
  classes: readonly string[],
): void {
  const present = new Set(images.map(({ label }) => label));
  const missing = classes.filter((name) => !present.has(name));
  if (missing.length === 0) return;
  throw new DataError(
    `No image of ${JSON.stringify(folder)} has the label ` +
      `${missing.map((name) => JSON.stringify(name)).join(" or ")}.`,
    `Learning needs examples of every class: add rows to ${LABELS_FILE}, or correct data.classes.`,
  );
}

function finding(path: string, kind: Finding["finding"], detail: string): Finding {
  return { path, finding: kind, detail, other_path: "" };
}
