/**
 * The scores, by the names they have in metrics.json. Macro recall is not among them: with two
 * classes it is the balanced accuracy.
 */
export type ScoreName =
  | "accuracy"
  | "balanced_accuracy"
  | "sensitivity"
  | "specificity"
  | "precision"
  | "f1"
  | "mcc"
  | "kappa"
  | "roc_auc"
  | "average_precision"
  | "brier"
  | "log_loss"
  | "ece"
  | "macro_precision"
  | "macro_f1";

/** One score with what is needed to judge it. */
export interface Score {
  /** `null` when undefined, never 0; `reason` then says why. */
  value: number | null;
  /** 95 % interval; `null` where there is none, with the reason. */
  low: number | null;
  high: number | null;
  /** The same score of the majority baseline; `null` where that is undefined. */
  baseline: number | null;
  /** Images the score is a share or mean of: for sensitivity, the positive ones. */
  n: number;
  /** How the interval was found. */
  method: string;
  /** Why value, interval or baseline is `null`. */
  reason?: string;
}

/** Every score by name. */
export type Scores = Record<ScoreName, Score>;
