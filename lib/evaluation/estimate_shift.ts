import { createRandom, type Random } from "../core/random.ts";
import { chiSquareTail } from "../core/stats.ts";
import { bootstrap, type KnownOutcomes, roganGladen } from "../metrics/intervals.ts";
import type { Interval } from "../run/metrics_file.ts";
import { occupiedBins, type ScoreSummary, type ScoreUnit } from "./score_summary.ts";

/** With fewer groups their resamples say nothing about how groups differ, and images are drawn. */
const FEWEST_GROUPS = 5;

/** Both estimates agree where they differ by no more than this. */
const NEGLIGIBLE = 0.01;

/** The share of the positive class in a folder, estimated in two ways. */
export interface ShareShift {
  /** Share among the validation images, which calibration was fitted to. */
  reference: number;
  /** Images in the folder. */
  n: number;
  /** Estimate from the calibrated probabilities, see `emShares`. */
  share: number;
  /** Of `share`, by bootstrap. */
  interval: Interval;
  /** What the bootstrap drew: images where there are fewer than five groups. */
  resampled: "images" | "groups";
  /** Chance of these probabilities were the share still the reference one (likelihood ratio). */
  p: number;
  /**
   * Estimate from the answers and the errors on validation (black-box shift estimation, see
   * `roganGladen`), with its interval. Not kept within 0 to 1: a value far outside, as where hardly
   * an image is called positive and more would have to be by mistake alone, shows that more than the
   * share differs.
   */
  blackBox: { share: number | null; interval: Interval };
  /** Of `share` less the black-box one. */
  difference: Interval;
  /**
   * Whether both estimates agree: 0 is in the interval of their difference, or they differ by no more
   * than one image in a hundred, which very large folders would show as a contradiction although it
   * changes nothing. If only the shares differ from validation and the calibration is good, both
   * estimate the same. `null`: there is no black-box estimate.
   */
  agree: boolean | null;
}

/**
 * Estimates the share of the positive class in a folder, with all other classes taken as one.
 *
 * The bootstrap draws groups (images where there are fewer than five), and for the black-box estimate
 * also the sensitivity and specificity, from what the validation counts leave open. Some 0.2 to 2
 * seconds for any number of images.
 *
 * @param summary At least one image.
 * @param validation Counts at the summary's threshold, with images of both classes.
 * @throws {RangeError} Without images, or without validation images of both classes.
 */
export function estimateShift(
  summary: ScoreSummary,
  validation: KnownOutcomes,
  { seed, resamples = 1000 }: { seed: string | number; resamples?: number },
): ShareShift {
  const { truePositives, falsePositives, trueNegatives, falseNegatives } = validation;
  const positives = truePositives + falseNegatives;
  const negatives = trueNegatives + falsePositives;
  const reference = positives / (positives + negatives);
  const resampled = summary.groups.size < FEWEST_GROUPS ? "images" : "groups";
  const units = [...(resampled === "images" ? summary.byImage : summary.byGroup).values()];
  const bins = occupiedBins(units);
  const rows = Array.from(bins.probabilities, (p) => [1 - p, p]);
  const { shares: [, share], p } = emShares(rows, [1 - reference, reference], bins.counts);
  const called = units.reduce((sum, unit) => sum + unit.called, 0) / summary.n;
  const blackBox = roganGladen(called, truePositives / positives, trueNegatives / negatives);
  const random = createRandom(`${seed}/validation`);
  const weightsOfBins = new Float64Array(bins.counts.length);
  const intervals = bootstrap((weights) => {
    const n = weigh(bins.units, weights, weightsOfBins);
    const byEm = likeliestShare(bins.probabilities, weightsOfBins, reference, share!);
    const byAnswers = drawnBlackBox(units, weights, n, validation, random);
    return {
      share: byEm,
      blackBox: byAnswers,
      difference: byAnswers === null ? null : byEm - byAnswers,
    };
  }, { n: units.length, seed, resamples });
  return {
    reference,
    n: summary.n,
    share: share!,
    interval: intervals.share,
    resampled,
    p,
    blackBox: { share: blackBox, interval: intervals.blackBox },
    difference: intervals.difference,
    agree: agreement(share!, blackBox, intervals.difference),
  };
}

function agreement(share: number, blackBox: number | null, difference: Interval): boolean | null {
  if (blackBox === null) return null;
  if (Math.abs(share - blackBox) <= NEGLIGIBLE) return true;
  const { low, high } = difference;
  return low === null || high === null ? null : low <= 0 && high >= 0;
}

/** Puts the images of a resample into `into`, a place a bin. @returns Their number. */
function weigh(
  units: readonly { places: Uint16Array; counts: Uint32Array }[],
  weights: Uint32Array,
  into: Float64Array,
): number {
  into.fill(0);
  let n = 0;
  units.forEach(({ places, counts }, unit) => {
    const weight = weights[unit]!;
    if (weight === 0) return;
    for (let i = 0; i < places.length; i++) {
      into[places[i]!]! += weight * counts[i]!;
      n += weight * counts[i]!;
    }
  });
  return n;
}

/** The black-box estimate from a resample, with rates that the validation counts leave open. */
function drawnBlackBox(
  units: readonly ScoreUnit[],
  weights: Uint32Array,
  n: number,
  { truePositives, falsePositives, trueNegatives, falseNegatives }: KnownOutcomes,
  random: Random,
): number | null {
  const called = units.reduce((sum, unit, i) => sum + weights[i]! * unit.called, 0);
  const sensitivity = drawRate(random, truePositives, falseNegatives);
  const specificity = drawRate(random, trueNegatives, falsePositives);
  return roganGladen(called / n, sensitivity, specificity);
}

/** Smaller changes of every share end the iteration. */
const EM_TOLERANCE = 1e-10;

/** Far more than classes that can be told apart need. */
const MOST_ITERATIONS = 5000;

/** What {@linkcode emShares} finds. */
interface EmShares {
  /** Estimated share of each class; they sum to 1. */
  shares: number[];
  /** Twice the gain in log likelihood over the reference shares, 0 or more. */
  statistic: number;
  /**
   * Chance of such a statistic were the shares still the reference ones (likelihood-ratio test, as
   * many degrees of freedom as classes less one; images count as independent).
   */
  p: number;
}

/**
 * The shares of classes in images whose classes are not known, from the probabilities of a model
 * that was calibrated where the classes had other shares. Only the shares may differ: what images
 * of one class look like must be the same in both places.
 *
 * Expectation-maximisation of Saerens, Latinne & Decaestecker 2002 (Neural Computation 14:21-41),
 * sections 2.2 (shares) and 2.4 (test): the probabilities are corrected with the shares so far, and
 * their means are the next shares, until nothing changes.
 *
 * @param rows Calibrated class probabilities, one row an image (or a bin of like images).
 * @param reference Share of each class where the model was calibrated, all greater than 0.
 * @param weights Images of each row; one each when left out.
 * @throws {RangeError} Without images, or when a reference share is not between 0 and 1.
 */
export function emShares(
  rows: readonly (readonly number[])[],
  reference: readonly number[],
  weights?: ArrayLike<number>,
): EmShares {
  const total = weights ? rows.reduce((sum, _, i) => sum + weights[i]!, 0) : rows.length;
  if (!(total > 0)) throw new RangeError("Shares of no images cannot be estimated.");
  if (!reference.every((share) => share > 0 && share < 1)) {
    throw new RangeError(`Reference shares of ${reference.join(", ")} cannot be corrected.`);
  }
  let shares = [...reference];
  let change = Infinity;
  for (let round = 0; round < MOST_ITERATIONS && change > EM_TOLERANCE; round++) {
    const next = new Array<number>(reference.length).fill(0);
    rows.forEach((row, i) => {
      const weight = (weights?.[i] ?? 1) / total;
      const sum = relativeLikelihood(row, shares, reference);
      row.forEach((p, k) => next[k]! += weight * p * shares[k]! / reference[k]! / sum);
    });
    change = Math.max(...next.map((share, k) => Math.abs(share - shares[k]!)));
    shares = next;
  }
  const gain = rows.reduce((sum, row, i) =>
    sum + (weights?.[i] ?? 1) *
      (Math.log(relativeLikelihood(row, shares, reference)) -
        Math.log(relativeLikelihood(row, reference, reference))), 0);
  const statistic = Math.max(0, 2 * gain); // rounding can make a gain of nothing negative
  return { shares, statistic, p: chiSquareTail(statistic, reference.length - 1) };
}

/** Likelihood of an image under some shares, up to a factor that no share changes. */
function relativeLikelihood(
  row: readonly number[],
  shares: readonly number[],
  reference: readonly number[],
): number {
  return row.reduce((sum, p, k) => sum + p * shares[k]! / reference[k]!, 0);
}

/** Close enough for an interval that is read with three digits. */
const NEWTON_TOLERANCE = 1e-7;

const MOST_STEPS = 60;

/**
 * The share of the positive class at which EM of two classes ends (see `emShares`), found directly:
 * the log likelihood is concave in the one share, so that Newton's steps, kept in a bracket, reach
 * its maximum in some five passes where EM may take hundreds. A thousand resamples need that.
 *
 * @param probabilities Calibrated, of the positive class, one a bin, all between 0 and 1.
 * @param weights Images of each bin, not all 0.
 * @param reference Share of the positive class where the model was calibrated.
 * @param start A guess, 0 to 1.
 */
export function likeliestShare(
  probabilities: Float64Array,
  weights: Float64Array,
  reference: number,
  start: number,
): number {
  if (slopes(probabilities, weights, reference, 0).first <= 0) return 0;
  if (slopes(probabilities, weights, reference, 1).first >= 0) return 1;
  let [low, high] = [0, 1];
  let share = start > 0 && start < 1 ? start : 0.5;
  for (let step = 0; step < MOST_STEPS; step++) {
    const { first, second } = slopes(probabilities, weights, reference, share);
    if (first > 0) low = share;
    else high = share;
    const newton = share - first / second;
    const next = newton > low && newton < high ? newton : (low + high) / 2;
    const change = Math.abs(next - share);
    share = next;
    if (change < NEWTON_TOLERANCE) break;
  }
  return share;
}

/** First and second derivative of the log likelihood of a share. */
function slopes(
  probabilities: Float64Array,
  weights: Float64Array,
  reference: number,
  share: number,
): { first: number; second: number } {
  let [first, second] = [0, 0];
  for (let i = 0; i < probabilities.length; i++) {
    const weight = weights[i]!;
    if (weight === 0) continue;
    const p = probabilities[i]!;
    const negative = (1 - p) / (1 - reference);
    const difference = p / reference - negative;
    const slope = difference / (negative + share * difference);
    first += weight * slope;
    second -= weight * slope * slope;
  }
  return { first, second };
}

/**
 * A rate that is plausible after `successes` in n: drawn from Beta(successes + ½, failures + ½), its
 * posterior under Jeffreys' prior. Unlike a resample it is uncertain even when all succeeded.
 *
 * Two gamma variables, by Marsaglia & Tsang 2000 (ACM Transactions on Mathematical Software 26).
 */
export function drawRate(random: Random, successes: number, failures: number): number {
  const a = drawGamma(random, successes + 0.5);
  return a / (a + drawGamma(random, failures + 0.5));
}

/** A gamma variable of scale 1. */
function drawGamma(random: Random, shape: number): number {
  if (shape < 1) {
    return drawGamma(random, shape + 1) * (1 - random.next()) ** (1 / shape);
  }
  const d = shape - 1 / 3;
  while (true) {
    const x = random.normal();
    const v = (1 + x / Math.sqrt(9 * d)) ** 3;
    if (v > 0 && Math.log(1 - random.next()) < x * x / 2 + d - d * v + d * Math.log(v)) {
      return d * v;
    }
  }
}
