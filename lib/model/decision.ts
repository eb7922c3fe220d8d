import { z } from "zod";
import { LARGEST_LOG_ODDS } from "./log_odds.ts";

const count = z.int().min(0);

/** Most scores of a class that a card holds. */
export const MOST_SCORES = 256;

const score = z.number().min(-LARGEST_LOG_ODDS).max(LARGEST_LOG_ODDS);
const scores = z.array(score).min(1).max(MOST_SCORES);

const validationScoresSchema = z.object({ positives: scores, negatives: scores });

/**
 * Log odds of the calibrated probabilities of validation images, rising: of the positive class and
 * of the others. Of more than 256 of a class they are as many quantiles.
 */
export type ValidationScores = z.infer<typeof validationScoresSchema>;

/** See {@linkcode Decision}. */
export const decisionSchema = z.object({
  calibration: z.object({
    method: z.enum(["none", "temperature", "platt"]),
    slope: z.number().positive(),
    intercept: z.number(),
  }),
  threshold: z.number().min(0).max(1),
  rule: z.enum(["default", "youden", "sensitivity", "costs"]),
  testTimeAugmentation: z.boolean(),
  acceptBand: z.object({
    low: z.number().min(0).max(1),
    high: z.number().min(0).max(1),
    errorRate: z.number().min(0).max(1),
  }).nullable(),
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
 * How a model's probabilities become answers; everything in it was chosen on validation images.
 *
 * - `calibration`: see {@linkcode calibrate}.
 * - `threshold`: from this calibrated probability on, the answer of two classes is the positive one.
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

/** Float32 softmax outputs can be 0, whose logarithm is not finite. */
const LEAST = 1e-12;

/** Logarithm of a probability as {@linkcode calibrate} takes it, never below that of 1e-12. */
export function logProbability(p: number): number {
  return Math.log(Math.max(p, LEAST));
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
  const logits = probabilities.map((p, i) =>
    slope * logProbability(p) + (i === last ? intercept : 0)
  );
  const largest = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - largest));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}
