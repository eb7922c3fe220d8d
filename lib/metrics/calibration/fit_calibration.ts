import { type Decision, logProbability } from "../../model/decision.ts";
import { type ClassSample, countLabels } from "./class_sample.ts";

/** A calibration, or why there is none. */
export type Fit =
  | { calibration: Decision["calibration"]; reason: null }
  | { calibration: null; reason: string };

/** Newton's method from 0 takes about ten steps, and some more where it is held back. */
const MOST_STEPS = 200;
/** Below this share of what it could be, a determinant is 0 up to rounding. */
const SINGULAR = 1e-12;
/** After a step that was to gain less than this, the next one is lost in rounding errors. */
const CONVERGED = 1e-13;
/** Armijo's share of the expected decrease that a step must bring. */
const SUFFICIENT = 1e-4;

/**
 * Fits the slope (and for Platt the intercept) of `calibrate` to images by maximum likelihood.
 *
 * Labels are taken with Platt's smoothed targets, as in scikit-learn's sigmoid calibration: an
 * image of a class with n images counts (n + 1) / (n + k) for its own of the k classes and
 * 1 / (n + k) for each other. Without them a validation set that the model separates perfectly
 * would have an infinite slope. Source: Platt 1999, section 2.2; temperature: Guo et al. 2017. The
 * problem is convex and is solved by Newton's method to rounding error.
 *
 * @param sample Images of two classes or more.
 * @returns No calibration, with the reason, when all probabilities are the same (nothing tells the
 * slope then), or when the best slope would turn the order of the images round.
 */
export function fitCalibration(sample: ClassSample, method: "temperature" | "platt"): Fit {
  const problem = prepare(sample);
  const withIntercept = method === "platt";
  const start = evaluate(problem, 0, 0);
  const spread = start.ss * (withIntercept ? start.ii : 1);
  const determinant = withIntercept ? start.ss * start.ii - start.si ** 2 : start.ss;
  if (!(determinant > SINGULAR * spread && start.ss > SINGULAR)) {
    return { calibration: null, reason: "all validation images have the same probabilities" };
  }
  const { slope, intercept } = minimise(problem, withIntercept, start);
  if (!(slope > 0 && Number.isFinite(slope) && Number.isFinite(intercept))) {
    return {
      calibration: null,
      reason: "the slope that fits best would turn the answers round",
    };
  }
  return { calibration: { method, slope, intercept }, reason: null };
}

interface Problem {
  /** Log probabilities, [images, classes]. */
  logs: Float64Array;
  /** Smoothed targets, [images, classes]. */
  targets: Float64Array;
  images: number;
  classes: number;
}

function prepare(sample: ClassSample): Problem {
  const { probabilities, labels } = sample;
  const counts = countLabels(sample);
  const [images, classes] = [labels.length, counts.length];
  const logs = new Float64Array(images * classes);
  const targets = new Float64Array(images * classes);
  labels.forEach((label, i) => {
    const n = counts[label]!;
    for (let k = 0; k < classes; k++) {
      logs[i * classes + k] = logProbability(probabilities[i]![k]!);
      targets[i * classes + k] = (k === label ? n + 1 : 1) / (n + classes);
    }
  });
  return { logs, targets, images, classes };
}

/** Mean loss at a point, its gradient (s: slope, i: intercept) and its second derivatives. */
interface Point {
  slope: number;
  intercept: number;
  loss: number;
  s: number;
  i: number;
  ss: number;
  si: number;
  ii: number;
}

function evaluate({ logs, targets, images, classes }: Problem, a: number, b: number): Point {
  const point: Point = { slope: a, intercept: b, loss: 0, s: 0, i: 0, ss: 0, si: 0, ii: 0 };
  const last = classes - 1;
  for (let at = 0; at < logs.length; at += classes) {
    const logit = (k: number) => a * logs[at + k]! + (k === last ? b : 0);
    let largest = -Infinity;
    for (let k = 0; k < classes; k++) largest = Math.max(largest, logit(k));
    let sum = 0;
    for (let k = 0; k < classes; k++) sum += Math.exp(logit(k) - largest);
    const logSum = largest + Math.log(sum);
    let [mean, square, q] = [0, 0, 0]; // of the log probabilities, under the calibrated ones
    for (let k = 0; k < classes; k++) {
      const log = logs[at + k]!;
      q = Math.exp(logit(k) - logSum);
      mean += q * log;
      square += q * log * log;
      point.loss -= targets[at + k]! * (logit(k) - logSum);
      point.s += (q - targets[at + k]!) * log;
    }
    point.i += q - targets[at + last]!; // q is now that of the last class
    point.ss += Math.max(0, square - mean * mean);
    point.si += q * (logs[at + last]! - mean);
    point.ii += q * (1 - q);
  }
  for (const key of ["loss", "s", "i", "ss", "si", "ii"] as const) point[key] /= images;
  return point;
}

function minimise(problem: Problem, withIntercept: boolean, start: Point): Point {
  let point = start;
  for (let step = 0; step < MOST_STEPS; step++) {
    const [da, db] = newtonStep(point, withIntercept);
    const slopeOfLoss = da * point.s + db * point.i; // negative: the loss falls that way
    if (!(slopeOfLoss < 0)) return point;
    let share = 1;
    let next = evaluate(problem, point.slope + da, point.intercept + db);
    while (!(next.loss <= point.loss + SUFFICIENT * share * slopeOfLoss)) {
      share /= 2;
      if (share < 1e-10) return point; // rounding errors are all that is left
      next = evaluate(problem, point.slope + share * da, point.intercept + share * db);
    }
    point = next;
    if (slopeOfLoss > -CONVERGED) return point;
  }
  return point;
}

function newtonStep({ s, i, ss, si, ii }: Point, withIntercept: boolean): [number, number] {
  if (!withIntercept) return [-s / ss, 0];
  const determinant = ss * ii - si * si;
  return [(si * i - ii * s) / determinant, (si * s - ss * i) / determinant];
}
