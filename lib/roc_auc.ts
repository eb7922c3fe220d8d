import { rankByProbability, type Resample } from "./ranking.ts";

/**
 * Area under the ROC curve of the positive class: the chance that a positive image gets a higher
 * probability than a negative one, ties counting half. As scikit-learn's `roc_auc_score`.
 *
 * @param labels 0 or 1 (positive).
 * @param probabilities Of the positive class, in the same order.
 * @returns 0 to 1 (0.5: chance); `null` when a class is absent.
 */
export function rocAuc(
  labels: ArrayLike<number>,
  probabilities: ArrayLike<number>,
  resample?: Resample,
): number | null {
  const { order, endsTie } = resample?.ranking ?? rankByProbability(probabilities);
  const weights = resample?.weights;
  let [area, positives, negatives] = [0, 0, 0];
  let [tiedPositives, tiedNegatives] = [0, 0];
  for (let at = 0; at < order.length; at++) {
    const image = order[at]!;
    const weight = weights ? weights[image]! : 1;
    if (labels[image] === 1) tiedPositives += weight;
    else tiedNegatives += weight;
    if (!endsTie[at]) continue;
    area += tiedNegatives * (positives + tiedPositives / 2);
    positives += tiedPositives;
    negatives += tiedNegatives;
    tiedPositives = tiedNegatives = 0;
  }
  return positives === 0 || negatives === 0 ? null : area / (positives * negatives);
}
