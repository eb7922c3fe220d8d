/** A 3×3 matrix, row by row. */
export type Matrix3 = readonly [Vector3, Vector3, Vector3];

/** Three numbers: for colours in the order red, green, blue. */
export type Vector3 = readonly [number, number, number];

/** The vector at right angles to two others (right-handed). */
export function cross(a: Vector3, b: Vector3): Vector3 {
  return [
    a[1] * b[2] - a[2] * b[1],
    a[2] * b[0] - a[0] * b[2],
    a[0] * b[1] - a[1] * b[0],
  ];
}

/** A vector of length 1 in the same direction; the zero vector has none and gives NaN. */
export function unit(vector: Vector3): Vector3 {
  const length = Math.hypot(...vector);
  return [vector[0] / length, vector[1] / length, vector[2] / length];
}

/** `a · b`: what `a` does to a row vector, and then `b`. */
export function multiply(a: Matrix3, b: Matrix3): Matrix3 {
  const row = (values: Vector3): Vector3 => {
    const column = (c: 0 | 1 | 2) =>
      values[0] * b[0][c] + values[1] * b[1][c] + values[2] * b[2][c];
    return [column(0), column(1), column(2)];
  };
  return [row(a[0]), row(a[1]), row(a[2])];
}

/** The inverse, by cofactors; of a matrix that has none, not finite. */
export function invert([a, b, c]: Matrix3): Matrix3 {
  const [bc, ca, ab] = [cross(b, c), cross(c, a), cross(a, b)];
  const determinant = a[0] * bc[0] + a[1] * bc[1] + a[2] * bc[2];
  const row = (i: 0 | 1 | 2): Vector3 => [
    bc[i] / determinant,
    ca[i] / determinant,
    ab[i] / determinant,
  ];
  return [row(0), row(1), row(2)];
}

/**
 * Eigenvectors of a symmetric matrix, of length 1, the one with the largest eigenvalue first (cyclic
 * Jacobi rotations; Golub & Van Loan, Matrix Computations, 8.5).
 */
export function symmetricEigenvectors(matrix: Matrix3): Matrix3 {
  const a = matrix.map((row) => [...row]);
  const v = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]; // columns become the vectors
  const pairs = [[0, 1], [0, 2], [1, 2]] as const;
  for (let sweep = 0; sweep < 30; sweep++) {
    for (const [p, q] of pairs) {
      const off = a[p]![q]!;
      if (off === 0) continue;
      const theta = (a[q]![q]! - a[p]![p]!) / (2 * off);
      const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.hypot(theta, 1));
      const c = 1 / Math.hypot(t, 1);
      const s = t * c;
      const turn = (row: number[]) => {
        const [first, second] = [row[p]!, row[q]!];
        row[p] = c * first - s * second;
        row[q] = s * first + c * second;
      };
      a.forEach(turn);
      for (let k = 0; k < 3; k++) {
        const [first, second] = [a[p]![k]!, a[q]![k]!];
        a[p]![k] = c * first - s * second;
        a[q]![k] = s * first + c * second;
      }
      v.forEach(turn);
    }
  }
  const order = [0, 1, 2].sort((i, j) => a[j]![j]! - a[i]![i]!);
  const column = (i: number): Vector3 => [v[0]![i]!, v[1]![i]!, v[2]![i]!];
  return [column(order[0]!), column(order[1]!), column(order[2]!)];
}
