import type { Config } from "../config_schema.ts";
import { answeringPredictor } from "../model/answering_predictor.ts";
import { decodeOptions } from "../model/decode_options.ts";
import { predictImages } from "../model/predict_images.ts";
import type { OnProgress } from "../progress.ts";
import type { SplitRow, Subset } from "../split/split.ts";
import type { RunModel } from "./run_model.ts";
import { splitContents } from "./split_contents.ts";

/** An image of the split with what the model says of it. */
export interface SubsetPrediction extends Pick<SplitRow, "path" | "label" | "group"> {
  /** As the model gives them, not calibrated: one a class. */
  probabilities: number[];
}

/**
 * Predicts the images of one subset, in the order of the split.
 *
 * @throws {ImageError} When an image cannot be read, or is another one than the split was made of: a
 *   score over other images is another score.
 */
export async function predictSubset(
  { model, card, split }: RunModel,
  subset: Subset,
  config: Config,
  onProgress?: OnProgress,
): Promise<SubsetPrediction[]> {
  const rows = split.filter((row) => row.subset === subset);
  const predictor = answeringPredictor(model, card);
  const predictions: SubsetPrediction[] = [];
  try {
    const contents = splitContents(rows, config);
    const results = predictImages(predictor, contents.keys(), {
      ...decodeOptions(card),
      batchSize: config.training.batchSize,
      contents,
    });
    for await (const result of results) {
      if ("error" in result) throw result.error;
      const { path, label, group } = rows[predictions.length]!;
      predictions.push({ path, label, group, probabilities: result.probabilities });
      onProgress?.(predictions.length, rows.length, path);
    }
  } finally {
    predictor.dispose();
  }
  return predictions;
}
