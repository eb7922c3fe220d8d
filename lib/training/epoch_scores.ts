import { rocAuc } from "../core/stats.ts";
import type { BatchResult } from "./trainable.ts";

/** Sums over an epoch's images so far; a checkpoint within the epoch holds them. */
export interface ScoreSums {
  /** Sum of the images' losses. */
  loss: number;
  /** Images whose most probable class was right. */
  right: number;
  /** 1 where the label is the positive class, else 0: [images]. */
  labels: number[];
  /** Probability of the positive class: [images]. */
  positive: number[];
}

/** The sums before the first batch. */
export function noScores(): ScoreSums {
  return { loss: 0, right: 0, labels: [], positive: [] };
}

/** Adds a batch to the sums. The positive class is the last one. */
export function addBatch(
  sums: ScoreSums,
  { loss, probabilities }: BatchResult,
  labels: Int32Array,
): void {
  const classes = probabilities.length / labels.length;
  sums.loss += loss * labels.length;
  labels.forEach((label, row) => {
    const image = probabilities.subarray(row * classes, (row + 1) * classes);
    if (image.indexOf(Math.max(...image)) === label) sums.right += 1;
    sums.labels.push(label === classes - 1 ? 1 : 0);
    sums.positive.push(image[classes - 1]!);
  });
}

/**
 * Mean loss, accuracy, and AUC of the positive class (`null` with one class absent). The AUC is
 * exact, over all images of the epoch, where `keras.metrics.AUC` approximates it with 200 thresholds.
 */
export function scoresOf({ loss, right, labels, positive }: ScoreSums) {
  const images = labels.length;
  return { loss: loss / images, accuracy: right / images, auc: rocAuc(labels, positive) };
}
