import type { Config } from "../config_schema.ts";
import { DataError } from "../errors.ts";
import { sha256File } from "../files.ts";
import { loadModel } from "../model/load_model.ts";
import { disposeModel, type Model } from "../model/model.ts";
import type { ModelCard } from "../model/model_card.ts";
import { runPaths } from "../paths.ts";
import { readSplit, type SplitRow } from "../split/split.ts";

/** A trained run: its model, which the caller disposes, and the split that it was trained on. */
export interface RunModel {
  model: Model;
  card: ModelCard;
  split: SplitRow[];
}

/**
 * Loads the run's saved model together with its split.
 *
 * @throws {ModelError} When there is no usable model.
 * @throws {DataError} When the split is missing, or is not the one that the model was trained on:
 * its other images could then be ones the model has learnt.
 */
export async function loadRunModel(config: Config): Promise<RunModel> {
  const paths = runPaths(config.run);
  const split = await readSplit(paths.split);
  const { model, card } = await loadModel(paths.model);
  try {
    await checkSplit(paths.split, card);
  } catch (error) {
    disposeModel(model);
    throw error;
  }
  return { model, card, split };
}

async function checkSplit(path: string, card: ModelCard): Promise<void> {
  if (await sha256File(path) === card.data.splitSha256) return;
  throw new DataError(
    `${path} is not the split that the model was trained on: some of its test images may be ones ` +
      "that the model has learnt.",
    "Train again with this split (notebook 05), then run notebook 06.",
  );
}
