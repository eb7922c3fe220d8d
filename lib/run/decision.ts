import { z } from "zod";

/** Probabilities within 1.3e-14 of 0 or 1 count as that far from them. */
export const LARGEST_LOG_ODDS = 32;

/** Most scores of a class that a card holds. */
export const MOST_SCORES = 256;

const count = z.int().min(0);

const share = z.number().min(0).max(1);

const scores = z.array(z.number().min(-LARGEST_LOG_ODDS).max(LARGEST_LOG_ODDS))
  .min(1).max(MOST_SCORES);

const validationScoresSchema = z.object({ positives: scores, negatives: scores });

/** See {@linkcode Decision}. */
export const decisionSchema = z.object({
  calibration: z.object({
    method: z.enum(["none", "temperature", "platt"]),
    slope: z.number().positive(),
    intercept: z.number(),
  }),
  threshold: share,
  rule: z.enum(["default", "youden", "sensitivity", "costs"]),
  testTimeAugmentation: z.boolean(),
  acceptBand: z.object({ low: share, high: share, errorRate: share }).nullable(),
  validation: z.object({
    truePositives: count,
    falsePositives: count,
    trueNegatives: count,
    falseNegatives: count,
    // missing where notebook 06 was run by a version that did not store them
    scores: validationScoresSchema.nullable().default(null),
  }).nullable(),
});

/**
 * Log odds of the calibrated probabilities of validation images, rising: of the positive class and
 * of the others. Of more than 256 of a class they are as many quantiles.
 */
export type ValidationScores = z.infer<typeof validationScoresSchema>;

/**
 * How a model's probabilities become predictions; everything in it was chosen on validation images.
 *
 * - `calibration`: see {@linkcode calibrate}.
 * - `threshold`: the calibrated probability from which on, of two classes, the positive one is predicted.
 * - `rule`: how the threshold was chosen.
 * - `testTimeAugmentation`: probabilities are means over the eight symmetries of the square.
 * - `acceptBand`: a calibrated probability of the positive class at most `low` or at least `high` is
 *   accepted, one between them is for a person to review; `errorRate` is the share of errors among
 *   accepted images that the band was chosen for. `null`: no band keeps that rate.
 * - `validation`: the confusion matrix on validation at the threshold, and the scores behind it
 *   (`null` without images of both classes); `null`: nothing was fitted yet.
 */
export type Decision = z.infer<typeof decisionSchema>;

/** The decision of a model as training leaves it: probabilities as they are, threshold 0.5. */
export const DEFAULT_DECISION: Decision = {
  calibration: { method: "none", slope: 1, intercept: 0 },
  threshold: 0.5,
  rule: "default",
  testTimeAugmentation: false,
  acceptBand: null,
  validation: null,
};

/**
 * Logarithm of a probability as {@linkcode calibrate} takes it, never below that of 1e-12: float32
 * softmax outputs can be 0, whose logarithm is not finite.
 */
export function logProbability(p: number): number {
  return Math.log(Math.max(p, 1e-12));
}

/**
 * Calibrated class probabilities: the softmax of `slope · log p`, with `intercept` added to the
 * positive (last) class. Intercept 0 is temperature scaling with temperature 1 / slope (Guo et al.,
 * ICML 2017); of two classes, with an intercept, it is Platt scaling (1999) of the log odds.
 *
 * @param probabilities One a class, 0 to 1.
 * @returns As many, which sum to 1. The order of images by them is kept, since the slope is positive.
 */
export function calibrate(
  probabilities: readonly number[],
  { method, slope, intercept }: Decision["calibration"],
): number[] {
  if (method === "none") return [...probabilities];
  const last = probabilities.length - 1;
  return softmax(
    probabilities.map((p, i) => slope * logProbability(p) + (i === last ? intercept : 0)),
  );
}

/** Probabilities, which sum to 1, of some logits: e^x, divided by the sum of all. */
export function softmax(logits: readonly number[]): number[] {
  const largest = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - largest));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

/** ln(p / (1 − p)), kept within ±{@linkcode LARGEST_LOG_ODDS}. */
export function logOdds(probability: number): number {
  const odds = Math.log(probability / (1 - probability)); // ±Infinity at 1 and 0
  return Math.min(LARGEST_LOG_ODDS, Math.max(-LARGEST_LOG_ODDS, odds));
}

/** The probability of these log odds: greater than 0, less than 1 within ±{@linkcode LARGEST_LOG_ODDS}. */
export function probabilityOf(logOdds: number): number {
  return 1 / (1 + Math.exp(-logOdds));
}

/**
 * The predicted class: of two classes the positive one from the threshold on,
 * of more the most probable one.
 *
 * @param probabilities One a class; the last class is the positive one.
 * @param threshold 0 to 1.
 * @returns Index of the class.
 */
export function decide(probabilities: readonly number[], threshold: number): number {
  if (probabilities.length === 2) return probabilities[1]! >= threshold ? 1 : 0;
  return probabilities.indexOf(Math.max(...probabilities));
}
