import { join } from "node:path";
import type { OnProgress } from "../core/stop.ts";
import { compareCodePoints } from "../core/words.ts";
import { type ExplainedImage, explainImages } from "../metrics/explain.ts";
import { certaintyOf } from "../metrics/test.ts";
import type { Model } from "../model/model.ts";
import type { Flag } from "../model/reference.ts";
import type { ModelCard } from "../run/model_card.ts";

/** An image that a person should look at. */
export interface ReviewImage {
  /** Relative to the folder of new images, `/` separators. */
  name: string;
  /** Class folder name. */
  predicted: string;
  /** Of the positive class, 0 to 1. */
  probability: number;
  flags: readonly Flag[];
}

/** The images that need a review most. */
export interface ReviewQueue {
  /** Adds an image whose decision is `review`. */
  add(image: ReviewImage): void;
  /** The greatest need first; equal ones in code-point order of their names. */
  rows(): (ReviewImage & { need: number })[];
}

/** More than a person looks at; bounds the memory. */
const MOST = 10_000;

/**
 * A review queue of bounded length: of any number of images those with the greatest need stay.
 *
 * @param threshold The one in force for their probabilities.
 */
export function createReviewQueue(threshold: number, most: number = MOST): ReviewQueue {
  let kept: (ReviewImage & { need: number })[] = [];
  const tidy = () => {
    kept = kept.sort((a, b) => b.need - a.need || compareCodePoints(a.name, b.name)).slice(0, most);
  };
  return {
    add: ({ name, predicted, probability, flags }) => {
      const need = reviewNeed({ probability, flags }, threshold);
      kept.push({ name, predicted, probability, flags, need });
      if (kept.length >= 2 * most) tidy();
    },
    rows: () => {
      tidy();
      return [...kept];
    },
  };
}

/** How much a flagged image's own certainty still counts. */
const TRUST_IF_FLAGGED = 0.5;

/**
 * How much an image needs to be looked at by a person, 0 to 1: one less its certainty (see
 * `certaintyOf`). Each flag halves the certainty, since a model may be sure for no reason about what
 * it has never seen: so a sure prediction with one flag comes beside one half-way to the threshold
 * without any.
 *
 * @param image `probability`: of the positive class, after calibration and correction.
 * @param threshold The one in force for these probabilities.
 */
export function reviewNeed(
  image: { probability: number; flags: readonly Flag[] },
  threshold: number,
): number {
  return 1 - certaintyOf(image, threshold) * TRUST_IF_FLAGGED ** image.flags.length;
}

/** An image to review with where the evidence for the model's prediction is in it. */
export type ExplainedReview = ReviewImage & { image: ExplainedImage };

/**
 * Explains the predictions for images that need a review, by Grad-CAM of the predicted class.
 *
 * @param rows The first of a review queue; everything stays in memory, 0.15 MB an image.
 * @param options `loaded`: the model that predicted, and its card. `folder`: absolute path of the
 * new images.
 * @throws {ImageError} When an image has gone or broken since.
 */
export async function explainReview(
  rows: readonly ReviewImage[],
  { loaded: { model, card }, folder, onProgress }: {
    loaded: { model: Model; card: ModelCard };
    folder: string;
    onProgress?: OnProgress;
  },
): Promise<ExplainedReview[]> {
  if (rows.length === 0) return [];
  const images = await explainImages(model, card, rows.map(({ name }) => join(folder, name)), {
    classes: rows.map(({ predicted }) => predicted),
    onProgress,
  });
  return rows.map((row, i) => ({ ...row, image: images[i]! }));
}
