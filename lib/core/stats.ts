import { quickselect } from "d3-array";

/**
 * The middle of some numbers: of an even count the mean of the two middle ones.
 *
 * @returns NaN of no numbers.
 */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}

/** Images in falling order of probability, with ties marked. */
export interface Ranking {
  /** Indices of the images, most probable first. */
  order: Uint32Array;
  /** 1 at a position of `order` whose successor has a lower probability, and at the last one. */
  endsTie: Uint8Array;
}

/** Sorts images by falling probability, once, for all scores that need the order. */
export function rankByProbability(probabilities: ArrayLike<number>): Ranking {
  const order = Uint32Array.from({ length: probabilities.length }, (_, i) => i)
    .sort((a, b) => probabilities[b]! - probabilities[a]!);
  const endsTie = Uint8Array.from(
    order,
    (image, at) =>
      at + 1 === order.length || probabilities[order[at + 1]!] !== probabilities[image] ? 1 : 0,
  );
  return { order, endsTie };
}

/** How often each image counts in a resample, with the ranking, which is worked out only once. */
export interface Resample {
  ranking: Ranking;
  weights: ArrayLike<number>;
}

/**
 * Area under the ROC curve of the positive class: the chance that a positive image gets a higher
 * probability than a negative one, ties counting half. As scikit-learn's `roc_auc_score`.
 *
 * @param labels 0 or 1 (positive).
 * @param probabilities Of the positive class, in the same order.
 * @returns 0 to 1 (0.5: chance); `null` when a class is absent.
 */
export function rocAuc(
  labels: ArrayLike<number>,
  probabilities: ArrayLike<number>,
  resample?: Resample,
): number | null {
  const { order, endsTie } = resample?.ranking ?? rankByProbability(probabilities);
  const weights = resample?.weights;
  let [area, positives, negatives] = [0, 0, 0];
  let [tiedPositives, tiedNegatives] = [0, 0];
  for (let at = 0; at < order.length; at++) {
    const image = order[at]!;
    const weight = weights ? weights[image]! : 1;
    if (labels[image] === 1) tiedPositives += weight;
    else tiedNegatives += weight;
    if (!endsTie[at]) continue;
    area += tiedNegatives * (positives + tiedPositives / 2);
    positives += tiedPositives;
    negatives += tiedNegatives;
    tiedPositives = tiedNegatives = 0;
  }
  return positives === 0 || negatives === 0 ? null : area / (positives * negatives);
}

/**
 * Median, and `spread`: 1.4826 times the median distance from it, of a normal distribution the
 * standard deviation (Rousseeuw & Croux, 1993). NaN of no numbers.
 */
export function robustScale(values: readonly number[]): { median: number; spread: number } {
  const middle = median(values);
  const spread = 1.4826 * median(values.map((value) => Math.abs(value - middle)));
  return { median: middle, spread };
}

/**
 * Pearson's correlation coefficient, -1 to 1.
 *
 * @param a As many finite numbers as `b`.
 * @returns `null` where one of the two is constant, or there are fewer than two pairs: the
 * correlation with a constant is undefined.
 */
export function correlation(a: ArrayLike<number>, b: ArrayLike<number>): number | null {
  const n = b.length;
  const [meanA, meanB] = [mean(a), mean(b)];
  let [product, squaresA, squaresB] = [0, 0, 0];
  for (let i = 0; i < n; i++) {
    const [x, y] = [a[i]! - meanA, b[i]! - meanB];
    product += x * y;
    squaresA += x * x;
    squaresB += y * y;
  }
  const scale = Math.sqrt(squaresA) * Math.sqrt(squaresB);
  return n < 2 || scale === 0 ? null : Math.max(-1, Math.min(1, product / scale));
}

/**
 * Spearman's rank correlation, -1 to 1: {@linkcode correlation} of the ranks, of which equal
 * numbers share their mean.
 */
export function rankCorrelation(a: ArrayLike<number>, b: ArrayLike<number>): number | null {
  return correlation(ranks(a), ranks(b));
}

function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return sum / values.length;
}

function ranks(values: ArrayLike<number>): Float64Array {
  const order = Uint32Array.from({ length: values.length }, (_, i) => i)
    .sort((i, j) => values[i]! - values[j]!);
  const result = new Float64Array(values.length);
  for (let start = 0; start < order.length;) {
    let end = start + 1;
    while (end < order.length && values[order[end]!] === values[order[start]!]) end++;
    for (let i = start; i < end; i++) result[order[i]!] = (start + end + 1) / 2; // from 1
    start = end;
  }
  return result;
}

/**
 * The percentile of some values, linear between neighbours as `numpy.percentile`, in linear time.
 *
 * @param values At least one; none is NaN. Their order is changed.
 * @param percent 0 to 100.
 */
export function percentile(values: Float64Array, percent: number): number {
  const place = percent / 100 * (values.length - 1);
  const low = Math.floor(place);
  quickselect(values, low); // smaller ones now end before it
  const value = values[low]!;
  if (low === place) return value;
  let next = Infinity;
  for (let i = low + 1; i < values.length; i++) if (values[i]! < next) next = values[i]!;
  return value + (place - low) * (next - value);
}

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
  let [term, sum] = [1 / a, 1 / a];
  for (let n = 1; n < MOST_TERMS && term > sum * Number.EPSILON; n++) {
    term *= x / (a + n);
    sum += term;
  }
  return sum;
}

function continuedFraction(a: number, x: number): number {
  let b = x + 1 - a;
  let [c, d, value] = [Infinity, 1 / b, 1 / b];
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
