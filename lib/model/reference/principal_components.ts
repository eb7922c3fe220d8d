import { createRandom } from "../../random.ts";
import { type TensorFlow, tf } from "../../setup/tensorflow.ts";
import { symmetricEigen } from "./symmetric_eigen.ts";

/** Rounds of the subspace iteration: the directions kept are then right to some digits. */
const ROUNDS = 6;
/** Directions that are followed beyond those wanted. */
const SPARE = 10;

/**
 * The directions in which rows differ most, by a randomised subspace iteration (Halko, Martinsson &
 * Tropp 2011, algorithm 4.4). The same rows give the same directions.
 *
 * @param rows Centred, row-major [n, width].
 * @param count At most n and width.
 * @returns Orthonormal, row-major [count, width], that of the greatest variance first.
 */
export function principalComponents(
  rows: Float32Array,
  width: number,
  count: number,
): Float32Array {
  const n = rows.length / width;
  const followed = Math.min(count + SPARE, n, width);
  const random = createRandom("principal components");
  let basis = Float32Array.from({ length: followed * width }, () => random.normal());
  return tf.tidy(() => {
    const data = tf.tensor2d(rows, [n, width]);
    const asTensor = () => tf.tensor2d(orthonormal(basis, width), [followed, width]);
    for (let round = 0; round < ROUNDS; round++) {
      const projected = data.matMul(asTensor(), false, true); // [n, followed]
      basis = projected.matMul(data, true).dataSync<"float32">() as Float32Array<ArrayBuffer>;
    }
    const directions = asTensor();
    const projected = data.matMul(directions, false, true); // [n, followed]
    const covariance = projected.matMul(projected, true).dataSync<"float32">();
    const { vectors } = symmetricEigen(Float64Array.from(covariance), followed);
    const turn = tf.tensor2d(Float32Array.from(vectors), [followed, followed]);
    const turned = turn.slice([0, 0], [count, followed]).matMul(directions as TensorFlow.Tensor2D);
    return turned.dataSync<"float32">() as Float32Array; // [count, width]
  });
}

/** Rows made orthonormal one after another (Gram-Schmidt, twice for the sake of rounding). */
function orthonormal(rows: Float32Array, width: number): Float32Array {
  const result = Float32Array.from(rows);
  const row = (i: number) => result.subarray(i * width, (i + 1) * width);
  for (let i = 0; i < result.length / width; i++) {
    const own = row(i);
    for (let pass = 0; pass < 2; pass++) {
      for (let j = 0; j < i; j++) subtract(own, row(j), dot(own, row(j)));
      const length = Math.sqrt(dot(own, own));
      // what depends on the rows before it is left out, as zeros
      for (let k = 0; k < width; k++) own[k] = length > 1e-30 ? own[k]! / length : 0;
    }
  }
  return result;
}

function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let k = 0; k < a.length; k++) sum += a[k]! * b[k]!;
  return sum;
}

function subtract(from: Float32Array, row: Float32Array, times: number): void {
  for (let k = 0; k < from.length; k++) from[k]! -= times * row[k]!;
}
