import { readCsv, writeCsv } from "../core/csv.ts";
import { DataError } from "../core/errors.ts";

/** One image with what the model predicted for it. */
export interface Prediction {
  /** Relative to the folder of images. */
  path: string;
  /** True class, by the name of its folder. */
  label: string;
  /** Predicted class, by the name of its folder. */
  predicted: string;
  /** Of the positive class, calibrated, 0 to 1. */
  probability: number;
  /** The same before calibration. */
  uncalibrated: number;
  /** Patient or slide. */
  group: string;
  /** The fold whose member made the prediction; empty or missing with the single split. */
  fold?: string;
}

/**
 * The predictions for some images whose class is known: all that scores, intervals and charts need.
 * Every array has one entry an image, in the same order. The positive class is the last of
 * `classes`; of three classes or more, `labels` and `predicted` set it against all others.
 */
export interface Predictions {
  /** Name of the run. */
  run: string;
  source: "validation" | "test" | "out of fold" | "new folder";
  /** Class folder names, in the model's order. */
  classes: readonly string[];
  /**
   * From which probability on an image is predicted as positive; `null` with three classes or more,
   * where the most probable one is predicted.
   */
  threshold: number | null;
  /** Of everything random that is computed from them. */
  seed: string | number;
  /** The images themselves. */
  rows: readonly Prediction[];
  /** Whether the true class is the positive one: 1 or 0. */
  labels: readonly number[];
  /** The same of the predicted class. */
  predicted: readonly number[];
  /** True class, by its place in `classes`. */
  trueClasses: readonly number[];
  predictedClasses: readonly number[];
  /** Of the positive class, calibrated, 0 to 1. */
  probabilities: readonly number[];
  /** The same before calibration. */
  uncalibrated: readonly number[];
  /** Patient or slide; an image's own path where groups are not known. */
  groups: readonly string[];
}

/** What {@linkcode predictionsOf} is told beside the rows. */
export type PredictionsContext = Pick<Predictions, "run" | "source" | "classes" | "seed"> & {
  /** As on the model's card; it is not used with three classes or more. */
  threshold: number;
};

/**
 * Predictions from one row an image.
 *
 * @throws {DataError} When a label or a prediction is none of the classes.
 */
export function predictionsOf(
  rows: readonly Prediction[],
  context: PredictionsContext,
): Predictions {
  const { classes, threshold } = context;
  const trueClasses = rows.map(({ label }) => classIndex(classes, label));
  const predictedClasses = rows.map(({ predicted }) => classIndex(classes, predicted));
  const isPositive = (index: number) => index === classes.length - 1 ? 1 : 0;
  return {
    ...context,
    threshold: classes.length === 2 ? threshold : null,
    rows,
    labels: trueClasses.map(isPositive),
    predicted: predictedClasses.map(isPositive),
    trueClasses,
    predictedClasses,
    probabilities: rows.map(({ probability }) => probability),
    uncalibrated: rows.map(({ uncalibrated }) => uncalibrated),
    groups: rows.map(({ group }) => group),
  };
}

/**
 * The place of a class among the model's classes.
 *
 * @throws {DataError} When it is none of them.
 */
export function classIndex(classes: readonly string[], name: string): number {
  const index = classes.indexOf(name);
  if (index >= 0) return index;
  throw new DataError(
    `${JSON.stringify(name)} is not one of the classes ${classes.join(", ")}.`,
    "Predict the images again with the model of this run.",
  );
}

const COLUMNS = ["path", "label", "predicted", "probability"] as const;

/** A row of predictions_test.csv. */
export type PredictionRow = Pick<Prediction, (typeof COLUMNS)[number] | "fold">;

/** Writes predictions_test.csv, atomically; with folds its last column names them. */
export async function writePredictions(path: string, { rows }: Predictions): Promise<void> {
  const fold = rows.some(({ fold }) => fold) ? ["fold"] as const : [];
  await writeCsv(path, [...COLUMNS, ...fold], rows.map((row) => ({ fold: "", ...row })));
}

/**
 * Reads predictions_test.csv.
 *
 * @throws {DataError} When it is missing or damaged.
 */
export async function readPredictions(path: string): Promise<PredictionRow[]> {
  const remedy = "Run notebook 06 again; it writes this file.";
  const rows = await readCsv(path, COLUMNS, remedy);
  return rows.map((row, i) => {
    const probability = row.probability === "" ? NaN : Number(row.probability);
    if (probability >= 0 && probability <= 1) return { ...row, probability };
    const what = `${path}, row ${i + 1}: ${JSON.stringify(row.probability)} is no probability.`;
    throw new DataError(what, remedy);
  });
}
