import { toCsv } from "../csv.ts";
import { compareCodePoints } from "../data/compare_code_points.ts";
import type { Flag } from "../model/reference/trait_flags.ts";
import { reviewNeed } from "./review_need.ts";

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
