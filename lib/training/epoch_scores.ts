import { rocAuc } from "../core/stats.ts";
import type { BatchResult } from "./trainable.ts";

/** Sums and answers so far, as a checkpoint within an epoch holds them. */
export interface ScoresSoFar {
  /** Sum of the images' losses. */
  loss: number;
  /** Images whose most probable class was right. */
  right: number;
  /** 1 where the label is the positive class, else 0: [images]. */
  labels: number[];
  /** Probability of the positive class: [images]. */
  positive: number[];
}

/** Scores of an epoch as they add up, batch by batch. */
export interface EpochScores {
  add(result: BatchResult, labels: Int32Array): void;
  /** Images so far. */
  count(): number;
  /** Mean loss so far. */
  meanLoss(): number;
  /** Mean loss, accuracy, and AUC of the positive class (`null` with one class absent). */
  summary(): { loss: number; accuracy: number; auc: number | null };
  /** What {@linkcode epochScores} takes to go on from here. */
  soFar(): ScoresSoFar;
}

/**
 * Collects the scores of an epoch. The AUC is exact, over all images of the epoch, where
 * `keras.metrics.AUC` approximates it with 200 thresholds.
 */
export function epochScores(classes: number, before?: ScoresSoFar): EpochScores {
  const labels = [...before?.labels ?? []];
  const positive = [...before?.positive ?? []];
  let { loss, right } = before ?? { loss: 0, right: 0 };
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
    soFar: () => ({ loss, right, labels: [...labels], positive: [...positive] }),
  };
}
