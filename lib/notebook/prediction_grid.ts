import { predictImages, type PredictOptions } from "../model/predict_images.ts";
import { createPredictor } from "../model/predictor.ts";
import type { Model } from "../model/model.ts";
import type { Displayable } from "./displayable.ts";
import { type GridItem, imageGrid } from "./image_grid.ts";

/**
 * Images with the probability of the positive class that a model gives them, as a grid.
 *
 * @param paths Absolute.
 * @param options `title` above the grid; the others as `decodeImage` takes them.
 */
export async function predictionGrid(
  model: Model,
  paths: readonly string[],
  { title, ...decode }: { title: string } & Omit<PredictOptions, "batchSize">,
): Promise<Displayable> {
  const predictor = createPredictor(model);
  try {
    const options = { ...decode, batchSize: paths.length };
    const tiles: GridItem[] = [];
    for await (const result of predictImages(predictor, paths, options)) {
      const caption = "error" in result
        ? result.error.reason
        : `probability ${result.probabilities.at(-1)!.toFixed(3)}`;
      tiles.push({ path: result.path, caption });
    }
    return await imageGrid(tiles, { title });
  } finally {
    predictor.dispose();
  }
}
