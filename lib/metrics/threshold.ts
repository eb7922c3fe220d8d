import type { MetricsConfig } from "../core/settings.ts";
import { rankByProbability } from "../core/stats.ts";
import { type Decision, DEFAULT_DECISION } from "../run/model_card.ts";

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

/** Validation predictions that a band is chosen on, one entry an image in every array. */
interface BandSample {
  /** Calibrated probability of the positive class. */
  probabilities: readonly number[];
  /** Whether the answer at the threshold is right. */
  right: readonly boolean[];
  threshold: number;
}

/** A band, or none, and why. */
interface BandChoice {
  acceptBand: Decision["acceptBand"];
  reason: string;
}

/**
 * The band that accepts most validation images while their error rate keeps to a limit: images at
 * most `low` and at least `high` on either side of the threshold.
 *
 * What keeps to the limit is the exact one-sided 95 % upper bound of the error rate, not the rate
 * itself: ten images without an error show little, and no band is chosen from them. On neither side
 * may the plain rate exceed the limit, so that many sure answers of the frequent class do not hide
 * wrong ones of the rare class. The edges lie in the middle between the last accepted score and the
 * next one, or the threshold. The bound takes images as independent and does not know that the band
 * was chosen on them, so it is a little on the low side.
 *
 * @param errorRate `config.metrics.acceptErrorRate`, above 0 and below 1.
 */
export function chooseAcceptBand(sample: BandSample, errorRate: number): BandChoice {
  const n = sample.probabilities.length;
  const percent = `${Number((100 * errorRate).toPrecision(3))} %`;
  const limits = mostErrors(n, errorRate);
  const keeps = ({ accepted, errors }: Side) => errors <= errorRate * accepted;
  const [lows, highs] = [lowSides(sample).filter(keeps), highSides(sample).filter(keeps)];
  let best: { low: Side; high: Side } | null = null;
  let [most, fewest] = [0, 0];
  for (const low of lows) {
    for (const high of highs) {
      const accepted = low.accepted + high.accepted;
      const errors = low.errors + high.errors;
      if (accepted < most || errors > limits[accepted]!) continue;
      if (accepted === most && (best === null || errors >= fewest)) continue;
      best = { low, high };
      [most, fewest] = [accepted, errors];
    }
  }
  if (best === null) {
    return {
      acceptBand: null,
      reason: `Every answer is for a person to review: the ${n} validation images do not show ` +
        `for any part of them that at most ${percent} are wrong, with 95 % confidence ` +
        `(${fewestImages(errorRate)} without an error would).`,
    };
  }
  return {
    acceptBand: { low: best.low.edge, high: best.high.edge, errorRate },
    reason: `Accepted without review: probabilities up to ${best.low.edge.toFixed(4)} and from ` +
      `${best.high.edge.toFixed(4)} on. On validation that is ${most} of ${n} images, ${fewest} ` +
      `of them wrong; with 95 % confidence at most ${percent} are, if images of one patient err ` +
      "independently of each other.",
  };
}

/** Images accepted on one side of the threshold: those from the end of the range to the edge. */
interface Side {
  edge: number;
  accepted: number;
  errors: number;
}

function lowSides({ probabilities, right, threshold }: BandSample): Side[] {
  const images = [...probabilities.keys()].filter((i) => probabilities[i]! < threshold)
    .sort((a, b) => probabilities[a]! - probabilities[b]!);
  const scores = images.map((i) => probabilities[i]!);
  const edge = (last: number, next: number) => {
    const middle = between(last, next);
    return middle < next ? middle : last;
  };
  // nothing is below 0, so that no edge leaves out an image that scores 0
  const none = scores[0] === 0 ? [] : [{ edge: 0, accepted: 0, errors: 0 }];
  return [...none, ...sides(scores, images.map((i) => right[i]!), threshold, edge)];
}

function highSides({ probabilities, right, threshold }: BandSample): Side[] {
  const images = [...probabilities.keys()].filter((i) => probabilities[i]! >= threshold)
    .sort((a, b) => probabilities[b]! - probabilities[a]!);
  const scores = images.map((i) => probabilities[i]!);
  const none = scores[0] === 1 ? [] : [{ edge: 1, accepted: 0, errors: 0 }];
  const edge = (last: number, next: number) => between(next, last);
  return [...none, ...sides(scores, images.map((i) => right[i]!), threshold, edge)];
}

/**
 * What may be accepted on one side, the most certain image first. Tied images stay together. Of
 * several choices with equally many errors only the widest is kept: it is never worse.
 */
function sides(
  scores: readonly number[],
  right: readonly boolean[],
  threshold: number,
  edge: (last: number, next: number) => number,
): Side[] {
  const found: Side[] = [];
  let errors = 0;
  scores.forEach((score, at) => {
    if (!right[at]) errors++;
    const next = scores[at + 1] ?? threshold;
    if (at + 1 < scores.length && next === score) return;
    if (found.at(-1)?.errors === errors) found.pop();
    found.push({ edge: edge(score, next), accepted: at + 1, errors });
  });
  return found;
}

/** Chance with which a rate that is too high may look low enough. */
const ALPHA = 0.05;

/**
 * How many errors among n images still show an error rate of at most `rate`: the exact one-sided
 * 95 % upper bound (Clopper & Pearson 1934) of that many errors in n does not exceed it.
 *
 * @param most The largest n.
 * @param rate Above 0, below 1.
 * @returns The number for every n from 0 to `most`; -1 where n images are too few even without an
 * error.
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

/** The fewest images that, without any error, show an error rate of at most `rate`. */
function fewestImages(rate: number): number {
  return Math.ceil(Math.log(ALPHA) / Math.log1p(-rate) - 1e-9);
}

/** P(X ≤ k) of a binomial with n trials of chance p. */
function chanceOfAtMost(k: number, n: number, p: number): number {
  if (k >= n) return 1;
  const odds = Math.log(p) - Math.log1p(-p);
  let logTerm = n * Math.log1p(-p);
  let sum = Math.exp(logTerm);
  for (let i = 1; i <= k; i++) {
    logTerm += Math.log((n - i + 1) / i) + odds;
    sum += Math.exp(logTerm);
  }
  return sum;
}

/** A possible threshold, and what it does to the images it was made from. */
interface Cut {
  threshold: number;
  /** Positive images at or above it. */
  truePositives: number;
  /** Negative images at or above it. */
  falsePositives: number;
  /** Distance of the two scores that it lies between. */
  gap: number;
}

/**
 * All thresholds that differ in their effect on these images, falling. Each lies in the middle
 * between two neighbouring scores, never on one, so that an image that scores nearly the same gets
 * the same answer; at the ends 0 and 1 are the neighbours. Tied images are never divided.
 *
 * @param labels 0 or 1 (positive).
 * @param probabilities Of the positive class, in the same order.
 */
export function cuts(labels: readonly number[], probabilities: readonly number[]): Cut[] {
  const { order, endsTie } = rankByProbability(probabilities);
  const found: Cut[] = [];
  let above = 1; // the score above the cut
  let [truePositives, falsePositives] = [0, 0];
  const add = (below: number) =>
    found.push({
      threshold: between(below, above),
      truePositives,
      falsePositives,
      gap: above - below,
    });
  order.forEach((image, at) => {
    const score = probabilities[image]!;
    const startsTie = at === 0 || endsTie[at - 1] === 1;
    // nothing is above 1, so that no threshold leaves out an image that scores 1
    if (startsTie && score < above) add(score);
    if (labels[image] === 1) truePositives++;
    else falsePositives++;
    above = score;
  });
  found.push({ threshold: above / 2, truePositives, falsePositives, gap: above });
  return found;
}

/**
 * The middle between two neighbouring scores, as a threshold: at or above it lies `upper`, and
 * `lower` does not. `upper` itself where the two are neighbouring numbers.
 */
function between(lower: number, upper: number): number {
  const middle = lower + (upper - lower) / 2;
  return middle > lower ? middle : upper;
}
