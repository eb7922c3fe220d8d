import { quantileSorted } from "d3-array";
import { createRandom } from "../core/random.ts";
import type { Decision } from "../run/decision.ts";
import type { Interval } from "../run/metrics_file.ts";

/** Resamples where nothing else is asked for. */
export const RESAMPLES = 2000;

/**
 * With fewer groups, resamples of whole groups are so few different ones that intervals come out far
 * too narrow (two groups have three); the images within each drawn group are then resampled too.
 */
const FEW_GROUPS = 5;

interface BootstrapOptions {
  n: number;
  groups?: readonly string[];
  seed: string | number;
  resamples?: number;
}

/**
 * 95 % percentile bootstrap intervals (Efron & Tibshirani 1993, chapter 13) of several statistics
 * from the same resamples, as `scipy.stats.bootstrap(method="percentile")`.
 *
 * A resample is not a copy of the images but how often each was drawn, so that a statistic can
 * sort once and never again. Resamples in which a statistic is undefined are left out of its
 * interval; where they are more than half, or all say the same, there is no interval but a reason.
 *
 * @param statistics From how often each image was drawn (length n) to the values; `null` for
 * undefined.
 * @param options `n`: number of images. `groups`: patient or slide of each; whole groups are drawn,
 * because images of one patient are no independent evidence. `resamples`: 2000 when left out.
 */
export function bootstrap<K extends string>(
  statistics: (weights: Uint32Array) => Record<K, number | null>,
  { n, groups, seed, resamples = RESAMPLES }: BootstrapOptions,
): Record<K, Interval> {
  const rounds: Record<K, number | null>[] = [];
  const visit = (weights: Uint32Array) => void rounds.push(statistics(weights));
  const units = eachResample(visit, { n, groups, seed, resamples });
  const intervals = (Object.keys(rounds[0]!) as K[]).map((name) => {
    const defined = rounds.map((values) => values[name]).filter((value) => value !== null);
    return [name, percentileInterval(defined, { resamples, units, groups })] as const;
  });
  return Object.fromEntries(intervals) as Record<K, Interval>;
}

/**
 * The resamples themselves, for what has more to say than single values.
 *
 * @param visit Called once a resample with how often each image was drawn; the array is used again.
 * @returns From how many units (groups, or images) was drawn.
 */
export function eachResample(
  visit: (weights: Uint32Array) => void,
  { n, groups, seed, resamples = RESAMPLES }: BootstrapOptions,
): number {
  // what is drawn as one: a group, or an image
  const numbers = new Map([...new Set(groups)].map((group, number) => [group, number]));
  const units = groups ? numbers.size : n;
  const unitOf = Uint32Array.from({ length: n }, (_, i) => groups ? numbers.get(groups[i]!)! : i);
  const random = createRandom(`${seed}/bootstrap`);
  const drawn = new Uint32Array(units);
  const weights = new Uint32Array(n);
  const members = groups && units < FEW_GROUPS
    ? Map.groupBy(unitOf.keys(), (image) => unitOf[image]!)
    : null;
  for (let round = 0; round < resamples; round++) {
    drawn.fill(0);
    for (let i = 0; i < units; i++) drawn[random.integer(units)]!++;
    if (members) {
      weights.fill(0);
      for (const [unit, images] of members) {
        for (let left = drawn[unit]! * images.length; left > 0; left--) {
          weights[images[random.integer(images.length)]!]!++;
        }
      }
    } else for (let i = 0; i < n; i++) weights[i] = drawn[unitOf[i]!]!;
    visit(weights);
  }
  return units;
}

/** What {@linkcode eachResample} draws, in words: "12 groups". */
export function describeUnits(units: number, areGroups: boolean): string {
  if (!areGroups) return `${units} images`;
  return `${units} groups${units < FEW_GROUPS ? " and of the images within" : ""}`;
}

/** Ends closer than this are the same value up to rounding. */
const SAME = 1e-12;

/** The interval that a statistic's values make, from the `units` of {@linkcode eachResample}. */
export function percentileInterval(
  defined: readonly number[],
  { resamples = RESAMPLES, units, groups }:
    & Pick<BootstrapOptions, "resamples" | "groups">
    & { units: number },
): Interval {
  const none = (reason: string) => ({ low: null, high: null, reason });
  const single = "all images come from one group, which cannot show how groups differ";
  if (units < 2) return none(groups ? single : "fewer than two images");
  if (defined.length * 2 < resamples) return none("undefined in most resamples: too few images");
  const [low, high] = middle95(Float64Array.from(defined));
  return high - low > SAME
    ? { low, high }
    : none("the resamples all give the same value, which says nothing about its uncertainty");
}

/** The 2.5 and 97.5 percentiles of at least one number, as numpy's; the numbers are sorted in place. */
export function middle95(values: Float64Array): [low: number, high: number] {
  const sorted = values.sort() as Iterable<number> as number[]; // d3's types know arrays alone
  return [quantileSorted(sorted, 0.025)!, quantileSorted(sorted, 0.975)!];
}

/** The 97.5 % point of the standard normal distribution: 95 % lies between -z and z. */
const Z = 1.959963984540054;

/**
 * Wilson's 95 % score interval for a share: never outside 0 to 1, and of some width even when
 * all or none succeeded. Source: Wilson 1927;
 * `scipy.stats.binomtest(k, n).proportion_ci(method="wilson")`.
 *
 * @throws {RangeError} When n is 0 or successes lie outside 0 to n.
 */
export function wilson(successes: number, n: number): { low: number; high: number } {
  if (!(n > 0 && successes >= 0 && successes <= n)) {
    throw new RangeError(`A share of ${successes} in ${n} has no interval.`);
  }
  const share = successes / n;
  const shrink = 1 + Z ** 2 / n;
  const centre = (share + Z ** 2 / (2 * n)) / shrink;
  const half = (Z / shrink) * Math.sqrt(share * (1 - share) / n + (Z / (2 * n)) ** 2);
  return {
    low: successes === 0 ? 0 : Math.max(0, centre - half),
    high: successes === n ? 1 : Math.min(1, centre + half),
  };
}

/** The images' groups; `undefined` where no two share one, which says no more than no groups. */
export function sharedGroups(groups?: readonly string[]): readonly string[] | undefined {
  return groups && new Set(groups).size < groups.length ? groups : undefined;
}

/**
 * 95 % interval of the difference `a − b` of two independent shares: Newcombe's hybrid of two Wilson
 * intervals (Statistics in Medicine 17, 1998, method 10).
 *
 * @param a `share`: 0 to 1. `of`: how many images it is a share of, at least one.
 */
export function newcombe(
  a: { share: number; of: number },
  b: { share: number; of: number },
): { low: number; high: number } {
  const [ofA, ofB] = [a, b].map(({ share, of }) => wilson(Math.round(share * of), of));
  const difference = a.share - b.share;
  return {
    low: difference - Math.hypot(a.share - ofA!.low, ofB!.high - b.share),
    high: difference + Math.hypot(ofA!.high - a.share, b.share - ofB!.low),
  };
}

/** The 97.5 % points of Student's t with 1 to 30 degrees of freedom; beyond, 1.96 + 2.5 / freedom. */
// deno-fmt-ignore
const T = [
  12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281,
  2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860,
  2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423,
];

/**
 * How many independent images tell as much about a share as images that come in groups: those of one
 * patient are alike, so a hundred of them are less than a hundred witnesses.
 *
 * The images, divided by the design effect (the variance of the share between whole groups over that
 * of independent images) and, where groups are few, by the square of t over the normal point, as
 * Korn & Graubard 1998 (Survey Methodology 24:193-201) do; never more than there are.
 *
 * @param groups Images and positive ones of each group, no group empty.
 * @returns The number of images where fewer than two groups, or no differences, say nothing else.
 */
export function effectiveSize(groups: readonly { n: number; positive: number }[]): number {
  const sumOf = (of: (group: typeof groups[number]) => number) =>
    groups.reduce((sum, group) => sum + of(group), 0);
  const n = sumOf((group) => group.n);
  const share = sumOf((group) => group.positive) / n;
  const freedom = groups.length - 1;
  if (freedom < 1 || share === 0 || share === 1) return n;
  const squares = sumOf((group) => (group.positive - share * group.n) ** 2);
  const between = groups.length / freedom * squares / n ** 2;
  const independent = share * (1 - share) / n;
  const t = T[freedom - 1] ?? 1.96 + 2.5 / freedom;
  return Math.min(n, n * independent / between * (1.96 / t) ** 2);
}

/** How often a model was right where the classes are known. */
export type KnownOutcomes = Omit<NonNullable<Decision["validation"]>, "scores">;

/** A true prevalence, 0 to 1, worked out from a share of predictions; `null` where it cannot be. */
export type CorrectedShare = Interval & { share: number | null };

/**
 * Rogan and Gladen's prevalence behind a share of positive predictions, from known sensitivity and
 * specificity: (share + specificity − 1) / (sensitivity + specificity − 1). For two classes this is
 * also the black-box shift estimate of Lipton, Wang & Smola 2018 (ICML), whose inverted confusion
 * matrix comes to the same.
 *
 * @param called Share of images predicted as positive, 0 to 1.
 * @returns Below 0 or above 1 where fewer or more images are predicted as positive than these rates
 * allow; `null` when sensitivity and specificity sum to 1 or less: such predictions say nothing.
 */
export function roganGladen(
  called: number,
  sensitivity: number,
  specificity: number,
): number | null {
  const information = sensitivity + specificity - 1;
  return information > 0 ? (called + specificity - 1) / information : null;
}

/**
 * {@linkcode roganGladen} with a 95 % interval that includes the uncertainty of sensitivity and
 * specificity.
 *
 * Source of the interval: Lang & Reiczigel 2014 (Preventive Veterinary Medicine 113:13-22): normal,
 * around rates to which pseudo-observations were added, with their correction of its centre; here
 * kept within 0 to 1.
 *
 * @param called Images predicted as positive, 0 to n.
 * @param n At least 1; less than the number of images where they are not independent.
 * @param known At the threshold of these predictions.
 */
export function correctedShare(
  called: number,
  n: number,
  { truePositives, falseNegatives, trueNegatives, falsePositives }: KnownOutcomes,
): CorrectedShare {
  const [positives, negatives] = [truePositives + falseNegatives, trueNegatives + falsePositives];
  const none = (reason: string) => ({ share: null, low: null, high: null, reason });
  if (positives === 0) return none("sensitivity is not known: there was no positive image");
  if (negatives === 0) return none("specificity is not known: there was no negative image");
  const raw = roganGladen(called / n, truePositives / positives, trueNegatives / negatives);
  const nothing = "sensitivity and specificity sum to 1 or less: the answers say nothing";
  if (raw === null) return none(nothing);
  const [size, apparent] = [n + Z ** 2, (called + Z ** 2 / 2) / (n + Z ** 2)];
  const [sensitivity, ofSensitivity] = [(truePositives + 1) / (positives + 2), positives + 2];
  const [specificity, ofSpecificity] = [(trueNegatives + 1) / (negatives + 2), negatives + 2];
  const information = sensitivity + specificity - 1;
  if (information <= 0) return none(nothing);
  const adjusted = (apparent + specificity - 1) / information;
  const missed = sensitivity * (1 - sensitivity) / ofSensitivity; // variances of both rates
  const mistaken = specificity * (1 - specificity) / ofSpecificity;
  const centre = adjusted + 2 * Z ** 2 * (adjusted * missed - (1 - adjusted) * mistaken);
  const variance = apparent * (1 - apparent) / size + adjusted ** 2 * missed +
    (1 - adjusted) ** 2 * mistaken;
  const half = Z * Math.sqrt(variance) / information;
  const clip = (share: number) => Math.min(1, Math.max(0, share));
  const [share, low, high] = [clip(raw), clip(centre - half), clip(centre + half)];
  // the interval is centred elsewhere than the estimate, which must not fall outside it
  return { share, low: Math.min(share, low), high: Math.max(share, high) };
}
