import { bootstrap } from "../../metrics/bootstrap.ts";
import type { Interval } from "../../metrics/interval.ts";
import { createRandom, type Random } from "../../random.ts";
import { type KnownOutcomes, roganGladen } from "../rogan_gladen.ts";
import { drawRate } from "./draw_rate.ts";
import { emShares } from "./em_shares.ts";
import { likeliestShare } from "./likeliest_share.ts";
import { occupiedBins } from "./occupied_bins.ts";
import type { ScoreSummary, ScoreUnit } from "./score_summary.ts";

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
