import { DataError } from "../core/errors.ts";
import { createRandom } from "../core/random.ts";
import { probabilityOf } from "../run/decision.ts";
import { calibrationFolds } from "./calibration.ts";

/** A linear probe: what it says of an image is a weighted sum of the image's features. */
export interface Probe {
  /** Of the standardised features: [channels]. */
  weights: Float64Array;
  intercept: number;
  /** Of each feature over the training images: [channels]; a constant one has the deviation 1. */
  mean: Float64Array;
  deviation: Float64Array;
  /** Strength of the penalty on the weights: 1 / C in scikit-learn's `LogisticRegression`. */
  l2: number;
}

/** The strengths that are tried, the strongest first: half a decade apart. */
export const STRENGTHS: readonly number[] = [0, 1, 2, 3, 4, 5, 6, 7].map((k) => 10 ** (4 - k / 2));

/** The strength where the images allow no folds: a hundred. */
const DEFAULT_STRENGTH = STRENGTHS[4]!;

/** Images that the strength is chosen on: more of them would choose a neighbouring one. */
const MOST_IN_FOLDS = 1000;

/** Norm of the mean loss's gradient at which a solution counts as found: in a fold, and at last. */
const [ROUGH, EXACT] = [1e-4, 1e-8];

/**
 * Fits a linear probe: logistic regression with an L2 penalty on features that are standardised by
 * these images' own mean and deviation, as scikit-learn's `StandardScaler` and `LogisticRegression`.
 * The strength of the penalty is the one of {@linkcode STRENGTHS} with the lowest log loss on images
 * left out, in five folds at most that keep groups whole; the stronger one when equal.
 *
 * @param features Of each image: [channels].
 * @param labels 0 or 1 (positive).
 * @param groups Patient or slide of each image.
 * @param strengths Other strengths to try, the strongest first.
 * @throws {DataError} When the images are all of one class.
 */
export function fitProbe(
  features: readonly ArrayLike<number>[],
  labels: readonly number[],
  groups: readonly string[],
  seed: number,
  strengths: readonly number[] = STRENGTHS,
): Probe {
  if (new Set(labels).size < 2) {
    throw new DataError(
      "The training images are all on one side: nothing can be learnt from them.",
      "Make another split (notebook 03), then train again.",
    );
  }
  const { mean, deviation, rows } = standardise(features);
  const all = { products: innerProducts(rows), labels };
  const some = createRandom(`${seed}/probe`).shuffle([...rows.keys()]).slice(0, MOST_IN_FOLDS);
  const pick = <T>(of: ArrayLike<T>, from = 0) => some.map((i) => of[from + i]!);
  const products = Float64Array.from(some.flatMap((i) => pick(all.products, i * rows.length)));
  const task = { products, labels: pick(labels) };
  const sample = { labels: task.labels, groups: pick(groups), classes: ["0", "1"], seed };
  const folds = calibrationFolds(sample);
  const losses = "reason" in folds ? null : foldLosses(task, folds.foldOf, strengths);
  const l2 = losses ? strengths[losses.indexOf(Math.min(...losses))]! : DEFAULT_STRENGTH;
  const { a, intercept } = solve(all, labels.map(() => 1), l2, EXACT);
  const weights = mean.map((_, k) => a.reduce((sum, times, i) => sum + times * rows[i]![k]!, 0));
  return { weights, intercept, mean, deviation, l2 };
}

/**
 * What a probe says of an image: the log odds of the positive class.
 *
 * @param features As those that it was fitted to: [channels].
 */
export function probeLogOdds(
  { weights, intercept, mean, deviation }: Probe,
  features: ArrayLike<number>,
): number {
  let sum = intercept;
  for (let k = 0; k < weights.length; k++) {
    sum += weights[k]! * (features[k]! - mean[k]!) / deviation[k]!;
  }
  return sum;
}

function standardise(features: readonly ArrayLike<number>[]) {
  const n = features.length;
  const mean = new Float64Array(features[0]!.length);
  const deviation = new Float64Array(mean.length);
  for (const row of features) mean.forEach((_, k) => mean[k]! += row[k]! / n);
  for (const row of features) {
    deviation.forEach((_, k) => deviation[k]! += (row[k]! - mean[k]!) ** 2 / n);
  }
  deviation.forEach((square, k) => { // what differs by rounding alone is constant
    deviation[k] = Math.sqrt(square) > 1e-9 * Math.abs(mean[k]!) ? Math.sqrt(square) : 1;
  });
  const scaled = (row: ArrayLike<number>) =>
    Float32Array.from(row, (value, k) => (value - mean[k]!) / deviation[k]!);
  return { mean, deviation, rows: features.map(scaled) };
}

/** In double precision: with less, what is 0 but for rounding ends a fit too early. */
function innerProducts(rows: readonly Float32Array[]): Float64Array {
  const products = new Float64Array(rows.length ** 2); // [n, n]
  for (const [i, a] of rows.entries()) {
    for (let j = 0; j <= i; j++) {
      const b = rows[j]!;
      let sum = 0;
      for (let k = 0; k < a.length; k++) sum += a[k]! * b[k]!;
      products[i * rows.length + j] = products[j * rows.length + i] = sum;
    }
  }
  return products;
}

/** Images by their inner products, [n, n], of which all that a fit needs can be worked out. */
interface Task {
  products: Float64Array;
  labels: readonly number[];
}

/** Weights, as what they are of the images: the sum of the standardised features, each times `a`. */
interface Solution {
  /** [n] */
  a: Float64Array;
  /** Weights · features of each image, without the intercept: products · a, [n]. */
  scores: Float64Array;
  intercept: number;
}

/** Log loss of each strength, in nats, summed over the images that each fold leaves out. */
function foldLosses(task: Task, foldOf: readonly number[], strengths: readonly number[]): number[] {
  const losses = strengths.map(() => 0);
  for (const fold of new Set(foldOf)) {
    const counts = foldOf.map((other) => other === fold ? 0 : 1);
    let solution: Solution | undefined;
    strengths.forEach((l2, at) => {
      solution = solve(task, counts, l2, ROUGH, solution);
      const { scores, intercept } = solution;
      counts.forEach((count, i) => {
        if (count === 0) losses[at]! += lossOf(scores[i]! + intercept, task.labels[i]!);
      });
    });
  }
  return losses;
}

/** ln(1 + exp(∓ log odds)) */
function lossOf(logOdds: number, label: number): number {
  const against = label === 1 ? -logOdds : logOdds;
  return Math.max(against, 0) + Math.log1p(Math.exp(-Math.abs(against)));
}

/** More than either takes: Newton's method about ten steps, conjugate gradients a hundred a step. */
const [MOST_STEPS, MOST_ITERATIONS] = [100, 500];

/**
 * After a step that was to gain less than this share of the loss, the next is lost in rounding; a
 * step must bring Armijo's share of its gain.
 */
const [CONVERGED, SUFFICIENT] = [1e-13, 1e-4];

/**
 * Minimises the log loss, summed over the images that count, plus l2 / 2 times the weights' squared
 * length; the intercept is free. Newton's method, whose steps are halved until the loss falls enough.
 * The best weights lie in the span of the images (the representer theorem), so that all is done in
 * the n numbers `a`, however many features there are.
 *
 * @param counts 1 for an image to fit, else 0: [n].
 * @param tolerance Norm of the mean loss's gradient at which to end.
 */
function solve(
  { products, labels }: Task,
  counts: readonly number[],
  l2: number,
  tolerance: number,
  start?: Solution,
): Solution {
  const n = labels.length;
  const used = counts.reduce((sum, count) => sum + count, 0);
  const lossAt = ({ a, scores, intercept }: Solution) => {
    let loss = l2 / 2 * dot(a, scores);
    for (let i = 0; i < n; i++) if (counts[i]) loss += lossOf(scores[i]! + intercept, labels[i]!);
    return loss;
  };
  let at = start ?? { a: new Float64Array(n), scores: new Float64Array(n), intercept: 0 };
  let loss = lossAt(at);
  for (let step = 0; step < MOST_STEPS; step++) {
    const gradient = { a: new Float64Array(n), intercept: 0 };
    const curvature = new Float64Array(n);
    for (let i = 0; i < n; i++) {
      if (!counts[i]) continue;
      const p = probabilityOf(at.scores[i]! + at.intercept);
      gradient.a[i] = p - labels[i]! + l2 * at.a[i]!;
      gradient.intercept += p - labels[i]!;
      curvature[i] = p * (1 - p);
    }
    const { norm, ...by } = newtonStep(products, gradient, curvature, l2);
    if (norm < tolerance * used) break;
    const slope = dot(gradient.a, by.scores) + gradient.intercept * by.intercept; // below 0
    let [share, next] = [1, moved(at, 1, by)];
    while (!(lossAt(next) <= loss + SUFFICIENT * share * slope)) {
      if (share < 1e-10) return at; // rounding errors are all that is left
      next = moved(at, share /= 2, by);
    }
    [at, loss] = [next, lossAt(next)];
    if (-slope < CONVERGED * loss) break;
  }
  return at;
}

function moved(from: Solution, times: number, by: Solution): Solution {
  return {
    a: add(from.a, times, by.a),
    scores: add(from.scores, times, by.scores),
    intercept: from.intercept + times * by.intercept,
  };
}

/**
 * Solves curvature · step = −gradient by conjugate gradients (Nocedal & Wright 2006, algorithm 7.1),
 * the nearer to the solution the more exactly. Lengths and angles are those of the weights: of two
 * vectors a and b the product is aᵀ · products · b.
 *
 * @param curvature Second derivative of each image's loss by its score: [n].
 * @returns With the gradient's `norm`.
 */
function newtonStep(
  products: Float64Array,
  gradient: Omit<Solution, "scores">,
  curvature: Float64Array,
  l2: number,
): Solution & { norm: number } {
  const n = curvature.length;
  const none = new Float64Array(n);
  const scoresOf = (a: Float64Array, intercept: number) => {
    return { a, intercept, scores: multiply(products, a) };
  };
  let step: Solution = { a: none, scores: none, intercept: 0 };
  let rest = scoresOf(add(none, -1, gradient.a), -gradient.intercept);
  let square = dot(rest.a, rest.scores) + rest.intercept ** 2;
  const norm = Math.sqrt(square);
  const enough = square * Math.min(0.1, norm / n);
  let direction: Solution = rest;
  for (let i = 0; i < MOST_ITERATIONS && square > enough; i++) {
    const { a, scores, intercept } = direction;
    const bent = curvature.map((value, i) => value * (scores[i]! + intercept));
    const bentIntercept = bent.reduce((sum, value) => sum + value, 0);
    const bentA = add(bent, l2, a);
    const length = square / (dot(bentA, scores) + bentIntercept * intercept);
    if (!Number.isFinite(length)) break; // no direction is left
    step = moved(step, length, direction);
    rest = scoresOf(add(rest.a, -length, bentA), rest.intercept - length * bentIntercept);
    const next = dot(rest.a, rest.scores) + rest.intercept ** 2;
    direction = moved(rest, next / square, direction);
    square = next;
  }
  return { ...step, norm };
}

/** Products · vector, passing over images that do not count. */
function multiply(products: Float64Array, vector: Float64Array): Float64Array {
  const n = vector.length;
  const result = new Float64Array(n);
  for (let row = 0, at = 0; row < n; row++, at += n) { // symmetric: row by row is quicker
    const times = vector[row]!;
    for (let i = 0; times !== 0 && i < n; i++) result[i]! += times * products[at + i]!;
  }
  return result;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

/** a + times · b */
function add(a: Float64Array, times: number, b: Float64Array): Float64Array {
  return a.map((value, i) => value + times * b[i]!);
}
