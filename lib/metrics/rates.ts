import { rankByProbability, type Resample } from "../core/stats.ts";
import type { ScoreName } from "../core/words.ts";

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

/** The positive class against all others, as the scores and their charts see it. */
interface PositiveClass {
  /** What is not the positive class (with two classes the other one's name), then the positive one. */
  names: readonly [string, string];
  /** 1 for the positive class, else 0. */
  indexOf(label: string): 0 | 1;
}

/**
 * The view in which two classes or more are scored: one against the rest.
 *
 * @param classes At least two; the last one is the positive class (`config.data.classes`).
 */
export function positiveClass(classes: readonly string[]): PositiveClass {
  const positive = classes.at(-1)!;
  return {
    names: [classes.length === 2 ? classes[0]! : `not ${positive}`, positive],
    indexOf: (label) => label === positive ? 1 : 0,
  };
}

/** A precision-recall curve, in scikit-learn's order: recall falls from 1 to 0. */
export interface PrecisionRecallCurve {
  /** Rising; one fewer than the points: the closing point (recall 0, precision 1) has none. */
  thresholds: number[];
  precision: number[];
  recall: number[];
}

/**
 * The precision-recall curve, as scikit-learn's `precision_recall_curve`.
 *
 * @param labels 0 or 1 (positive).
 * @param probabilities Of the positive class, in the same order.
 * @returns `null` when no image is positive: recall is then undefined.
 */
export function precisionRecallCurve(
  labels: ArrayLike<number>,
  probabilities: ArrayLike<number>,
): PrecisionRecallCurve | null {
  const { order, endsTie } = rankByProbability(probabilities);
  const curve: PrecisionRecallCurve = { thresholds: [], precision: [1], recall: [0] };
  let found = 0;
  order.forEach((image, at) => {
    if (labels[image] === 1) found++;
    if (!endsTie[at]) return;
    curve.thresholds.push(probabilities[image]!);
    curve.precision.push(found / (at + 1));
    curve.recall.push(found);
  });
  if (found === 0) return null;
  return {
    thresholds: curve.thresholds.reverse(),
    precision: curve.precision.reverse(),
    recall: curve.recall.reverse().map((count) => count / found),
  };
}

/**
 * Average precision: the mean precision over the positive images in order of probability, a step
 * sum without interpolation. As scikit-learn's `average_precision_score`.
 *
 * @param labels 0 or 1 (positive).
 * @param probabilities Of the positive class, in the same order.
 * @returns 0 to 1 (chance: the share of positive images); `null` when no image is positive.
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

/** Bins of {@linkcode expectedCalibrationError}, of equal width. */
export const CALIBRATION_BINS = 10;

/**
 * Brier score: the mean squared distance of probability and label, 0 (best) to 1. As
 * scikit-learn's `brier_score_loss`.
 *
 * @param labels 0 or 1 (positive).
 * @param probabilities Of the positive class, in the same order.
 * @param weights How often each image counts; once when left out.
 * @returns `null` without images.
 */
export function brier(
  labels: ArrayLike<number>,
  probabilities: ArrayLike<number>,
  weights?: ArrayLike<number>,
): number | null {
  let [sum, n] = [0, 0];
  for (let i = 0; i < labels.length; i++) {
    const weight = weights ? weights[i]! : 1;
    sum += weight * (probabilities[i]! - labels[i]!) ** 2;
    n += weight;
  }
  return n === 0 ? null : sum / n;
}

/**
 * Log loss (binary cross-entropy) in nats, 0 at best. Probabilities are kept 2.2e-16 away from 0
 * and 1, as scikit-learn's `log_loss` does, so that one confident mistake is not infinite.
 *
 * @param labels 0 or 1 (positive).
 * @param probabilities Of the positive class, in the same order.
 * @param weights How often each image counts; once when left out.
 * @returns `null` without images.
 */
export function logLoss(
  labels: ArrayLike<number>,
  probabilities: ArrayLike<number>,
  weights?: ArrayLike<number>,
): number | null {
  let [sum, n] = [0, 0];
  for (let i = 0; i < labels.length; i++) {
    const weight = weights ? weights[i]! : 1;
    if (weight === 0) continue;
    const ofTruth = labels[i] === 1 ? probabilities[i]! : 1 - probabilities[i]!;
    const clipped = Math.min(Math.max(ofTruth, Number.EPSILON), 1 - Number.EPSILON);
    sum -= weight * Math.log(clipped);
    n += weight;
  }
  return n === 0 ? null : sum / n;
}

/**
 * Expected calibration error of the positive class, 0 (best) to 1: images fall into ten bins of
 * equal width by their probability; the gap between a bin's mean probability and its share of
 * positive images, weighted by how many images it holds.
 *
 * A bin holds its upper edge but not its lower one (the first holds both), as in scikit-learn's
 * `calibration_curve(strategy="uniform")`. Source: Naeini et al. 2015, on the positive
 * probability rather than the top one.
 *
 * @param labels 0 or 1 (positive).
 * @param probabilities Of the positive class, in the same order.
 * @param weights How often each image counts; once when left out.
 * @returns `null` without images.
 */
export function expectedCalibrationError(
  labels: ArrayLike<number>,
  probabilities: ArrayLike<number>,
  weights?: ArrayLike<number>,
): number | null {
  const excess = new Float64Array(CALIBRATION_BINS); // Σ (probability - label) per bin: its gap × its count
  let n = 0;
  for (let i = 0; i < labels.length; i++) {
    const weight = weights ? weights[i]! : 1;
    excess[calibrationBin(probabilities[i]!)]! += weight * (probabilities[i]! - labels[i]!);
    n += weight;
  }
  return n === 0 ? null : excess.reduce((sum, gap) => sum + Math.abs(gap), 0) / n;
}

/** The index of a probability's bin, edges compared as the multiples of 0.1 that numpy's linspace gives. */
export function calibrationBin(probability: number): number {
  let index = Math.min(
    Math.max(Math.ceil(probability * CALIBRATION_BINS) - 1, 0),
    CALIBRATION_BINS - 1,
  );
  while (index > 0 && probability <= index * (1 / CALIBRATION_BINS)) index--;
  while (index < CALIBRATION_BINS - 1 && probability > (index + 1) * (1 / CALIBRATION_BINS)) {
    index++;
  }
  return index;
}
