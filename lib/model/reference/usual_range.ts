/** Where most of some numbers lie: the middle, and how far they usually reach from it. */
export interface UsualRange {
  median: number;
  /** Below the median, as a standard deviation: above 0. */
  below: number;
  /** Above the median, as a standard deviation: above 0. */
  above: number;
}

/** Standard deviations of a normal distribution between its middle and its 95th percentile. */
const TO_95_PERCENT = 1.6449;

/**
 * Median, and on each side the distance to the outermost 5 % as that many standard deviations of a
 * normal distribution. Each side has its own, since brightness and sharpness are skewed; up to 5 % of
 * the numbers on a side may be anything.
 *
 * @param values At least one.
 * @param least Least spread: smaller differences are of no importance, however alike the numbers are.
 */
export function usualRange(values: readonly number[], least: number): UsualRange {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.round(share * (sorted.length - 1))]!;
  const median = at(0.5);
  return {
    median,
    below: Math.max(least, (median - at(0.05)) / TO_95_PERCENT),
    above: Math.max(least, (at(0.95) - median) / TO_95_PERCENT),
  };
}

/** How many spreads a number lies from the middle, with its sign. */
export function spreadsAway(value: number, { median, below, above }: UsualRange): number {
  const distance = value - median;
  return distance < 0 ? distance / below : distance / above;
}

/**
 * The number that a new one of the same kind exceeds with a chance of at most `share`: of m numbers
 * the ⌈(m + 1)(1 − share)⌉-th, by which the chance holds whatever their distribution is (Vovk,
 * Gammerman & Shafer 2005, conformal prediction). Of fewer than 1 / share − 1 numbers it is the largest,
 * and the chance 1 / (m + 1).
 *
 * @param values At least one.
 * @returns `chance`: the one that holds.
 */
export function conformalLimit(
  values: readonly number[],
  share: number,
): { limit: number; chance: number } {
  const m = values.length;
  // rounding errors of (m + 1)(1 − share) must not raise it by one
  const rank = Math.min(m, Math.ceil((m + 1) * (1 - share) - 1e-9));
  return { limit: values.toSorted((a, b) => a - b)[rank - 1]!, chance: 1 - rank / (m + 1) };
}
