import type { MetricsConfig } from "../core/settings.ts";
import { rankByProbability } from "../core/stats.ts";
import { type Decision, DEFAULT_DECISION } from "../run/decision.ts";
import type { Predictions } from "../run/predictions.ts";
import { outcomes } from "./curves.ts";

/** A threshold and how it was chosen. */
export interface ThresholdChoice extends Pick<Decision, "threshold" | "rule"> {
  /** Why this one, in words. */
  reason: string;
}

/** Differences of a criterion below this are rounding errors. */
const SAME = 1e-12;

/**
 * Chooses the threshold on validation images, among the middles between neighbouring scores.
 *
 * - `youden`: the largest sensitivity + specificity (Youden 1950).
 * - `sensitivity`: the highest threshold whose sensitivity is at least the one asked for; where
 *   several have as few false alarms, the one that misses least.
 * - `costs`: the lowest cost of misses and false alarms, at the prevalence of validation.
 *
 * Of equally good thresholds the one in the widest gap between scores is taken, and of equal gaps
 * the lowest: on few images many are equal, and a wide gap is where another sample would cut too.
 * The rule is `default`, 0.5, where there is no choice: a class is absent, or no threshold is better
 * than chance (youden).
 */
export function chooseThreshold(
  { labels, probabilities }: Pick<Predictions, "labels" | "probabilities">,
  setting: MetricsConfig["threshold"],
): ThresholdChoice {
  const positives = labels.reduce((sum, label) => sum + label, 0);
  const negatives = labels.length - positives;
  const { threshold } = DEFAULT_DECISION;
  const stay = (reason: string): ThresholdChoice => ({ threshold, rule: "default", reason });
  if (setting.rule === "default") return stay("The threshold is 0.5, as was asked for.");
  if (positives === 0 || negatives === 0) {
    const absent = positives === 0 ? "positive" : "negative";
    return stay(`The threshold stays at 0.5: no validation image is of the ${absent} class.`);
  }
  const { value, fits, words } = criterion(setting, positives, negatives);
  const possible = cuts(labels, probabilities).filter(fits);
  const largest = Math.max(...possible.map(value));
  if (setting.rule === "youden" && !(largest > SAME)) {
    return stay("The threshold stays at 0.5: none is better than chance on validation.");
  }
  const equal = possible.filter((cut) => value(cut) >= largest - SAME);
  const widest = Math.max(...equal.map(({ gap }) => gap));
  const best = equal.findLast(({ gap }) => gap >= widest - SAME)!; // they come falling
  return {
    threshold: best.threshold,
    rule: setting.rule,
    reason: `The threshold ${best.threshold.toFixed(4)} has ${words} on validation: ` +
      `${best.truePositives} of ${positives} positive images are found, with ` +
      `${best.falsePositives} false alarms among ${negatives} negative ones.`,
  };
}

function criterion(
  { rule, sensitivity, falseNegativeCost, falsePositiveCost }: MetricsConfig["threshold"],
  positives: number,
  negatives: number,
): { value: (cut: Cut) => number; fits: (cut: Cut) => boolean; words: string } {
  const found = (cut: Cut) => cut.truePositives / positives;
  if (rule === "sensitivity") {
    return {
      // few false alarms first; among equals the one that misses least
      value: (cut) => -cut.falsePositives + found(cut) / 2,
      fits: (cut) => found(cut) >= sensitivity - SAME,
      words: `a sensitivity of at least ${sensitivity} and the fewest false alarms`,
    };
  }
  const isCosts = rule === "costs";
  return {
    value: (cut) =>
      isCosts
        ? -falseNegativeCost * (positives - cut.truePositives) -
          falsePositiveCost * cut.falsePositives
        : found(cut) - cut.falsePositives / negatives,
    fits: () => true,
    words: isCosts
      ? `the lowest cost (${falseNegativeCost} a miss, ${falsePositiveCost} a false alarm)`
      : "the largest sensitivity + specificity (Youden)",
  };
}

type Cut = ReturnType<typeof cuts>[number];

/**
 * All thresholds that differ in their effect on these images, falling. Each lies in the middle
 * between two neighbouring scores, never on one, so that an image that scores nearly the same gets
 * the same prediction; at the ends 0 and 1 are the neighbours. Tied images are never divided.
 *
 * @param labels 0 or 1 (positive).
 * @param probabilities Of the positive class, in the same order.
 * @returns With the positive and negative images at or above each threshold, and the distance of the
 * two scores that it lies between (`gap`).
 */
export function cuts(labels: readonly number[], probabilities: readonly number[]) {
  const { fp, tp, images } = outcomes(labels, rankByProbability(probabilities));
  const scores = [1, ...images.slice(1).map((image) => probabilities[image]!), 0];
  const found = fp.map((falsePositives, i) => {
    const [above, below] = [scores[i]!, scores[i + 1]!];
    const threshold = between(below, above);
    return { threshold, truePositives: tp[i]!, falsePositives, gap: above - below };
  });
  // nothing is above 1, so that no threshold leaves out an image that scores 1
  return scores[1] === 1 ? found.slice(1) : found;
}

/** The middle between two neighbouring scores, above `lower`; `upper` where nothing lies between. */
export function between(lower: number, upper: number): number {
  const middle = lower + (upper - lower) / 2;
  return middle > lower ? middle : upper;
}
