/** More terms than any value of a test needs. */
const MOST_TERMS = 1000;

/**
 * The chance that a chi-square variable is at least `statistic`, as `scipy.stats.chi2.sf`.
 *
 * The regularised upper incomplete gamma function Q(freedom / 2, statistic / 2), by its power series
 * below freedom / 2 + 1 and by its continued fraction (Lentz's method) above it. Source: Abramowitz &
 * Stegun 1964, 6.5.29 and 6.5.31.
 *
 * @param statistic 0 or more.
 * @param freedom Degrees of freedom, a positive whole number.
 */
export function chiSquareTail(statistic: number, freedom: number): number {
  const [a, x] = [freedom / 2, statistic / 2];
  if (x <= 0) return 1;
  const scale = Math.exp(-x + a * Math.log(x) - logGammaOfHalf(freedom));
  return x < a + 1 ? 1 - scale * powerSeries(a, x) : scale * continuedFraction(a, x);
}

/** ln Γ(freedom / 2), by Γ(z + 1) = z Γ(z) from Γ(1/2) = √π or Γ(1) = 1. */
function logGammaOfHalf(freedom: number): number {
  const odd = freedom % 2 === 1;
  let sum = odd ? Math.log(Math.PI) / 2 : 0;
  for (let z = odd ? 0.5 : 1; z < freedom / 2; z++) sum += Math.log(z);
  return sum;
}

function powerSeries(a: number, x: number): number {
  let term = 1 / a;
  let sum = term;
  for (let n = 1; n < MOST_TERMS && term > sum * Number.EPSILON; n++) {
    term *= x / (a + n);
    sum += term;
  }
  return sum;
}

function continuedFraction(a: number, x: number): number {
  let b = x + 1 - a;
  let c = Infinity;
  let d = 1 / b;
  let value = d;
  for (let n = 1; n < MOST_TERMS; n++) {
    const numerator = -n * (n - a);
    b += 2;
    d = 1 / (numerator * d + b);
    c = b + numerator / c;
    const factor = c * d;
    value *= factor;
    if (Math.abs(factor - 1) < Number.EPSILON) break;
  }
  return value;
}
