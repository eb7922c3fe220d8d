import type { Random } from "../../../lib/core/random.ts";
import { addScore, createScoreSummary } from "../../../lib/evaluation/folder_scores.ts";
import type { KnownOutcomes } from "../../../lib/metrics/intervals.ts";
import { type Decision, DEFAULT_DECISION, logOdds } from "../../../lib/run/decision.ts";

/** Share of positive images that the synthetic model is calibrated with. */
export const REFERENCE = 0.4;

/**
 * Calibrated probabilities of images with a given share of positive ones. The log likelihood ratio
 * of a class is normal around ±d²/2 with standard deviation d, so that probabilities are exactly
 * calibrated where the share is {@linkcode REFERENCE}; the AUC is Φ(d/√2): 0.983 for 3.
 */
export function syntheticScores(
  random: Random,
  { n, share, d = 3 }: { n: number; share: number; d?: number },
): { labels: number[]; probabilities: number[] } {
  const positives = Math.round(n * share);
  const labels = random.shuffle(Array.from({ length: n }, (_, i) => i < positives ? 1 : 0));
  const prior = Math.log(REFERENCE / (1 - REFERENCE));
  const probabilities = labels.map((label) => {
    const ratio = (label === 1 ? 1 : -1) * d * d / 2 + d * random.normal();
    return 1 / (1 + Math.exp(-ratio - prior));
  });
  return { labels, probabilities };
}

/** Validation as a model card has it: the four outcomes at a threshold, and the scores. */
export function validationOf(
  labels: readonly number[],
  probabilities: readonly number[],
): NonNullable<Decision["validation"]> {
  const scores = (label: number) =>
    probabilities.filter((_, i) => labels[i] === label).map(logOdds).sort((a, b) => a - b);
  const [positives, negatives] = [scores(1), scores(0)];
  return { ...outcomes(labels, probabilities), scores: { positives, negatives } };
}

/** The four outcomes at a threshold. */
export function outcomes(
  labels: readonly number[],
  probabilities: readonly number[],
  threshold = 0.5,
): KnownOutcomes {
  const count = (label: number, called: boolean) =>
    labels.filter((own, i) => own === label && (probabilities[i]! >= threshold) === called).length;
  return {
    truePositives: count(1, true),
    falseNegatives: count(1, false),
    trueNegatives: count(0, false),
    falsePositives: count(0, true),
  };
}

/** F1 of the predictions at a threshold. */
export function f1At(labels: readonly number[], probabilities: readonly number[], t = 0.5): number {
  const { truePositives, falsePositives, falseNegatives } = outcomes(labels, probabilities, t);
  return 2 * truePositives / (2 * truePositives + falsePositives + falseNegatives);
}

/** A model card's decision with these counts. */
export function decisionWith(
  validation: Decision["validation"],
  change: Partial<Decision> = {},
): Decision {
  const calibration = { method: "platt", slope: 1, intercept: 0 } as const;
  return { ...DEFAULT_DECISION, calibration, validation, ...change };
}

/** A summary of probabilities, the groups of which may be left out. */
export function summaryOf(
  probabilities: readonly number[],
  groups?: readonly string[],
  threshold = 0.5,
) {
  const summary = createScoreSummary(threshold);
  probabilities.forEach((p, i) => addScore(summary, p, groups?.[i] ?? ""));
  return summary;
}
