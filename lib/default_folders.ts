import { join } from "node:path";
import type { Config } from "./config_schema.ts";
import { exists } from "./files.ts";
import { fromRoot, LABELS_FILE } from "./paths.ts";

/** Where the synthetic sample set is made, relative to the project. */
export const SAMPLE_FOLDER = "data/sample";

/** Where the slide is in the file names of the sample set. */
const SAMPLE_GROUP_PATTERN = "(slide_\\d+)_";

const DATA_FOLDER = "data";
const NEW_FOLDER = "data/new";

/**
 * A config whose folders are there, as far as that can be: while a person has put no images into
 * data/, the sample set stands in for it; while there is no data/new/, the sample's new images do,
 * or, for a person's own data, that data itself, so that section 7 always has something to show.
 * The sample set is divided by slide, as any data should be.
 * Folders that were chosen are left as they are.
 */
export async function withDefaultFolders(config: Config): Promise<Config> {
  const { data, evaluation } = config;
  const useSample = data.folder === DATA_FOLDER &&
    !await holdsImages(fromRoot(DATA_FOLDER), data.classes) &&
    await exists(fromRoot(SAMPLE_FOLDER));
  const folder = useSample ? SAMPLE_FOLDER : data.folder;
  const isDefault = evaluation.folder === NEW_FOLDER && !await exists(fromRoot(NEW_FOLDER));
  const standIn = folder === SAMPLE_FOLDER ? `${SAMPLE_FOLDER}/new` : folder;
  return {
    ...config,
    data: useSample
      ? { ...data, folder, groupPattern: data.groupPattern ?? SAMPLE_GROUP_PATTERN }
      : data,
    evaluation: { ...evaluation, folder: isDefault ? standIn : evaluation.folder },
  };
}

/** Whether `folder` has a labels.csv, or a class folder in it holds anything but hidden files. */
export async function holdsImages(folder: string, classes: readonly string[]): Promise<boolean> {
  if (await exists(join(folder, LABELS_FILE))) return true;
  for (const name of classes) {
    const path = join(folder, name);
    if (!await exists(path) || !(await Deno.stat(path)).isDirectory) continue;
    for await (const entry of Deno.readDir(path)) {
      if (!entry.name.startsWith(".")) return true;
    }
  }
  return false;
}
