import { rankByProbability } from "../../ranking.ts";
import { between } from "./between.ts";

/** A possible threshold, and what it does to the images it was made from. */
export interface Cut {
  threshold: number;
  /** Positive images at or above it. */
  truePositives: number;
  /** Negative images at or above it. */
  falsePositives: number;
  /** Distance of the two scores that it lies between. */
  gap: number;
}

/**
 * All thresholds that differ in their effect on these images, falling. Each lies in the middle
 * between two neighbouring scores, never on one, so that an image that scores nearly the same gets
 * the same answer; at the ends 0 and 1 are the neighbours. Tied images are never divided.
 *
 * @param labels 0 or 1 (positive).
 * @param probabilities Of the positive class, in the same order.
 */
export function cuts(labels: readonly number[], probabilities: readonly number[]): Cut[] {
  const { order, endsTie } = rankByProbability(probabilities);
  const found: Cut[] = [];
  let above = 1; // the score above the cut
  let [truePositives, falsePositives] = [0, 0];
  const add = (below: number) =>
    found.push({
      threshold: between(below, above),
      truePositives,
      falsePositives,
      gap: above - below,
    });
  order.forEach((image, at) => {
    const score = probabilities[image]!;
    const startsTie = at === 0 || endsTie[at - 1] === 1;
    // nothing is above 1, so that no threshold leaves out an image that scores 1
    if (startsTie && score < above) add(score);
    if (labels[image] === 1) truePositives++;
    else falsePositives++;
    above = score;
  });
  found.push({ threshold: above / 2, truePositives, falsePositives, gap: above });
  return found;
}
