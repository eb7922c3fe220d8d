import type { Config } from "../config.ts";
import { subsetItems } from "../images/subset_items.ts";
import { fromRoot, runPaths } from "../paths.ts";
import { isSynthetic } from "../setup/sample_set.ts";
import { readSplit, type SplitRow } from "../split/split.ts";
import type { Model } from "./model.ts";
import { startingModel, type StartingWeights } from "./starting_model.ts";

/** A run as training finds it. */
export interface Start {
  split: SplitRow[];
  /** Whether the images are the synthetic sample set. */
  synthetic: boolean;
  /** The caller disposes it. */
  model: Model;
  startingWeights: StartingWeights;
}

/**
 * The run's split and the model that training starts from. Only the sample set may start without
 * its ImageNet weights unasked.
 *
 * @throws {DataError} When notebook 03 has not been run.
 * @throws {ModelError} When the starting weights are not to be had.
 */
export async function startRun(config: Config): Promise<Start> {
  const split = await readSplit(runPaths(config.run).split);
  const folder = fromRoot(config.data.folder);
  const synthetic = await isSynthetic(folder);
  const images = subsetItems(split, "train", folder, config.data.classes).map(({ path }) => path);
  const start = await startingModel(config, images, { fallBackToRandom: synthetic });
  return { split, synthetic, ...start };
}
