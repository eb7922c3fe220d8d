import type { ConfusionMatrix } from "./confusion_matrix.ts";

/**
 * Matthews correlation coefficient, -1 to 1 (0: no better than chance).
 *
 * `null` when all labels or all predictions are of one class: the correlation with a constant is
 * undefined. (scikit-learn's `matthews_corrcoef` answers 0 there.)
 */
export function mcc(m: ConfusionMatrix): number | null {
  const { truePositive: tp, falsePositive: fp, trueNegative: tn, falseNegative: fn } = m;
  // the root of each pair, not of the product of all four: that passes 2^53 on large sets
  const scale = Math.sqrt((tp + fp) * (tn + fn)) * Math.sqrt((tp + fn) * (tn + fp));
  return scale === 0 ? null : (tp * tn - fp * fn) / scale;
}

/**
 * Cohen's kappa, agreement beyond what the class shares alone would give; at most 1.
 *
 * `null` when labels and predictions are all of the same one class: chance agreement is then
 * complete. Source: Cohen 1960; scikit-learn's `cohen_kappa_score`.
 */
export function kappa(m: ConfusionMatrix): number | null {
  const { truePositive: tp, falsePositive: fp, trueNegative: tn, falseNegative: fn } = m;
  const byChance = (tp + fp) * (fp + tn) + (tp + fn) * (fn + tn); // n² × expected disagreement
  return byChance === 0 ? null : 2 * (tp * tn - fp * fn) / byChance;
}
