import { join } from "node:path";
import { readLabels } from "../data/labels.ts";
import { exists } from "../files.ts";
import { LABELS_FILE } from "../paths.ts";

/** What a folder of new images says about one of them. */
export interface FolderLabel {
  /** Class folder name, as the model has it. */
  label: string;
  /** Patient or slide from labels.csv; `null`: it does not say. */
  group: string | null;
}

/** The label of an image by its path relative to the folder; `null`: it has none. */
export type LabelOf = (name: string) => FolderLabel | null;

/**
 * The true classes of a folder of new images, where it tells them: by a labels.csv, else by the
 * innermost folder that has the name of a class. An image whose label in labels.csv is empty has
 * none.
 *
 * @param folder Absolute path.
 * @param names Of all images, relative to it.
 * @param classes The model's.
 * @returns `null` when not one image has a label.
 * @throws {DataError} When there is a labels.csv that cannot be used.
 */
export async function folderLabels(
  folder: string,
  names: readonly string[],
  classes: readonly string[],
): Promise<LabelOf | null> {
  const file = join(folder, LABELS_FILE);
  const rows = await exists(file) ? await readLabels(file, names, classes) : [];
  const written = new Map(rows.map((row) => [row.path, row]));
  const known = new Map(classes.map((name) => [name.normalize("NFC"), name]));
  const labelOf: LabelOf = (name) => {
    const row = written.get(name);
    if (row) return row.label === null ? null : { label: row.label, group: row.group };
    const folders = name.split("/").slice(0, -1).map((part) => known.get(part.normalize("NFC")));
    const label = folders.findLast((label) => label !== undefined);
    return label === undefined ? null : { label, group: null };
  };
  return names.some((name) => labelOf(name) !== null) ? labelOf : null;
}
