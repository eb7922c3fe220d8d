/** The 97.5 % point of the standard normal distribution: 95 % lies between -z and z. */
const Z = 1.959963984540054;

/**
 * Wilson's 95 % score interval for a share: never outside 0 to 1, and of some width even when
 * all or none succeeded.
 *
 * Source: Wilson 1927; `scipy.stats.binomtest(k, n).proportion_ci(method="wilson")`.
 *
 * @param successes 0 to n.
 * @param n At least 1.
 * @throws {RangeError} When n is 0 or successes lie outside 0 to n.
 * @example
 * ```ts
 * wilson(10, 10); // { low: 0.722, high: 1 }
 * ```
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
