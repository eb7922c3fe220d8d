import { join } from "node:path";
import { toCsv } from "../core/csv.ts";
import type { OnProgress } from "../core/stop.ts";
import { compareCodePoints } from "../core/words.ts";
import { type ExplainedImage, explainImages } from "../metrics/explain.ts";
import { disposeModel } from "../model/model.ts";
import type { Flag } from "../model/reference.ts";
import { loadModel } from "../model/saved.ts";

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
interface ReviewQueue {
  /** Adds an image whose decision is `review`. */
  add(image: ReviewImage): void;
  /** The greatest need first; equal ones in code-point order of their names. */
  rows(): (ReviewImage & { need: number })[];
  /** How many were added, those that found no place included. */
  total(): number;
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
  let added = 0;
  const tidy = () => {
    kept = kept.sort((a, b) => b.need - a.need || compareCodePoints(a.name, b.name)).slice(0, most);
  };
  return {
    add: ({ name, predicted, probability, flags }) => {
      added += 1;
      const image = { name, predicted, probability, flags };
      kept.push({ ...image, need: reviewNeed(image, threshold) });
      if (kept.length >= 2 * most) tidy();
    },
    rows: () => {
      tidy();
      return [...kept];
    },
    total: () => added,
  };
}

/** The columns of review.csv; the first two are those of labels.csv. */
const REVIEW_COLUMNS = [
  "path",
  "label",
  "predicted",
  "probability",
  "suggested",
  "flags",
  "need",
] as const;

/**
 * A queue in the form of labels.csv. `label` is empty, for a person to fill: rows that stay empty are
 * left out of a training. `suggested` is the model's answer where the image is like those that it
 * knows; of a flagged image it has none to suggest.
 *
 * Put into the folder of new images as labels.csv, it makes data of them.
 */
export function reviewCsv(queue: ReviewQueue): string {
  const rows = queue.rows().map(({ name, flags, predicted, probability, need }) => ({
    path: name,
    label: "",
    predicted,
    probability,
    suggested: flags.length === 0 ? predicted : "",
    flags: flags.join(" "),
    need,
  }));
  return toCsv(REVIEW_COLUMNS, rows);
}

/** How much a flagged image's own certainty still counts. */
const TRUST_IF_FLAGGED = 0.5;

/**
 * How much an image needs to be looked at by a person, 0 to 1.
 *
 * Certainty is how far the probability is from the threshold, as a share of how far it could be on its side:
 * 0 at the threshold, 1 at a probability of 0 or 1. Each flag halves it, since a model may be sure
 * for no reason about what it has never seen: so a sure answer about an image with one flag comes
 * beside one half-way to the threshold without any.
 *
 * @param image `probability`: of the positive class, after calibration and correction.
 * @param threshold The one in force for these probabilities.
 */
export function reviewNeed(
  { probability, flags }: { probability: number; flags: readonly Flag[] },
  threshold: number,
): number {
  const room = probability >= threshold ? 1 - threshold : threshold;
  const certainty = room === 0 ? 0 : Math.abs(probability - threshold) / room;
  return 1 - certainty * TRUST_IF_FLAGGED ** flags.length;
}

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
