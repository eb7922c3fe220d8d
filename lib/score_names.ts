/** The scores, by the names they have in metrics.json and in `metrics.references`. */
export const SCORE_NAMES = [
  "accuracy",
  "balanced_accuracy",
  "sensitivity",
  "specificity",
  "precision",
  "f1",
  "mcc",
  "kappa",
  "roc_auc",
  "average_precision",
  "brier",
  "log_loss",
  "ece",
  "macro_sensitivity",
  "macro_specificity",
  "macro_precision",
  "macro_f1",
  "macro_roc_auc",
  "macro_average_precision",
] as const;

/**
 * Name of a score. A `macro_` score is the mean over both sides, the positive class and the rest;
 * of two classes macro sensitivity and specificity are the balanced accuracy, and both sides have
 * the same ROC-AUC.
 */
export type ScoreName = (typeof SCORE_NAMES)[number];
