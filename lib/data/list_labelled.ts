import { join } from "node:path";
import type { Config } from "../config_schema.ts";
import { DataError } from "../errors.ts";
import { LABELS_FILE } from "../paths.ts";
import { describeSkipped, listClassFolders } from "./class_folders.ts";
import { compareCodePoints } from "./compare_code_points.ts";
import type { Finding } from "./findings.ts";
import { groupsOf } from "./group.ts";
import { readLabels } from "./labels.ts";
import { isImageName } from "./list_images.ts";
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
 *   with an empty label, and has a finding.
 * @throws {DataError} When a class has no images, labels.csv cannot be used, or an image has no
 *   group although others have.
 */
export async function listLabelled(
  folder: string,
  { classes, groupPattern }: Pick<Config["data"], "classes" | "groupPattern">,
): Promise<{ listed: ListedImage[]; findings: Finding[] }> {
  const labels = await readLabels(folder, classes);
  const folders = await listClassFolders(folder, classes, { optional: labels !== null });
  const images = new Map<string, { label: string | null; group: string | null }>();
  for (const { label, paths } of folders) {
    for (const path of paths) images.set(path, { label, group: null });
  }
  for (const { path, label, group } of labels ?? []) images.set(path, { label, group });
  for (const label of classes) {
    if ([...images.values()].some((image) => image.label === label)) continue;
    throw new DataError(
      `No image of ${JSON.stringify(folder)} has the label ${JSON.stringify(label)}.`,
      `Learning needs examples of every class: add rows to ${LABELS_FILE}, or correct data.classes.`,
    );
  }
  const paths = [...images.keys()].sort(compareCodePoints);
  const used = paths.filter((path) => images.get(path)!.label !== null);
  const given = used.map((path) => images.get(path)!.group);
  const groups = new Map(groupsOf(used, groupPattern, given).map((group, i) => [used[i]!, group]));
  return {
    listed: paths.map((path) => ({
      path,
      label: images.get(path)!.label ?? "",
      group: groups.get(path) ?? path,
    })),
    findings: [
      ...folders.flatMap(({ label, skipped }): Finding[] =>
        skipped.links + skipped.otherType === 0 ? [] : [
          { path: label, finding: "skipped", detail: describeSkipped(skipped), other_path: "" },
        ]
      ),
      ...await findUnlabelled(folder, new Set(paths)),
      ...paths.filter((path) => images.get(path)!.label === null).map((path): Finding => ({
        path,
        finding: "left_out_by_labels",
        detail: `Its label in ${LABELS_FILE} is empty.`,
        other_path: "",
      })),
    ],
  };
}

/** Images beside those of labels.csv that have neither a row in it nor a class folder. */
async function findUnlabelled(folder: string, paths: ReadonlySet<string>): Promise<Finding[]> {
  const folders = new Set([...paths].map((path) => path.slice(0, path.lastIndexOf("/") + 1)));
  const findings: Finding[] = [];
  for (const inner of [...folders].sort(compareCodePoints)) {
    const entries = await Array.fromAsync(Deno.readDir(join(folder, inner)));
    const count = entries.filter(({ name, isFile }) =>
      isFile && !name.startsWith(".") && isImageName(name) && !paths.has(inner + name)
    ).length;
    if (count === 0) {
      continue;
    }
    findings.push({
      path: inner || ".",
      finding: "skipped",
      detail: `${count} image${count === 1 ? "" : "s"} without a row in ${LABELS_FILE}`,
      other_path: "",
    });
  }
  return findings;
}
