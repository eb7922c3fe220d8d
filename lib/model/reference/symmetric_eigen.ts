/** Sweeps until nothing is left off the diagonal; some six are enough for any matrix. */
const SWEEPS = 30;

/**
 * Eigenvalues and eigenvectors of a small symmetric matrix, by Jacobi's rotations (Golub & Van Loan,
 * Matrix Computations, 8.5).
 *
 * @param matrix Row-major [n, n]; changed.
 * @returns `values`, the largest first; `vectors`, row-major [n, n], a row each in that order.
 */
export function symmetricEigen(
  matrix: Float64Array,
  n: number,
): { values: Float64Array; vectors: Float64Array } {
  const turns = Float64Array.from({ length: n * n }, (_, i) => i % (n + 1) === 0 ? 1 : 0);
  const scale = matrix.reduce((sum, value) => sum + value * value, 0);
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    let off = 0;
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) off += matrix[p * n + q]! ** 2;
    }
    if (off <= 1e-24 * scale) break;
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) rotate(matrix, turns, n, p, q);
    }
  }
  const order = Array.from({ length: n }, (_, i) => i)
    .sort((a, b) => matrix[b * (n + 1)]! - matrix[a * (n + 1)]!);
  const vectors = new Float64Array(n * n);
  order.forEach((from, to) => vectors.set(turns.subarray(from * n, (from + 1) * n), to * n));
  return { values: Float64Array.from(order, (i) => matrix[i * (n + 1)]!), vectors };
}

/** Makes the element in row p and column q zero. */
function rotate(matrix: Float64Array, turns: Float64Array, n: number, p: number, q: number): void {
  const between = matrix[p * n + q]!;
  if (between === 0) return;
  const theta = (matrix[q * (n + 1)]! - matrix[p * (n + 1)]!) / (2 * between);
  const tangent = (theta >= 0 ? 1 : -1) / (Math.abs(theta) + Math.hypot(theta, 1));
  const cosine = 1 / Math.hypot(tangent, 1);
  const sine = tangent * cosine;
  const turn = (values: Float64Array, atP: number, atQ: number) => {
    const [a, b] = [values[atP]!, values[atQ]!];
    values[atP] = cosine * a - sine * b;
    values[atQ] = sine * a + cosine * b;
  };
  for (let k = 0; k < n; k++) turn(matrix, k * n + p, k * n + q);
  for (let k = 0; k < n; k++) turn(matrix, p * n + k, q * n + k);
  for (let k = 0; k < n; k++) turn(turns, p * n + k, q * n + k);
}
