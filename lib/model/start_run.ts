import type { Config } from "../config_schema.ts";
import { ModelError } from "../errors.ts";
import type { DecodeOptions } from "../images/decode.ts";
import { fitStainReference } from "../images/fit_stain_reference.ts";
import { subsetItems } from "../images/subset_items.ts";
import { namesBetween } from "../names_between.ts";
import { fromRoot, runPaths } from "../paths.ts";
import type { OnProgress } from "../progress.ts";
import { isSynthetic } from "../setup/sample_set.ts";
import { readSplit, type SplitRow } from "../split/split.ts";
import { type StartingModel, startingModel } from "./starting_model.ts";

/** A run as training finds it; the caller disposes its model. */
export interface Start extends StartingModel {
  split: SplitRow[];
  /** Whether the images are the synthetic sample set. */
  synthetic: boolean;
  /** How the run's images are read: with colours fitted to its training images, if at all. */
  decode: DecodeOptions;
}

/**
 * The run's split and the model that training starts from. Only the sample set may start without
 * the ImageNet weights that were asked for: then `model.architecture` says which backbone it is.
 *
 * @param onProgress Of fetching a weights file, in megabytes.
 * @throws {DataError} When notebook 03 has not been run.
 * @throws {ModelError} When the starting weights are not to be had.
 */
export async function startRun(config: Config, onProgress?: OnProgress): Promise<Start> {
  refuseOwnFolder(config);
  const split = await readSplit(runPaths(config.run).split);
  const folder = fromRoot(config.data.folder);
  const synthetic = await isSynthetic(folder);
  const images = subsetItems(split, "train", folder, config.data.classes).map(({ path }) => path);
  const { imageSize: size, resize, stainNormalisation: method } = config.model;
  const asTheyAre = { size, resize, maxMegapixels: config.data.maxMegapixels };
  const stain = await fitStainReference(images, { ...asTheyAre, method, seed: config.seed });
  const decode = { ...asTheyAre, stain };
  const start = await startingModel(config, images, { fallBack: synthetic, decode, onProgress });
  return { split, synthetic, decode, ...start };
}

/** A run that starts from its own result would overwrite it, and be another run each time. */
function refuseOwnFolder({ run, model: { weights } }: Config): void {
  const own = runPaths(run).model;
  if (namesBetween(own, fromRoot(weights)) === null) return;
  throw new ModelError(
    `The run ${
      JSON.stringify(run)
    } cannot start from ${weights}: that is where it puts its own model.`,
    'Give the new training a name of its own (run: "...").',
  );
}
