import { join } from "node:path";
import type { SplitRow, Subset } from "../split/split.ts";
import type { LabelledFile } from "./labelled_file.ts";

/**
 * The images of one subset, as a training takes them.
 *
 * @param folder Absolute path of the data folder.
 * @param classes Class folder names; an image's label is its class's place in them.
 */
export function subsetItems(
  rows: readonly SplitRow[],
  subset: Subset,
  folder: string,
  classes: readonly string[],
): LabelledFile[] {
  return rows.filter((row) => row.subset === subset)
    .map(({ path, label, sha256 }) => ({
      path: join(folder, path),
      label: classes.indexOf(label),
      sha256,
    }));
}
