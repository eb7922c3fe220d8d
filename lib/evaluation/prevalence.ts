import { createRandom, type Random } from "../core/random.ts";
import { chiSquareTail } from "../core/stats.ts";
import { bootstrap, type KnownOutcomes, roganGladen } from "../metrics/intervals.ts";
import type { Decision } from "../run/decision.ts";
import type { Interval } from "../run/metrics_file.ts";
import { occupiedBins, type ScoreSummary } from "./folder_scores.ts";

/**
 * The prevalence of the positive class where the model was calibrated (`reference`) and in the folder
 * at hand (`share`); both greater than 0, less than 1.
 */
export interface PrevalenceChange {
  reference: number;
  share: number;
}

/**
 * Calibrated class probabilities, corrected for another prevalence of the positive class: each in
 * proportion to p · new prevalence / old prevalence (Saerens et al. 2002, equation 2.4); the other
 * classes keep their proportions. All log odds move alike, so that the order of images stays.
 *
 * @param probabilities One a class; the last class is the positive one.
 * @returns As many, which sum to 1.
 */
export function correctProbabilities(
  probabilities: readonly number[],
  { reference, share }: PrevalenceChange,
): number[] {
  const last = probabilities.length - 1;
  const parts = probabilities.map((p, i) =>
    i === last ? p * share / reference : p * (1 - share) / (1 - reference)
  );
  const sum = parts.reduce((total, part) => total + part, 0);
  return parts.map((part) => part / sum);
}

/** The threshold on probabilities before a correction that predicts as `threshold` does after it. */
export function uncorrectedThreshold(threshold: number, change: PrevalenceChange): number {
  const back = { reference: change.share, share: change.reference };
  return correctProbabilities([1 - threshold, threshold], back)[1]!;
}

/**
 * The threshold on corrected probabilities. That of rule `default` or `costs` weighs errors and stays,
 * so that predictions change. `youden` and `sensitivity` chose a point of rates that do not depend on
 * the prevalence: the threshold moves with the probabilities, so that predictions stay.
 */
export function correctedThreshold(
  { threshold, rule }: Pick<Decision, "threshold" | "rule">,
  change: PrevalenceChange,
): number {
  if (!keepsPredictions(rule)) return threshold;
  return correctProbabilities([1 - threshold, threshold], change)[1]!;
}

/** Whether a threshold of this rule predicts as before a correction. */
export function keepsPredictions(rule: Decision["rule"]): boolean {
  return rule === "youden" || rule === "sensitivity";
}

/** The prevalence of the positive class in a folder, estimated in two ways. */
export interface PrevalenceEstimate {
  /** Prevalence among the validation images, which calibration was fitted to. */
  reference: number;
  /** Images in the folder. */
  n: number;
  /** Estimate from the calibrated probabilities, see {@linkcode emPrevalences}. */
  share: number;
  /** Of `share`, by bootstrap. */
  interval: Interval;
  /** What the bootstrap drew: images where there are fewer than five groups. */
  resampled: "images" | "groups";
  /** Chance of these probabilities were the prevalence still the reference one (likelihood ratio). */
  p: number;
  /**
   * Estimate from the predictions and the errors on validation (see `roganGladen`). Not kept within
   * 0 to 1: a value far outside shows that more than the prevalence differs.
   */
  blackBox: { share: number | null; interval: Interval };
  /** Of `share` less the black-box one. */
  difference: Interval;
  /**
   * Whether both estimates agree, as they do if only the prevalence differs from validation and the
   * calibration is good: 0 is in the interval of their difference, or they differ by no more than one
   * image in a hundred. `null`: there is no black-box estimate.
   */
  agree: boolean | null;
}

/** With fewer groups their resamples say nothing about how groups differ, and images are drawn. */
const FEWEST_GROUPS = 5;

/**
 * Estimates the prevalence of the positive class in a folder, with all other classes taken as one, in
 * 0.2 to 2 seconds. The bootstrap draws groups (images where there are fewer than five), and for the
 * black-box estimate also the sensitivity and specificity that the validation counts leave open.
 *
 * @param summary At least one image.
 * @param validation Counts at the summary's threshold, with images of both classes.
 * @throws {RangeError} Without images, or without validation images of both classes.
 */
export function estimatePrevalence(
  summary: ScoreSummary,
  validation: KnownOutcomes,
  { seed, resamples = 1000 }: { seed: string | number; resamples?: number },
): PrevalenceEstimate {
  const { truePositives, falsePositives, trueNegatives, falseNegatives } = validation;
  const positives = truePositives + falseNegatives;
  const negatives = trueNegatives + falsePositives;
  const reference = positives / (positives + negatives);
  const resampled = summary.groups.size < FEWEST_GROUPS ? "images" : "groups";
  const units = [...(resampled === "images" ? summary.byImage : summary.byGroup).values()];
  const bins = occupiedBins(units);
  const rows = Array.from(bins.probabilities, (p) => [1 - p, p]);
  const em = emPrevalences(rows, [1 - reference, reference], bins.counts);
  const share = em.prevalences[1]!;
  const called = units.reduce((sum, unit) => sum + unit.called, 0) / summary.n;
  const blackBox = roganGladen(called, truePositives / positives, trueNegatives / negatives);
  const random = createRandom(`${seed}/validation`);
  const drawn = new Float64Array(bins.counts.length); // images of a resample in each bin
  const intervals = bootstrap((weights) => {
    drawn.fill(0);
    let [n, called] = [0, 0];
    units.forEach((unit, i) => {
      const weight = weights[i]!;
      if (weight === 0) return;
      const { places, counts } = bins.units[i]!;
      places.forEach((place, at) => drawn[place]! += weight * counts[at]!);
      n += weight * unit.n;
      called += weight * unit.called;
    });
    const byLikelihood = likeliestPrevalence(bins.probabilities, drawn, reference, share);
    const sensitivity = drawRate(random, truePositives, falseNegatives);
    const specificity = drawRate(random, trueNegatives, falsePositives);
    const byCounts = roganGladen(called / n, sensitivity, specificity);
    const difference = byCounts === null ? null : byLikelihood - byCounts;
    return { share: byLikelihood, blackBox: byCounts, difference };
  }, { n: units.length, seed, resamples });
  return {
    reference,
    n: summary.n,
    share,
    interval: intervals.share,
    resampled,
    p: em.p,
    blackBox: { share: blackBox, interval: intervals.blackBox },
    difference: intervals.difference,
    agree: agreement(share, blackBox, intervals.difference),
  };
}

/** Both estimates agree where they differ by no more than this. */
const NEGLIGIBLE = 0.01;

function agreement(share: number, blackBox: number | null, difference: Interval): boolean | null {
  if (blackBox === null) return null;
  if (Math.abs(share - blackBox) <= NEGLIGIBLE) return true;
  const { low, high } = difference;
  return low === null || high === null ? null : low <= 0 && high >= 0;
}

/** When the iteration ends: far more than classes that can be told apart need. */
const EM = { tolerance: 1e-10, rounds: 5000 };

/**
 * The prevalences of classes in images whose classes are not known, from the probabilities of a model
 * that was calibrated where the classes had other prevalences and looked the same. The
 * expectation-maximisation of Saerens, Latinne & Decaestecker 2002 (Neural Computation 14:21-41),
 * sections 2.2 (prevalences) and 2.4 (test).
 *
 * @param rows Calibrated class probabilities, one row an image (or a bin of like images).
 * @param reference Prevalence of each class where the model was calibrated, all greater than 0.
 * @param weights Images of each row; one each when left out.
 * @returns The prevalence of each class, which sum to 1; twice the gain in log likelihood over the
 * reference, 0 or more; and its chance `p` were the prevalences the reference ones (likelihood-ratio
 * test, as many degrees of freedom as classes less one; images count as independent).
 * @throws {RangeError} Without images, or when a reference prevalence is not between 0 and 1.
 */
export function emPrevalences(
  rows: readonly (readonly number[])[],
  reference: readonly number[],
  weights: ArrayLike<number> = new Float64Array(rows.length).fill(1),
): { prevalences: number[]; statistic: number; p: number } {
  const total = rows.reduce((sum, _, i) => sum + weights[i]!, 0);
  if (!(total > 0)) throw new RangeError("Prevalences of no images cannot be estimated.");
  if (!reference.every((share) => share > 0 && share < 1)) {
    throw new RangeError(`Reference prevalences of ${reference.join(", ")} cannot be corrected.`);
  }
  /** Likelihood of an image, up to a factor that no prevalence changes. */
  const likelihood = (row: readonly number[], prevalences: readonly number[]) =>
    row.reduce((sum, p, k) => sum + p * prevalences[k]! / reference[k]!, 0);
  let [prevalences, change] = [[...reference], Infinity];
  for (let round = 0; round < EM.rounds && change > EM.tolerance; round++) {
    const next = new Array<number>(reference.length).fill(0);
    rows.forEach((row, i) => {
      const weight = weights[i]! / total;
      const sum = likelihood(row, prevalences);
      row.forEach((p, k) => next[k]! += weight * p * prevalences[k]! / reference[k]! / sum);
    });
    change = Math.max(...next.map((value, k) => Math.abs(value - prevalences[k]!)));
    prevalences = next;
  }
  const gain = rows.reduce((sum, row, i) =>
    sum + weights[i]! *
      (Math.log(likelihood(row, prevalences)) - Math.log(likelihood(row, reference))), 0);
  const statistic = Math.max(0, 2 * gain); // rounding can make a gain of nothing negative
  return { prevalences, statistic, p: chiSquareTail(statistic, reference.length - 1) };
}

/** When the steps end: close enough for an interval that is read with three digits. */
const NEWTON = { tolerance: 1e-7, steps: 60 };

/**
 * The prevalence at which EM of two classes ends (see {@linkcode emPrevalences}), found by Newton's
 * steps, kept in a bracket: the log likelihood is concave, and five passes do where EM takes hundreds.
 *
 * @param probabilities Calibrated, of the positive class, one a bin, all between 0 and 1.
 * @param weights Images of each bin, not all 0.
 * @param reference Prevalence of the positive class where the model was calibrated.
 * @param start A guess, 0 to 1.
 */
export function likeliestPrevalence(
  probabilities: Float64Array,
  weights: Float64Array,
  reference: number,
  start: number,
): number {
  /** First and second derivative of the log likelihood. */
  const slopes = (share: number): [number, number] => {
    let [first, second] = [0, 0];
    for (let i = 0; i < probabilities.length; i++) {
      const weight = weights[i]!;
      if (weight === 0) continue;
      const negative = (1 - probabilities[i]!) / (1 - reference);
      const difference = probabilities[i]! / reference - negative;
      const slope = difference / (negative + share * difference);
      first += weight * slope;
      second -= weight * slope * slope;
    }
    return [first, second];
  };
  if (slopes(0)[0] <= 0) return 0;
  if (slopes(1)[0] >= 0) return 1;
  let [low, high] = [0, 1];
  let share = start > 0 && start < 1 ? start : 0.5;
  let change = Infinity;
  for (let step = 0; step < NEWTON.steps && change >= NEWTON.tolerance; step++) {
    const [first, second] = slopes(share);
    if (first > 0) low = share;
    else high = share;
    const newton = share - first / second;
    const next = newton > low && newton < high ? newton : (low + high) / 2;
    change = Math.abs(next - share);
    share = next;
  }
  return share;
}

/**
 * Draws a rate from Beta(successes + ½, failures + ½), its posterior under Jeffreys' prior, by two
 * gamma variables (Marsaglia & Tsang 2000, ACM Transactions on Mathematical Software 26).
 */
export function drawRate(random: Random, successes: number, failures: number): number {
  const a = drawGamma(random, successes + 0.5);
  return a / (a + drawGamma(random, failures + 0.5));
}

/** A gamma variable of scale 1. */
function drawGamma(random: Random, shape: number): number {
  if (shape < 1) return drawGamma(random, shape + 1) * (1 - random.next()) ** (1 / shape);
  const d = shape - 1 / 3;
  while (true) {
    const x = random.normal();
    const v = (1 + x / Math.sqrt(9 * d)) ** 3;
    if (v > 0 && Math.log(1 - random.next()) < x * x / 2 + d - d * v + d * Math.log(v)) {
      return d * v;
    }
  }
}
