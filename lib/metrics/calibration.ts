import { createRandom } from "../core/random.ts";
import type { MetricsConfig } from "../core/settings.ts";
import { calibrate, type Decision, DEFAULT_DECISION, logProbability } from "../run/decision.ts";
import { balanceFromManyStarts } from "../split/balance.ts";
import { surprise } from "./rates.ts";

/** Validation predictions that a calibration is chosen on, one entry an image in every array. */
export interface CalibrationSample {
  /** As the model gives them: one a class, the positive class last. */
  probabilities: readonly (readonly number[])[];
  /** Index of the true class. */
  labels: readonly number[];
  /** Patient or slide of each image. */
  groups: readonly string[];
  /** Class folder names. */
  classes: readonly string[];
  seed: number;
}

type ClassSample = Pick<CalibrationSample, "probabilities" | "labels">;

interface CalibrationChoice {
  calibration: Decision["calibration"];
  reason: string;
  /**
   * Of the validation images, as the model gives them and calibrated; `outOfFold`: whether `after` is
   * of images that the calibration was not fitted on.
   */
  logLoss: { before: number; after: number; outOfFold: boolean };
}

type Method = "temperature" | "platt";

/** Ten a fitted number is the usual least in logistic regression (Peduzzi et al. 1996). */
const LEAST_PER_CLASS = 10;

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
    calibration: DEFAULT_DECISION.calibration,
    reason,
    logLoss: { before, after: before, outOfFold: true },
  });
  if (setting === "none") return none("None was asked for (metrics.calibration).");
  const isAuto = setting === "auto";
  const counts = countLabels(sample);
  const fewest = Math.min(...counts);
  const least = isAuto ? LEAST_PER_CLASS : 1;
  if (!(fewest >= least)) {
    const name = sample.classes[counts.indexOf(fewest)];
    return none(
      `No calibration: of the class ${name} there are ${fewest} validation images, and ${least} ` +
        "are needed.",
    );
  }
  const folds = calibrationFolds(sample);
  if (isAuto && "reason" in folds) return none(`No calibration: ${folds.reason}.`);
  const methods: Method[] = isAuto ? ["temperature", "platt"] : [setting];
  const tried = methods.map((method) => ({ method, ...outOfFold(sample, method, folds) }));
  const losses = tried.map(({ method, loss, reason }) =>
    `${method} ${loss === null ? `not possible (${reason})` : loss.toFixed(4)}`
  ).join(", ");
  const compared = `log loss out of fold: none ${before.toFixed(4)}, ${losses}`;
  const [best] = !isAuto ? tried : tried.filter(({ loss }) => loss !== null && loss < before)
    .sort((a, b) => a.loss! - b.loss!); // a stable sort: temperature first when equal
  if (!best) return none(`No calibration lowers the log loss on validation (${compared}).`);
  const { calibration, reason } = fitCalibration(sample, best.method);
  if (!calibration) return none(`No calibration: ${reason}.`);
  const after = best.loss ?? classLogLoss({
    ...sample,
    probabilities: sample.probabilities.map((row) => calibrate(row, calibration)),
  });
  return {
    calibration,
    reason: isAuto
      ? `The calibration ${best.method} has the lowest loss on validation (${compared}).`
      : `The calibration ${setting} was asked for (metrics.calibration).`,
    logLoss: { before, after, outOfFold: best.loss !== null },
  };
}

const countLabels = ({ probabilities, labels }: ClassSample): number[] =>
  (probabilities[0] ?? []).map((_, k) => labels.filter((label) => label === k).length);

/** Log loss of the true classes, in nats, as `logLoss` of two classes; NaN without images. */
function classLogLoss({ probabilities, labels }: ClassSample): number {
  const total = labels.reduce((sum, label, i) => sum + surprise(probabilities[i]![label]!), 0);
  return total / labels.length;
}

/** Log loss of images that the calibration was not fitted on, or why there is none. */
function outOfFold({ probabilities, labels }: ClassSample, method: Method, folds: Folds) {
  if ("reason" in folds) return { loss: null, reason: folds.reason };
  const calibrated = new Array<number[]>(labels.length);
  for (let fold = 0; fold < folds.folds; fold++) {
    const others = [...labels.keys()].filter((i) => folds.foldOf[i] !== fold);
    const fit = fitCalibration({
      probabilities: others.map((i) => probabilities[i]!),
      labels: others.map((i) => labels[i]!),
    }, method);
    if (!fit.calibration) return { loss: null, reason: fit.reason };
    for (const i of labels.keys()) {
      if (folds.foldOf[i] === fold) calibrated[i] = calibrate(probabilities[i]!, fit.calibration);
    }
  }
  return { loss: classLogLoss({ probabilities: calibrated, labels }), reason: null };
}

/** `most`: fewer where a class has fewer groups. `starts`: random ones beside the first. */
const FOLDS = { most: 5, starts: 4 };

type Folds = { foldOf: number[]; folds: number } | { reason: string };

/**
 * Stratified folds in which no group is divided, five at most.
 *
 * @returns No folds when a class is absent or comes from one group alone, or when whole groups do
 * not allow every class to be both in a fold and outside it.
 */
export function calibrationFolds(
  { labels, groups, classes, seed }: Omit<CalibrationSample, "probabilities">,
): Folds {
  const units = [...Map.groupBy(labels.keys(), (i) => groups[i]!).values()];
  const counts = units.map((images) =>
    classes.map((_, k) => images.filter((i) => labels[i] === k).length)
  );
  const groupsOf = classes.map((_, k) => counts.filter((unit) => unit[k]! > 0).length);
  const fewest = Math.min(...groupsOf);
  const ofClass = `of the class ${classes[groupsOf.indexOf(fewest)]}`;
  if (fewest === 0) return { reason: `no validation image is ${ofClass}` };
  if (fewest < 2) return { reason: `the validation images ${ofClass} all come from one group` };
  const folds = Math.min(FOLDS.most, fewest);
  const fractions = new Array<number>(folds).fill(1 / folds);
  const random = createRandom(`${seed}/calibration`);
  const { subsets } = balanceFromManyStarts(counts, fractions, random, FOLDS.starts);
  const foldOf = new Array<number>(labels.length);
  units.forEach((images, unit) => images.forEach((i) => foldOf[i] = subsets[unit]!));
  const isSpread = classes.every((_, k) =>
    new Set(foldOf.filter((_, i) => labels[i] === k)).size > 1
  );
  return isSpread ? { foldOf, folds } : {
    reason: "the groups of the validation images cannot be divided so that it could be tested",
  };
}

/** Newton's method from 0 takes about ten steps, and some more where it is held back. */
const MOST_STEPS = 200;

/**
 * Below this share of what it could be, a determinant is 0 up to rounding; after a step that was to
 * gain less than this, the next one is lost in rounding; a step must bring Armijo's share of its gain.
 */
const [SINGULAR, CONVERGED, SUFFICIENT] = [1e-12, 1e-13, 1e-4];

/**
 * Fits the slope (and for Platt the intercept) of `calibrate` to images by maximum likelihood.
 *
 * Labels are taken with Platt's smoothed targets, as in scikit-learn's sigmoid calibration: an
 * image of a class with n images counts (n + 1) / (n + k) for its own of the k classes and
 * 1 / (n + k) for each other. Without them a validation set that the model separates perfectly
 * would have an infinite slope. Source: Platt 1999, section 2.2; temperature: Guo et al. 2017. The
 * problem is convex and is solved to rounding error by Newton's method, with steps that are halved
 * until the loss falls enough.
 *
 * @param sample Images of two classes or more.
 * @returns No calibration, with the reason, when all probabilities are the same (nothing tells the
 * slope then), or when the best slope would turn the order of the images round.
 */
export function fitCalibration(
  sample: ClassSample,
  method: Method,
):
  | { calibration: Decision["calibration"]; reason: null }
  | { calibration: null; reason: string } {
  const lossAt = smoothedLoss(sample, method);
  let point = lossAt(0, 0);
  const { ss, si, ii } = point;
  if (!(ss * ii - si ** 2 > SINGULAR * (ss * ii) && ss > SINGULAR)) {
    return { calibration: null, reason: "all validation images have the same probabilities" };
  }
  newton: for (let step = 0; step < MOST_STEPS; step++) {
    const { slope, intercept, loss, s, i, ss, si, ii } = point;
    const determinant = ss * ii - si * si;
    const [da, db] = [(si * i - ii * s) / determinant, (si * s - ss * i) / determinant];
    const gain = da * s + db * i; // negative: the loss falls that way
    if (!(gain < 0)) break;
    let share = 1;
    let next = lossAt(slope + da, intercept + db);
    while (!(next.loss <= loss + SUFFICIENT * share * gain)) {
      share /= 2;
      if (share < 1e-10) break newton; // rounding errors are all that is left
      next = lossAt(slope + share * da, intercept + share * db);
    }
    point = next;
    if (gain > -CONVERGED) break;
  }
  const { slope, intercept } = point;
  return slope > 0 && Number.isFinite(slope) && Number.isFinite(intercept)
    ? { calibration: { method, slope, intercept }, reason: null }
    : {
      calibration: null,
      reason: "the slope that fits best would turn the order of the images round",
    };
}

/**
 * The mean loss of calibrated images, with its gradient (s: by the slope, i: by the intercept) and
 * its second derivatives, as a function of both. For temperature scaling the intercept stays 0.
 */
function smoothedLoss(sample: ClassSample, method: Method) {
  const counts = countLabels(sample);
  const classes = counts.length;
  const logs = sample.probabilities.map((row) => row.map(logProbability)); // [images, classes]
  const targets = sample.labels.map((label) => {
    const n = counts[label]!;
    return counts.map((_, k) => (k === label ? n + 1 : 1) / (n + classes));
  });
  return (slope: number, intercept: number) => {
    const mean = { loss: 0, s: 0, i: 0, ss: 0, si: 0, ii: 0 };
    logs.forEach((row, image) => {
      const target = targets[image]!;
      const logits = row.map((log, k) => slope * log + (k === classes - 1 ? intercept : 0));
      const largest = Math.max(...logits);
      const sum = logits.reduce((total, logit) => total + Math.exp(logit - largest), 0);
      const logSum = largest + Math.log(sum);
      let [first, second, q] = [0, 0, 0]; // moments of the logs under the calibrated probabilities q
      row.forEach((log, k) => {
        q = Math.exp(logits[k]! - logSum);
        first += q * log;
        second += q * log * log;
        mean.loss -= target[k]! * (logits[k]! - logSum);
        mean.s += (q - target[k]!) * log;
      });
      mean.i += q - target.at(-1)!; // q is now that of the last class
      mean.ss += Math.max(0, second - first * first);
      mean.si += q * (row.at(-1)! - first);
      mean.ii += q * (1 - q);
    });
    for (const key of ["loss", "s", "i", "ss", "si", "ii"] as const) mean[key] /= logs.length;
    return { slope, intercept, ...mean, ...(method === "platt" ? {} : { i: 0, si: 0, ii: 1 }) };
  };
}
