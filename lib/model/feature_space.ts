import { EigenvalueDecomposition, Matrix, QrDecomposition } from "ml-matrix";
import { createRandom } from "../core/random.ts";
import { type TensorFlow, tf } from "../core/tensorflow.ts";

/** Where the features of ordinary images lie. */
export interface FeatureSpace {
  /** Of features of length 1: [channels]. */
  mean: Float32Array;
  /** Directions in which they differ most, nearly orthonormal: row-major [k, channels]. */
  directions: Float32Array;
  /** Along each of the directions, above 0: [k]. */
  variances: number[];
  /** Mean square of what the directions leave, above 0. */
  rest: number;
}

/** Directions that are kept: more of them told outliers of real crops apart no better. */
const DIRECTIONS = 32;

/** Images for each direction, at least: fewer do not tell its variance. */
const IMAGES_PER_DIRECTION = 4;

/** Of features of length 1: keeps distances finite where all images are the same. */
const LEAST_VARIANCE = 1e-9;

/**
 * Fits the space of ordinary features: scaled to length 1, their mean and their first principal
 * components. Numbers are rounded to the 16 bits in which they are stored.
 *
 * @param features One an image, [channels] each; at least 4.
 */
export function fitFeatureSpace(features: readonly Float32Array[]): FeatureSpace {
  const width = features[0]!.length;
  const n = features.length;
  const rows = features.map(unitLength);
  const mean = new Float32Array(width);
  for (const row of rows) row.forEach((value, k) => mean[k]! += value / n);
  const kept = new Float32Array(new Float16Array(mean));
  const centred = new Float32Array(n * width); // [n, width]
  rows.forEach((row, i) => row.forEach((value, k) => centred[i * width + k] = value - kept[k]!));
  const count = Math.min(DIRECTIONS, width, Math.max(1, Math.floor(n / IMAGES_PER_DIRECTION)));
  // [count, width]
  const directions = new Float32Array(new Float16Array(principalComponents(centred, width, count)));
  const variances = new Array<number>(count).fill(0);
  let rest = 0;
  for (let i = 0; i < n; i++) {
    const part = project(centred.subarray(i * width, (i + 1) * width), directions);
    part.along.forEach((value, k) => variances[k]! += value * value / n);
    rest += part.rest / n;
  }
  return {
    mean: kept,
    directions,
    variances: variances.map((value) => Math.max(LEAST_VARIANCE, value)),
    rest: Math.max(LEAST_VARIANCE, rest),
  };
}

/**
 * How far an image is from ordinary ones in feature space: about 1 for those that the space was
 * fitted to.
 *
 * Features are scaled to length 1 first, since their length tells confidence rather than content (Mueller
 * & Hein 2025, Mahalanobis++). Within the directions it is a Mahalanobis distance (Lee et al. 2018),
 * outside of them the length of the rest; the squares of both count the same, each by its mean over
 * ordinary images (the combined index of Hotelling's T² and the squared prediction error: Yue & Qin
 * 2001), as a covariance shrunk to few directions.
 *
 * @param features [channels]; any finite scale.
 * @returns Infinity when they are not finite.
 */
export function featureDistance(features: Float32Array, space: FeatureSpace): number {
  const centred = unitLength(features).map((value, k) => value - space.mean[k]!);
  const { along, rest } = project(centred, space.directions);
  const within = along.reduce((sum, value, k) => sum + value * value / space.variances[k]!, 0);
  const squared = (within / along.length + rest / space.rest) / 2;
  return Number.isFinite(squared) ? Math.sqrt(squared) : Infinity;
}

function unitLength(row: Float32Array): Float32Array {
  let squares = 0;
  for (const value of row) squares += value * value;
  const length = Math.max(1e-12, Math.sqrt(squares));
  return row.map((value) => value / length);
}

/** Coordinates along the directions, and the square of what they leave. */
function project(centred: Float32Array, directions: Float32Array) {
  const width = centred.length;
  const along: number[] = [];
  let rest = 0;
  for (const value of centred) rest += value * value;
  for (let start = 0; start < directions.length; start += width) {
    let sum = 0;
    for (let k = 0; k < width; k++) sum += centred[k]! * directions[start + k]!;
    along.push(sum);
    rest -= sum * sum;
  }
  return { along, rest: Math.max(0, rest) };
}

/** Rounds of the subspace iteration, and directions that are followed beyond those wanted. */
const [ROUNDS, SPARE] = [6, 10];

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
  const start = Array.from({ length: followed * width }, () => random.normal());
  return tf.tidy(() => {
    const data = tf.tensor2d(rows, [n, width]);
    let basis = tf.tensor2d(start, [followed, width]);
    const orthonormal = () =>
      tf.tensor2d(
        new QrDecomposition(new Matrix(basis.arraySync()).transpose())
          .orthogonalMatrix.transpose().to2DArray(),
      );
    for (let round = 0; round < ROUNDS; round++) {
      const projected = data.matMul(orthonormal(), false, true); // [n, followed]
      basis = projected.matMul(data, true) as TensorFlow.Tensor2D; // [followed, width]
    }
    const directions = orthonormal();
    const projected = data.matMul(directions, false, true); // [n, followed]
    const covariance = (projected.matMul(projected, true) as TensorFlow.Tensor2D).arraySync();
    // [followed, followed]: columns, that of the largest eigenvalue last
    const { eigenvectorMatrix } = new EigenvalueDecomposition(new Matrix(covariance), {
      assumeSymmetric: true,
    });
    const turn = tf.tensor2d(eigenvectorMatrix.transpose().to2DArray().reverse().slice(0, count));
    return turn.matMul(directions).dataSync<"float32">() as Float32Array; // [count, width]
  });
}
