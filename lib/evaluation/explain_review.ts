import { join } from "node:path";
import { type ExplainedImage, explainImages } from "../metrics/explain/explain_images.ts";
import { loadModel } from "../model/load_model.ts";
import { disposeModel } from "../model/model.ts";
import type { OnProgress } from "../progress.ts";
import type { ReviewImage } from "./review_queue.ts";

/** An image to review with where the evidence for the model's answer is in it. */
export type ExplainedReview = ReviewImage & { image: ExplainedImage };

/**
 * Explains the answers to images that need a review, by Grad-CAM of the class that was answered.
 *
 * @param rows The first of a review queue; everything stays in memory, 0.15 MB an image.
 * @param options `folder`: absolute path of the new images. `modelFolder`: of the model that answered.
 * @throws {ModelError} When the model cannot be used.
 * @throws {ImageError} When an image has gone or broken since.
 */
export async function explainReview(
  rows: readonly ReviewImage[],
  { folder, modelFolder, onProgress }: {
    folder: string;
    modelFolder: string;
    onProgress?: OnProgress;
  },
): Promise<ExplainedReview[]> {
  if (rows.length === 0) return [];
  const { model, card } = await loadModel(modelFolder);
  try {
    const images = await explainImages(model, card, rows.map(({ name }) => join(folder, name)), {
      classes: rows.map(({ predicted }) => predicted),
      onProgress,
    });
    return rows.map((row, i) => ({ ...row, image: images[i]! }));
  } finally {
    disposeModel(model);
  }
}
