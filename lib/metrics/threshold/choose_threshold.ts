import type { MetricsConfig } from "../../config_schema.ts";
import { type Decision, DEFAULT_DECISION } from "../../model/decision.ts";
import { type Cut, cuts } from "./cuts.ts";

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
 * - `costs`: the lowest cost of misses and false alarms, at the share of positive images that
 *   validation has.
 *
 * Of equally good thresholds the one in the widest gap between scores is taken, and of equal gaps
 * the lowest: on few images many are equal, and a wide gap is where another sample would cut too.
 * The rule is `default`, 0.5, where there is no choice: a class is absent, or no threshold is better
 * than chance (youden).
 *
 * @param labels 0 or 1 (positive).
 * @param probabilities Of the positive class, calibrated, in the same order.
 */
export function chooseThreshold(
  { labels, probabilities }: {
    labels: readonly number[];
    probabilities: readonly number[];
  },
  setting: MetricsConfig["threshold"],
): ThresholdChoice {
  const positives = labels.reduce((sum, label) => sum + label, 0);
  const negatives = labels.length - positives;
  const stay = (reason: string): ThresholdChoice => ({
    threshold: DEFAULT_DECISION.threshold,
    rule: "default",
    reason,
  });
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

/** What a rule makes as large as possible, of which cuts. */
interface Criterion {
  value: (cut: Cut) => number;
  fits: (cut: Cut) => boolean;
  words: string;
}

function criterion(
  { rule, sensitivity, falseNegativeCost, falsePositiveCost }: MetricsConfig["threshold"],
  positives: number,
  negatives: number,
): Criterion {
  const share = (cut: Cut) => cut.truePositives / positives;
  switch (rule) {
    case "sensitivity":
      return {
        // few false alarms first; among equals the one that misses least
        value: (cut) => -cut.falsePositives + share(cut) / 2,
        fits: (cut) => share(cut) >= sensitivity - SAME,
        words: `a sensitivity of at least ${sensitivity} and the fewest false alarms`,
      };
    case "costs":
      return {
        value: (cut) =>
          -falseNegativeCost * (positives - cut.truePositives) -
          falsePositiveCost * cut.falsePositives,
        fits: () => true,
        words: `the lowest cost (${falseNegativeCost} a miss, ${falsePositiveCost} a false alarm)`,
      };
    default:
      return {
        value: (cut) => share(cut) - cut.falsePositives / negatives,
        fits: () => true,
        words: "the largest sensitivity + specificity (Youden)",
      };
  }
}
