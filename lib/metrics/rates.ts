import type { ConfusionMatrix } from "./confusion_matrix.ts";

/** `null` instead of NaN: a share of nothing is undefined. */
function ratio(part: number, whole: number): number | null {
  return whole === 0 ? null : part / whole;
}

function mean(a: number | null, b: number | null): number | null {
  return a === null || b === null ? null : (a + b) / 2;
}

/** The same outcomes with the negative class taken as the positive one. */
function swapped(m: ConfusionMatrix): ConfusionMatrix {
  return {
    truePositive: m.trueNegative,
    falsePositive: m.falseNegative,
    trueNegative: m.truePositive,
    falseNegative: m.falsePositive,
  };
}

/** Share of images whose class was predicted; `null` without images. */
export function accuracy(m: ConfusionMatrix): number | null {
  const right = m.truePositive + m.trueNegative;
  return ratio(right, right + m.falsePositive + m.falseNegative);
}

/** Share of the positive images that were found (recall); `null` when there are none. */
export function sensitivity(m: ConfusionMatrix): number | null {
  return ratio(m.truePositive, m.truePositive + m.falseNegative);
}

/** Share of the negative images that were left alone; `null` when there are none. */
export function specificity(m: ConfusionMatrix): number | null {
  return ratio(m.trueNegative, m.trueNegative + m.falsePositive);
}

/** Share of the images called positive that are; `null` when none was called so. */
export function precision(m: ConfusionMatrix): number | null {
  return ratio(m.truePositive, m.truePositive + m.falsePositive);
}

/**
 * Harmonic mean of precision and sensitivity, 2TP / (2TP + FP + FN); `null` when no image is
 * positive and none was called so.
 */
export function f1(m: ConfusionMatrix): number | null {
  return ratio(2 * m.truePositive, 2 * m.truePositive + m.falsePositive + m.falseNegative);
}

/** Mean of sensitivity and specificity (macro recall); `null` when a class is absent. */
export function balancedAccuracy(m: ConfusionMatrix): number | null {
  return mean(sensitivity(m), specificity(m));
}

/** Mean of both classes' precision; `null` when a class was never predicted. */
export function macroPrecision(m: ConfusionMatrix): number | null {
  return mean(precision(m), precision(swapped(m)));
}

/** Mean of both classes' F1; `null` when either is undefined. */
export function macroF1(m: ConfusionMatrix): number | null {
  return mean(f1(m), f1(swapped(m)));
}
