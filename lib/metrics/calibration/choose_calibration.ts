import type { MetricsConfig } from "../../config_schema.ts";
import { calibrate, type Decision, DEFAULT_DECISION } from "../../model/decision.ts";
import { calibrationFolds, type Folds } from "./calibration_folds.ts";
import { classLogLoss, type ClassSample, countLabels } from "./class_sample.ts";
import { fitCalibration } from "./fit_calibration.ts";

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
