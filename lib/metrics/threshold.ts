import jstat from "jstat";
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
function between(lower: number, upper: number): number {
  const middle = lower + (upper - lower) / 2;
  return middle > lower ? middle : upper;
}

type BandSample = Pick<Predictions, "probabilities"> & {
  right: readonly boolean[];
  threshold: number;
};

/**
 * The band that accepts most validation images while their error rate keeps to a limit: images at
 * most `low` and at least `high` on either side of the threshold.
 *
 * What keeps to the limit is the exact one-sided 95 % upper bound of the error rate, not the rate
 * itself: ten images without an error show little, and no band is chosen from them. On neither side
 * may the plain rate exceed the limit, so that many sure images of the frequent class do not hide
 * wrong ones of the rare class. The edges lie in the middle between the last accepted score and the
 * next one, or the threshold. The bound takes images as independent and does not know that the band
 * was chosen on them, so it is a little on the low side.
 *
 * @param sample Of each validation image the calibrated probability of the positive class, and whether
 * the prediction at the threshold is right.
 * @param errorRate `config.metrics.acceptErrorRate`, above 0 and below 1.
 */
export function chooseAcceptBand(
  sample: BandSample,
  errorRate: number,
): Pick<Decision, "acceptBand"> & { reason: string } {
  const n = sample.probabilities.length;
  const percent = `${Number((100 * errorRate).toPrecision(3))} %`;
  const limits = mostErrors(n, errorRate);
  const keeps = ({ accepted, errors }: Side) => errors <= errorRate * accepted;
  const highs = sidesOf(sample, "high").filter(keeps);
  let best: { low: Side; high: Side } | null = null;
  let [most, fewest] = [0, 0];
  for (const low of sidesOf(sample, "low").filter(keeps)) {
    for (const high of highs) {
      const [accepted, errors] = [low.accepted + high.accepted, low.errors + high.errors];
      const isBetter = accepted > most || (accepted === most && best && errors < fewest);
      if (!isBetter || errors > limits[accepted]!) continue;
      best = { low, high };
      [most, fewest] = [accepted, errors];
    }
  }
  if (best === null) {
    // the fewest images that show such a rate without any error
    const needed = Math.ceil(Math.log(ALPHA) / Math.log1p(-errorRate) - 1e-9);
    const reason =
      `Every prediction is for a person to review: the ${n} validation images do not ` +
      `show for any part of them that at most ${percent} are wrong, with 95 % confidence ` +
      `(${needed} without an error would).`;
    return { acceptBand: null, reason };
  }
  const { low: { edge: low }, high: { edge: high } } = best;
  return {
    acceptBand: { low, high, errorRate },
    reason: `Accepted without review: probabilities up to ${low.toFixed(4)} and from ` +
      `${high.toFixed(4)} on. On validation that is ${most} of ${n} images, ${fewest} of them ` +
      `wrong; with 95 % confidence at most ${percent} are, if images of one patient err ` +
      "independently of each other.",
  };
}

/** Images accepted on one side of the threshold: those from the end of the range to the edge. */
type Side = Record<"edge" | "accepted" | "errors", number>;

/**
 * What may be accepted on one side, the most certain image first. Tied images stay together. Of
 * several choices with equally many errors only the widest is kept: it is never worse.
 */
function sidesOf({ probabilities, right, threshold }: BandSample, which: "low" | "high"): Side[] {
  const [end, sign] = which === "low" ? [0, 1] : [1, -1];
  const images = [...probabilities.keys()]
    .filter((i) => (probabilities[i]! < threshold) === (which === "low"))
    .sort((a, b) => sign * (probabilities[a]! - probabilities[b]!));
  const edgeOf = (last: number, next: number) => {
    if (which === "high") return between(next, last);
    const middle = between(last, next);
    return middle < next ? middle : last;
  };
  // accepting nothing, where an image at the very end does not forbid it
  const found: Side[] = probabilities[images[0]!] === end
    ? []
    : [{ edge: end, accepted: 0, errors: 0 }];
  let errors = 0;
  images.forEach((image, at) => {
    if (!right[image]) errors++;
    const score = probabilities[image]!;
    const following = images[at + 1];
    const next = following === undefined ? threshold : probabilities[following]!;
    if (following !== undefined && next === score) return;
    if (found.at(-1)?.errors === errors) found.pop();
    found.push({ edge: edgeOf(score, next), accepted: at + 1, errors });
  });
  return found;
}

/** Chance with which a rate that is too high may look low enough. */
const ALPHA = 0.05;

/**
 * How many errors among n images still show an error rate of at most `rate` (above 0, below 1): the
 * exact one-sided 95 % upper bound (Clopper & Pearson 1934) of that many errors does not exceed it.
 *
 * @returns The number for every n from 0 to `most`; -1 where n images are too few even without one.
 */
export function mostErrors(most: number, rate: number): Int32Array {
  const limits = new Int32Array(most + 1).fill(-1);
  let errors = -1;
  for (let n = 1; n <= most; n++) {
    // one more image allows one more error at most
    if (chanceOfAtMost(errors + 1, n, rate) <= ALPHA) errors++;
    limits[n] = errors;
  }
  return limits;
}

/** The regularised incomplete beta function; jstat brings no types. */
export const { ibeta } = jstat as unknown as { ibeta(x: number, a: number, b: number): number };

/** P(X ≤ k) of a binomial with n trials of chance p. */
function chanceOfAtMost(k: number, n: number, p: number): number {
  return k >= n ? 1 : 1 - ibeta(p, k + 1, n - k);
}
