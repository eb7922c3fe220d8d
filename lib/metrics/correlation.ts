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
