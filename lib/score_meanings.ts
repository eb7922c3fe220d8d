import type { ScoreName } from "./score_names.ts";

/** What each score is called and what it says, for people; in the order in which they are shown. */
export const SCORE_MEANINGS: Readonly<Record<ScoreName, { title: string; meaning: string }>> = {
  accuracy: { title: "Accuracy", meaning: "share of images answered rightly" },
  balanced_accuracy: {
    title: "Balanced accuracy",
    meaning: "mean of sensitivity and specificity",
  },
  sensitivity: { title: "Sensitivity", meaning: "share of positive images that are found" },
  specificity: { title: "Specificity", meaning: "share of other images that are left alone" },
  precision: { title: "Precision", meaning: "share of images called positive that are" },
  f1: { title: "F1", meaning: "harmonic mean of precision and sensitivity" },
  mcc: { title: "MCC", meaning: "Matthews' correlation of answers and labels; 0: chance" },
  kappa: { title: "Cohen's kappa", meaning: "agreement beyond chance; 0: chance" },
  roc_auc: {
    title: "ROC-AUC",
    meaning: "chance that a positive image ranks above another one; 0.5: chance",
  },
  average_precision: {
    title: "Average precision",
    meaning: "precision over all sensitivities, at every threshold",
  },
  brier: { title: "Brier score", meaning: "mean squared error of probabilities; lower is better" },
  log_loss: { title: "Log loss", meaning: "mean cross-entropy; lower is better" },
  ece: {
    title: "Calibration error",
    meaning: "mean distance of probabilities from what came true; lower is better",
  },
  macro_sensitivity: { title: "Macro sensitivity", meaning: "mean over both sides" },
  macro_specificity: { title: "Macro specificity", meaning: "mean over both sides" },
  macro_precision: { title: "Macro precision", meaning: "mean over both sides" },
  macro_f1: { title: "Macro F1", meaning: "mean over both sides" },
  macro_roc_auc: { title: "Macro ROC-AUC", meaning: "mean over both sides" },
  macro_average_precision: { title: "Macro average precision", meaning: "mean over both sides" },
};

/** A score's name for people; of one that is not known, the name itself. */
export function scoreTitle(name: string): string {
  return Object.hasOwn(SCORE_MEANINGS, name) ? SCORE_MEANINGS[name as ScoreName].title : name;
}
