import type { Random } from "../../random.ts";

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
