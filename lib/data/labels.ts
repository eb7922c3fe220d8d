import { readCsv } from "../csv.ts";
import { DataError } from "../errors.ts";
import { listLines } from "../list_lines.ts";
import { pathFinder } from "./path_finder.ts";

/** What labels.csv says about one image. */
export interface LabelledImage {
  /** Relative to the data folder, `/` separators, spelt as the file system spells it. */
  path: string;
  /** Class name; `null`: the image is left out. */
  label: string | null;
  /** Patient or slide; `null`: the file does not say. */
  group: string | null;
}

/**
 * Reads a labels.csv: `path,label[,group]`, a row an image; further columns, as a list of images to
 * review has them, mean nothing here. An empty label leaves the image out. Paths may be written as
 * `pathFinder` allows; rows without a path and a label are passed over.
 *
 * @param file Absolute path of the CSV.
 * @param images The images that there are, relative to the data folder.
 * @param classes The labels that there are.
 * @throws {DataError} When it is no such CSV; or listing every row whose path is none of the images,
 *   whose label is not one of the classes, or whose image has another row.
 */
export async function readLabels(
  file: string,
  images: Iterable<string>,
  classes: readonly string[],
): Promise<LabelledImage[]> {
  const remedy = "Write it as path,label[,group], one row an image, paths relative to its folder " +
    "(of links that are followed too: data.followLinks, evaluation.followLinks); the labels are " +
    `${classes.map((name) => JSON.stringify(name)).join(", ")}, or empty to leave an image out.`;
  const rows: { path: string; label: string; group?: string }[] = await readCsv(
    file,
    ["path", "label"],
    remedy,
  );
  const find = pathFinder(images);
  const labels = new Map(classes.map((name) => [name.normalize("NFC"), name]));
  const found = new Map<string, LabelledImage>();
  const problems: string[] = [];
  for (const [i, row] of rows.entries()) {
    if (row.path === "" && row.label === "") continue; // as spreadsheets leave them at the end
    const complain = (what: string) =>
      problems.push(`row ${i + 1}, ${JSON.stringify(row.path)}: ${what}`);
    const written = row.label.trim();
    const label = labels.get(written.normalize("NFC")) ?? null;
    const path = find(row.path);
    if (path === null) complain("there is no such image in the data folder");
    else if (found.has(path)) complain("this image has a row already");
    if (written !== "" && label === null) complain(`${JSON.stringify(written)} is no class`);
    if (path !== null) found.set(path, { path, label, group: row.group?.trim() || null });
  }
  if (problems.length === 0) return [...found.values()];
  throw new DataError(
    `${JSON.stringify(file)} has ${problems.length} ` +
      `${problems.length === 1 ? "problem" : "problems"}, and cannot be used:${
        listLines(problems)
      }`,
    remedy,
  );
}
