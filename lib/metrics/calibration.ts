import { createRandom } from "../core/random.ts";
import type { MetricsConfig } from "../core/settings.ts";
import { calibrate, type Decision, DEFAULT_DECISION, logProbability } from "../run/model_card.ts";
import { balanceFromManyStarts } from "../split/balance.ts";

/** A calibration, or why there is none. */
type Fit =
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

const METHODS = ["temperature", "platt"] as const;

/**
 * With fewer images of a class, what is fitted says more about these images than about the model:
 * ten a fitted number is the usual least in logistic regression (Peduzzi et al. 1996).
 */
const LEAST_PER_CLASS = 10;

/** Validation predictions that a calibration is chosen on. */
export interface CalibrationSample extends ClassSample {
  /** Patient or slide of each image. */
  groups: readonly string[];
  /** Class folder names. */
  classes: readonly string[];
  seed: number;
}

/** The calibration that was chosen, and what it was chosen by. */
export interface CalibrationChoice {
  calibration: Decision["calibration"];
  /** Why this one, in words. */
  reason: string;
  /** Of the validation images: as the model gives them, and calibrated. */
  logLoss: {
    before: number;
    after: number;
    /** Whether `after` is of images that the calibration was not fitted on; else of the same. */
    outOfFold: boolean;
  };
}

const NONE = DEFAULT_DECISION.calibration;

/**
 * Chooses and fits the calibration on validation images.
 *
 * `auto` fits temperature and Platt on all folds but one, in turn, and compares their log loss on
 * the images left out with that of no calibration at all; the lowest wins, the simpler one when
 * equal. The winner is then fitted on all validation images. Folds are stratified and keep groups
 * whole. With fewer than ten images of a class there is no calibration; a method that is named in
 * the config is fitted as long as no class is absent.
 */
export function chooseCalibration(
  sample: CalibrationSample,
  setting: MetricsConfig["calibration"],
): CalibrationChoice {
  const before = classLogLoss(sample);
  const none = (reason: string): CalibrationChoice => ({
    calibration: NONE,
    reason,
    logLoss: { before, after: before, outOfFold: true },
  });
  if (setting === "none") return none("None was asked for (metrics.calibration).");
  const fewest = Math.min(...countLabels(sample));
  const least = setting === "auto" ? LEAST_PER_CLASS : 1;
  if (!(fewest >= least)) {
    const rarest = sample.classes[countLabels(sample).indexOf(fewest)];
    return none(
      `No calibration: of the class ${rarest} there are ${fewest} validation images, and ` +
        `${least} are needed.`,
    );
  }
  const folds = calibrationFolds(sample);
  return setting === "auto"
    ? chooseByFolds(sample, folds, before, none)
    : fitNamed(sample, setting, folds, before, none);
}

function chooseByFolds(
  sample: CalibrationSample,
  folds: Folds,
  before: number,
  none: (reason: string) => CalibrationChoice,
): CalibrationChoice {
  if ("reason" in folds) return none(`No calibration: ${folds.reason}.`);
  const tried = METHODS.map((method) => ({ method, ...outOfFold(sample, method, folds) }));
  const [best] = tried.filter(({ loss }) => loss !== null && loss < before)
    .sort((a, b) => a.loss! - b.loss!); // a stable sort: temperature first when equal
  const found = tried.map(({ method, loss, reason }) =>
    `${method} ${loss === null ? `not possible (${reason})` : loss.toFixed(4)}`
  ).join(", ");
  const losses = `log loss out of fold: none ${before.toFixed(4)}, ${found}`;
  if (!best) return none(`No calibration lowers the log loss on validation (${losses}).`);
  const { calibration, reason } = fitCalibration(sample, best.method);
  if (!calibration) return none(`No calibration: ${reason}.`);
  return {
    calibration,
    reason: `The calibration ${best.method} has the lowest loss on validation (${losses}).`,
    logLoss: { before, after: best.loss!, outOfFold: true },
  };
}

function fitNamed(
  sample: CalibrationSample,
  method: (typeof METHODS)[number],
  folds: Folds,
  before: number,
  none: (reason: string) => CalibrationChoice,
): CalibrationChoice {
  const { calibration, reason } = fitCalibration(sample, method);
  if (!calibration) return none(`No calibration: ${reason}.`);
  const loss = "reason" in folds ? null : outOfFold(sample, method, folds).loss;
  const own = classLogLoss({
    ...sample,
    probabilities: sample.probabilities.map((row) => calibrate(row, calibration)),
  });
  return {
    calibration,
    reason: `The calibration ${method} was asked for (metrics.calibration).`,
    logLoss: { before, after: loss ?? own, outOfFold: loss !== null },
  };
}

/** Log loss of images that the calibration was not fitted on; `null` where a fold allows no fit. */
function outOfFold(
  { probabilities, labels }: ClassSample,
  method: (typeof METHODS)[number],
  { foldOf, folds }: { foldOf: readonly number[]; folds: number },
): { loss: number | null; reason: string | null } {
  const calibrated = new Array<number[]>(labels.length);
  for (let fold = 0; fold < folds; fold++) {
    const others = [...labels.keys()].filter((i) => foldOf[i] !== fold);
    const fit = fitCalibration({
      probabilities: others.map((i) => probabilities[i]!),
      labels: others.map((i) => labels[i]!),
    }, method);
    if (!fit.calibration) return { loss: null, reason: fit.reason };
    for (const i of labels.keys()) {
      if (foldOf[i] === fold) calibrated[i] = calibrate(probabilities[i]!, fit.calibration);
    }
  }
  return { loss: classLogLoss({ probabilities: calibrated, labels }), reason: null };
}

/** Folds at most; fewer where a class has fewer groups. */
const MOST_FOLDS = 5;

/** Random starts beside the first; folds need not be balanced to the last image. */
const STARTS = 4;

/** The fold of every image, or why there are none. */
type Folds = { foldOf: number[]; folds: number } | { reason: string };

/**
 * Stratified folds in which no group is divided, five at most.
 *
 * @param labels Index of each image's class.
 * @param groups Patient or slide of each image.
 * @param classes Number of classes.
 * @param names Of the classes, for the reason.
 * @returns No folds when a class is absent or comes from one group alone, or when whole groups do
 * not allow every class to be both in a fold and outside it.
 */
export function calibrationFolds(
  { labels, groups, classes, seed }: {
    labels: readonly number[];
    groups: readonly string[];
    classes: readonly string[];
    seed: number;
  },
): Folds {
  const units = [...Map.groupBy(labels.keys(), (i) => groups[i]!).values()];
  const counts = units.map((images) =>
    classes.map((_, k) => images.filter((i) => labels[i] === k).length)
  );
  const groupsOf = classes.map((_, k) => counts.filter((unit) => unit[k]! > 0).length);
  const fewest = Math.min(...groupsOf);
  if (fewest < 2) {
    const name = classes[groupsOf.indexOf(fewest)]!;
    const reason = fewest === 0
      ? `no validation image is of the class ${name}`
      : `the validation images of the class ${name} all come from one group`;
    return { reason };
  }
  const folds = Math.min(MOST_FOLDS, fewest);
  const fractions = new Array<number>(folds).fill(1 / folds);
  const random = createRandom(`${seed}/calibration`);
  const { subsets } = balanceFromManyStarts(counts, fractions, random, STARTS);
  const foldOf = new Array<number>(labels.length);
  units.forEach((images, unit) => images.forEach((i) => foldOf[i] = subsets[unit]!));
  const isSpread = classes.every((_, k) =>
    new Set(foldOf.filter((_, i) => labels[i] === k)).size > 1
  );
  return isSpread ? { foldOf, folds } : {
    reason: "the groups of the validation images cannot be divided so that it could be tested",
  };
}

/** Predictions of any number of classes, one entry an image in both arrays. */
interface ClassSample {
  /** As the model gives them: one a class, the positive class last. */
  probabilities: readonly (readonly number[])[];
  /** Index of the true class. */
  labels: readonly number[];
}

/** Images of each class. */
function countLabels({ probabilities, labels }: ClassSample): number[] {
  const counts = new Array<number>(probabilities[0]?.length ?? 0).fill(0);
  for (const label of labels) counts[label]!++;
  return counts;
}

/**
 * Log loss of the true classes, in nats: of two classes the same as `logLoss`, and clipped alike.
 * NaN without images.
 */
function classLogLoss({ probabilities, labels }: ClassSample): number {
  const losses = labels.map((label, i) => {
    const p = probabilities[i]![label]!;
    return -Math.log(Math.min(Math.max(p, Number.EPSILON), 1 - Number.EPSILON));
  });
  return losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
}
