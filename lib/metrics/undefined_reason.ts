import type { ConfusionMatrix } from "./confusion_matrix.ts";
import type { ScoreName } from "../score_names.ts";

/**
 * Why a score is undefined for predictions with these outcomes, in words.
 *
 * @param name A score that is `null` for them.
 */
export function undefinedReason(name: ScoreName, m: ConfusionMatrix): string {
  const positives = m.truePositive + m.falseNegative;
  const negatives = m.trueNegative + m.falsePositive;
  if (positives + negatives === 0) return "there are no images";
  const absent = positives === 0
    ? "no image is of the positive class"
    : negatives === 0
    ? "no image is of the negative class"
    : undefined;
  const unpredicted = m.truePositive + m.falsePositive === 0
    ? "no image is predicted to be of the positive class"
    : "no image is predicted to be of the negative class";
  switch (name) {
    case "precision":
    case "macro_precision":
      return unpredicted;
    case "f1":
    case "macro_f1":
    case "kappa":
      return "all labels and all predictions are of one class";
    case "mcc":
      return absent ?? unpredicted;
    default:
      return absent ?? "it has no value for these predictions";
  }
}
