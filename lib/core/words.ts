/** A share as a percentage with one decimal; "–" where there is none. */
export function percent(share: number): string {
  return Number.isFinite(share) ? `${(100 * share).toFixed(1)} %` : "–";
}

/** "1 image", "2,000 images". */
export function images(count: number): string {
  return `${count.toLocaleString("en-GB")} image${count === 1 ? "" : "s"}`;
}

/**
 * Lines for a message, one below the other; of many the first ones, and how many more there are.
 *
 * @returns Begins with a line break.
 * @example
 * ```ts
 * listLines(["a.png", "b.png", "c.png"], 2); // "\n  - a.png\n  - b.png\n  … and 1 more"
 * ```
 */
export function listLines(lines: readonly string[], most = 20): string {
  const shown = lines.slice(0, most).map((line) => `\n  - ${line}`).join("");
  return lines.length > most ? `${shown}\n  … and ${lines.length - most} more` : shown;
}

/**
 * What each score is called and what it says, for people, by the names they have in metrics.json and
 * in `metrics.references`; in the order in which they are shown.
 */
export const SCORE_MEANINGS = {
  accuracy: { title: "Accuracy", meaning: "share of images predicted rightly" },
  balanced_accuracy: {
    title: "Balanced accuracy",
    meaning: "mean of sensitivity and specificity",
  },
  sensitivity: { title: "Sensitivity", meaning: "share of positive images that are found" },
  specificity: { title: "Specificity", meaning: "share of other images that are left alone" },
  precision: { title: "Precision", meaning: "share of images called positive that are" },
  f1: { title: "F1", meaning: "harmonic mean of precision and sensitivity" },
  mcc: { title: "MCC", meaning: "Matthews' correlation of predictions and labels; 0: chance" },
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
  macro_precision: { title: "Macro precision", meaning: "mean over both sides" },
  macro_f1: { title: "Macro F1", meaning: "mean over both sides" },
  macro_average_precision: { title: "Macro average precision", meaning: "mean over both sides" },
} as const;

/** Name of a score; a `macro_` score is the mean over both sides, the positive class and the rest. */
export type ScoreName = keyof typeof SCORE_MEANINGS;

/** The names of all scores. */
export const SCORE_NAMES = Object.keys(SCORE_MEANINGS) as ScoreName[];

/** A score's name for people; of one that is not known, the name itself. */
export function scoreTitle(name: string): string {
  return Object.hasOwn(SCORE_MEANINGS, name) ? SCORE_MEANINGS[name as ScoreName].title : name;
}

/**
 * Compares two texts by code point, for `sort`: the order of their UTF-8 bytes, the same on every
 * machine. (JavaScript's own order is that of UTF-16 units; `localeCompare` depends on the machine.)
 */
export function compareCodePoints(a: string, b: string): number {
  for (let i = 0; i < a.length && i < b.length; i++) {
    const difference = rank(a.charCodeAt(i)) - rank(b.charCodeAt(i));
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** Surrogates stand for code points beyond all single units. */
function rank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}

/** Said wherever figures from the sample set are shown. */
export const SYNTHETIC_NOTE =
  "Synthetic sample images: these figures show that everything works and say nothing about " +
  "patients.";
