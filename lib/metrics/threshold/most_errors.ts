/** Chance with which a rate that is too high may look low enough. */
export const ALPHA = 0.05;

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
export function fewestImages(rate: number): number {
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
