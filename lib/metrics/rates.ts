import { rankByProbability, type Resample } from "../core/stats.ts";
import type { ScoreName } from "../core/words.ts";

/** Counts of the four outcomes; "positive" is class index 1. */
export interface ConfusionMatrix {
  truePositive: number;
  falsePositive: number;
  trueNegative: number;
  falseNegative: number;
}

/**
 * Counts the four outcomes of binary predictions, as scikit-learn's `confusion_matrix`.
 *
 * @param labels True class of each image: 0 or 1 (positive).
 * @param predicted Predicted class of each image: 0 or 1, in the same order.
 * @param weights How often each image counts; once when left out.
 */
export function confusionMatrix(
  labels: ArrayLike<number>,
  predicted: ArrayLike<number>,
  weights?: ArrayLike<number>,
): ConfusionMatrix {
  const counts: [number, number, number, number] = [0, 0, 0, 0];
  for (let i = 0; i < labels.length; i++) {
    counts[(2 * labels[i]! + predicted[i]!) as 0 | 1 | 2 | 3] += weights?.[i] ?? 1;
  }
  const [trueNegative, falsePositive, falseNegative, truePositive] = counts;
  return { truePositive, falsePositive, trueNegative, falseNegative };
}

/**
 * Confusion matrix of any number of classes, as scikit-learn's `confusion_matrix`.
 *
 * @param labels Index of each image's true class.
 * @param predicted Index of its predicted class, in the same order.
 * @param classes Number of classes.
 * @returns Counts, a row a true class and a column a predicted one: [classes, classes].
 */
export function countConfusions(
  labels: ArrayLike<number>,
  predicted: ArrayLike<number>,
  classes: number,
): number[][] {
  const counts = Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
  for (let i = 0; i < labels.length; i++) counts[labels[i]!]![predicted[i]!]!++;
  return counts;
}

/** `null` instead of NaN: a share of nothing is undefined. */
function ratio(part: number, whole: number): number | null {
  return whole === 0 ? null : part / whole;
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

/** Share of the negative images that were predicted as such; `null` when there are none. */
export function specificity(m: ConfusionMatrix): number | null {
  return ratio(m.trueNegative, m.trueNegative + m.falsePositive);
}

/** Share of the images predicted as positive that are; `null` when none was. */
export function precision(m: ConfusionMatrix): number | null {
  return ratio(m.truePositive, m.truePositive + m.falsePositive);
}

/**
 * Harmonic mean of precision and sensitivity, 2TP / (2TP + FP + FN); `null` when no image is
 * positive and none was predicted to be.
 */
export function f1(m: ConfusionMatrix): number | null {
  return ratio(2 * m.truePositive, 2 * m.truePositive + m.falsePositive + m.falseNegative);
}

/** Mean of sensitivity and specificity (macro recall); `null` when a class is absent. */
export function balancedAccuracy(m: ConfusionMatrix): number | null {
  return middle(sensitivity(m), specificity(m));
}

/** Mean of both classes' precision; `null` when a class was never predicted. */
export function macroPrecision(m: ConfusionMatrix): number | null {
  return middle(precision(m), ratio(m.trueNegative, m.trueNegative + m.falseNegative));
}

/** Mean of both classes' F1; `null` when either is undefined. */
export function macroF1(m: ConfusionMatrix): number | null {
  const [right, wrong] = [2 * m.trueNegative, m.falsePositive + m.falseNegative];
  return middle(f1(m), ratio(right, right + wrong));
}

/** The mean of two scores; `null` where one has no value. */
export function middle(a: number | null, b: number | null): number | null {
  return a === null || b === null ? null : (a + b) / 2;
}

/**
 * Matthews correlation coefficient, -1 to 1 (0: no better than chance); `null` when all labels or all
 * predictions are of one class (where scikit-learn's `matthews_corrcoef` gives 0).
 */
export function mcc(m: ConfusionMatrix): number | null {
  const { truePositive: tp, falsePositive: fp, trueNegative: tn, falseNegative: fn } = m;
  // the root of each pair, not of the product of all four: that passes 2^53 on large sets
  const scale = Math.sqrt((tp + fp) * (tn + fn)) * Math.sqrt((tp + fn) * (tn + fp));
  return scale === 0 ? null : (tp * tn - fp * fn) / scale;
}

/**
 * Cohen's kappa, agreement beyond what chance gives at the same prevalence; at most 1, and `null` when
 * labels and predictions are all of one class. Source: Cohen 1960; scikit-learn's `cohen_kappa_score`.
 */
export function kappa(m: ConfusionMatrix): number | null {
  const { truePositive: tp, falsePositive: fp, trueNegative: tn, falseNegative: fn } = m;
  const byChance = (tp + fp) * (fp + tn) + (tp + fn) * (fn + tn); // n² × expected disagreement
  return byChance === 0 ? null : 2 * (tp * tn - fp * fn) / byChance;
}

/**
 * Why a score is undefined for predictions with these outcomes, in words.
 *
 * @param name A score that is `null` for them.
 */
export function undefinedReason(name: ScoreName, m: ConfusionMatrix): string {
  const positives = m.truePositive + m.falseNegative;
  const negatives = m.trueNegative + m.falsePositive;
  if (positives + negatives === 0) return "there are no images";
  if (["f1", "macro_f1", "kappa"].includes(name)) {
    return "all labels and all predictions are of one class";
  }
  if (name !== "precision" && name !== "macro_precision") {
    if (positives === 0) return "no image is of the positive class";
    if (negatives === 0) return "no image is of the negative class";
  }
  const unpredicted = m.truePositive + m.falsePositive === 0 ? "positive" : "negative";
  return `no image is predicted to be of the ${unpredicted} class`;
}

/**
 * The view in which two classes or more are scored: the last one, which is positive, against the rest.
 *
 * @returns `names`: of the rest, then of the positive class. `indexOf`: 1 for it, else 0.
 */
export function positiveClass(classes: readonly string[]) {
  const positive = classes.at(-1)!;
  const names = [classes.length === 2 ? classes[0]! : `not ${positive}`, positive] as const;
  return { names, indexOf: (label: string): 0 | 1 => label === positive ? 1 : 0 };
}

/**
 * Average precision: the mean precision over the positive images in order of probability, a step
 * sum without interpolation. As scikit-learn's `average_precision_score`.
 *
 * @param labels 0 or 1 (positive).
 * @param probabilities Of the positive class, in the same order.
 * @returns 0 to 1 (chance: the prevalence); `null` when no image is positive.
 */
export function averagePrecision(
  labels: ArrayLike<number>,
  probabilities: ArrayLike<number>,
  resample?: Resample,
): number | null {
  const { order, endsTie } = resample?.ranking ?? rankByProbability(probabilities);
  const weights = resample?.weights;
  let [sum, found, called, tied] = [0, 0, 0, 0];
  for (let at = 0; at < order.length; at++) {
    const image = order[at]!;
    const weight = weights ? weights[image]! : 1;
    called += weight;
    if (labels[image] === 1) tied += weight;
    if (!endsTie[at] || tied === 0) continue;
    found += tied;
    sum += tied * (found / called);
    tied = 0;
  }
  return found === 0 ? null : sum / found;
}

/**
 * A score of labels (0 or 1, positive) and probabilities of the positive class; `null` without
 * images. `weights`: how often each image counts; once when left out.
 */
type ProbabilityScore = (
  labels: ArrayLike<number>,
  probabilities: ArrayLike<number>,
  weights?: ArrayLike<number>,
) => number | null;

/**
 * Brier score: the mean squared distance of probability and label, 0 (best) to 1. As
 * scikit-learn's `brier_score_loss`.
 */
export const brier: ProbabilityScore = (labels, probabilities, weights) =>
  mean(labels.length, weights, (i) => (probabilities[i]! - labels[i]!) ** 2);

/**
 * Log loss (binary cross-entropy) in nats, 0 at best. Probabilities are kept 2.2e-16 away from 0
 * and 1, as scikit-learn's `log_loss` does, so that one confident mistake is not infinite.
 */
export const logLoss: ProbabilityScore = (labels, probabilities, weights) => {
  const of = (i: number) => surprise(labels[i] === 1 ? probabilities[i]! : 1 - probabilities[i]!);
  return mean(labels.length, weights, of);
};

/** One image's log loss, from the probability of its class. */
export function surprise(probability: number): number {
  return -Math.log(Math.min(Math.max(probability, Number.EPSILON), 1 - Number.EPSILON));
}

function mean(
  n: number,
  weights: ArrayLike<number> | undefined,
  of: (image: number) => number,
): number | null {
  let [sum, count] = [0, 0];
  for (let i = 0; i < n; i++) {
    const weight = weights ? weights[i]! : 1;
    if (weight === 0) continue;
    sum += weight * of(i);
    count += weight;
  }
  return ratio(sum, count);
}

/** Bins of {@linkcode expectedCalibrationError}, of equal width. */
export const CALIBRATION_BINS = 10;

/**
 * Expected calibration error of the positive class, 0 (best) to 1: images fall into ten bins of
 * equal width by their probability; the gap between a bin's mean probability and its share of
 * positive images, weighted by how many images it holds.
 *
 * A bin holds its upper edge but not its lower one (the first holds both), as in scikit-learn's
 * `calibration_curve(strategy="uniform")`. Source: Naeini et al. 2015, on the positive
 * probability rather than the top one.
 */
export const expectedCalibrationError: ProbabilityScore = (labels, probabilities, weights) => {
  const gaps = new Float64Array(CALIBRATION_BINS); // Σ (probability - label): gap × count
  let n = 0;
  for (let i = 0; i < labels.length; i++) {
    const weight = weights ? weights[i]! : 1;
    gaps[calibrationBin(probabilities[i]!)]! += weight * (probabilities[i]! - labels[i]!);
    n += weight;
  }
  return ratio(gaps.reduce((sum, gap) => sum + Math.abs(gap), 0), n);
};

/** The bin of a probability, edges compared as the multiples of 0.1 that numpy's linspace gives. */
export function calibrationBin(probability: number): number {
  const last = CALIBRATION_BINS - 1;
  let index = Math.min(Math.max(Math.ceil(probability * CALIBRATION_BINS) - 1, 0), last);
  while (index > 0 && probability <= index * (1 / CALIBRATION_BINS)) index--;
  while (index < last && probability > (index + 1) * (1 / CALIBRATION_BINS)) index++;
  return index;
}
