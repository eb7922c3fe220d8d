import { createRandom } from "../random.ts";
import type { Interval } from "./interval.ts";

/** Ends closer than this are the same value up to rounding. */
const SAME = 1e-12;

/**
 * With fewer groups, resamples of whole groups are so few different ones that intervals come out far
 * too narrow (two groups have three); the images within each drawn group are then resampled too.
 */
const FEW_GROUPS = 5;

/** Resamples where nothing else is asked for. */
export const RESAMPLES = 2000;

/** What {@linkcode bootstrap} resamples, and how often. */
export interface BootstrapOptions {
  /** Number of images. */
  n: number;
  /**
   * Group (patient, slide) of each image: whole groups are drawn, because images of one patient
   * are no independent evidence. Images are drawn when left out.
   */
  groups?: readonly string[];
  seed: string | number;
  /** 2000 when left out. */
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
 * @example
 * ```ts
 * const { mean } = bootstrap((weights) => ({ mean: weightedMean(x, weights) }), { n, seed: 1 });
 * ```
 */
export function bootstrap<K extends string>(
  statistics: (weights: Uint32Array) => Record<K, number | null>,
  { n, groups, seed, resamples = RESAMPLES }: BootstrapOptions,
): Record<K, Interval> {
  const values = new Map<K, number[]>();
  const units = eachResample((weights) => {
    const result = statistics(weights);
    for (const name of Object.keys(result) as K[]) {
      const defined = values.get(name) ?? [];
      if (defined.length === 0) values.set(name, defined);
      const value = result[name];
      if (value !== null) defined.push(value);
    }
  }, { n, groups, seed, resamples });
  const intervals = [...values].map(([name, defined]) =>
    [name, percentileInterval(defined, { resamples, units, groups })] as const
  );
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
  const { unitOf, units } = unitsOf(n, groups);
  const random = createRandom(`${seed}/bootstrap`);
  const drawn = new Uint32Array(units);
  const weights = new Uint32Array(n);
  const members = groups && units < FEW_GROUPS ? membersOf(unitOf, units) : null;
  for (let round = 0; round < resamples; round++) {
    drawn.fill(0);
    for (let i = 0; i < units; i++) drawn[random.integer(units)]!++;
    if (members) {
      weights.fill(0);
      for (const [unit, images] of members.entries()) {
        for (let left = drawn[unit]! * images.length; left > 0; left--) {
          weights[images[random.integer(images.length)]!]!++;
        }
      }
    } else for (let i = 0; i < n; i++) weights[i] = drawn[unitOf[i]!]!;
    visit(weights);
  }
  return units;
}

/** The images of each unit. */
function membersOf(unitOf: Uint32Array, units: number): number[][] {
  const members = Array.from({ length: units }, (): number[] => []);
  unitOf.forEach((unit, image) => members[unit]!.push(image));
  return members;
}

/** What {@linkcode eachResample} draws, in words: "12 groups". */
export function describeUnits(units: number, areGroups: boolean): string {
  if (!areGroups) return `${units} images`;
  return `${units} groups${units < FEW_GROUPS ? " and of the images within" : ""}`;
}

/**
 * The interval that the values of a statistic in its resamples make.
 *
 * @param defined Its values where it is defined.
 * @param options `units` as {@linkcode eachResample} returned them.
 */
export function percentileInterval(
  defined: readonly number[],
  { resamples = RESAMPLES, units, groups }: Pick<BootstrapOptions, "resamples" | "groups"> & {
    units: number;
  },
): Interval {
  return units < 2 ? none(tooFewUnits(groups)) : percentiles(defined, resamples);
}

/** What is drawn as one: the number of the group of each image, or of the image itself. */
function unitsOf(
  n: number,
  groups?: readonly string[],
): { unitOf: Uint32Array; units: number } {
  if (!groups) return { unitOf: Uint32Array.from({ length: n }, (_, i) => i), units: n };
  const numbers = new Map<string, number>();
  const unitOf = Uint32Array.from(groups, (group) => {
    const known = numbers.get(group) ?? numbers.size;
    numbers.set(group, known);
    return known;
  });
  return { unitOf, units: numbers.size };
}

function tooFewUnits(groups?: readonly string[]): string {
  return groups
    ? "all images come from one group, which cannot show how groups differ"
    : "fewer than two images";
}

function percentiles(defined: readonly number[], resamples: number): Interval {
  if (defined.length * 2 < resamples) return none("undefined in most resamples: too few images");
  const sorted = Float64Array.from(defined).sort();
  const [low, high] = [quantile(sorted, 0.025), quantile(sorted, 0.975)];
  return high - low > SAME
    ? { low, high }
    : none("the resamples all give the same value, which says nothing about its uncertainty");
}

function none(reason: string): Interval {
  return { low: null, high: null, reason };
}

/** Quantile of sorted numbers, interpolated linearly (numpy's default; type 7 of Hyndman & Fan). */
export function quantile(sorted: Float64Array, share: number): number {
  const at = share * (sorted.length - 1);
  const below = Math.floor(at);
  const lower = sorted[below]!;
  const upper = sorted[Math.min(below + 1, sorted.length - 1)]!;
  return lower + (at - below) * (upper - lower);
}
