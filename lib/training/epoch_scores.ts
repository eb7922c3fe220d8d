import { rocAuc } from "../roc_auc.ts";
import type { BatchResult } from "./trainable.ts";

/** Scores of an epoch as they add up, batch by batch. */
export interface EpochScores {
  add(result: BatchResult, labels: Int32Array): void;
  /** Images so far. */
  count(): number;
  /** Mean loss so far. */
  meanLoss(): number;
  /** Mean loss, accuracy, and AUC of the positive class (`null` with one class absent). */
  summary(): { loss: number; accuracy: number; auc: number | null };
}

/**
 * Collects the scores of an epoch. The AUC is exact, over all images of the epoch, where
 * `keras.metrics.AUC` approximates it with 200 thresholds.
 */
export function epochScores(classes: number): EpochScores {
  const labels: number[] = [];
  const positive: number[] = [];
  let loss = 0;
  let right = 0;
  return {
    add: ({ loss: mean, probabilities }, batch) => {
      loss += mean * batch.length;
      batch.forEach((label, row) => {
        const image = probabilities.subarray(row * classes, (row + 1) * classes);
        if (image.indexOf(Math.max(...image)) === label) right += 1;
        labels.push(label === classes - 1 ? 1 : 0);
        positive.push(image[classes - 1]!);
      });
    },
    count: () => labels.length,
    meanLoss: () => loss / labels.length,
    summary: () => ({
      loss: loss / labels.length,
      accuracy: right / labels.length,
      auc: rocAuc(labels, positive),
    }),
  };
}
