import { join } from "node:path";
import { groupOf } from "../data/group.ts";
import { listImages, type Skipped } from "../data/list_images.ts";
import { DataError } from "../errors.ts";
import { calibrate } from "../model/decision.ts";
import { decide } from "../model/decide.ts";
import { decodeOptions } from "../model/decode_options.ts";
import { loadModel } from "../model/load_model.ts";
import { disposeModel } from "../model/model.ts";
import type { ModelCard } from "../model/model_card.ts";
import { type PredictedImage, predictImages } from "../model/predict_images.ts";
import { createPredictor } from "../model/predictor.ts";
import type { OnProgress } from "../progress.ts";

/** A new image with its predicted class: a row of evaluation_details.csv. */
export interface EvaluatedImage {
  /** Path relative to the folder, `/` separators. */
  name: string;
  /** Predicted class folder name. */
  predicted: string;
  /** Of the positive class, 0 to 1. */
  probability: number;
  /** Probability of the predicted class, 0 to 1. */
  confidence: number;
  /** `accept`, or `review`: a person should look at it. */
  decision: "accept" | "review";
  /** Patient or slide, by the pattern the model was trained with; empty where it finds none. */
  group: string;
  /** What is unusual about the image, separated by spaces; empty: nothing. */
  flags: string;
}

/** What became of a folder: every image found is in `images` or in `errors`. */
export interface Evaluation {
  images: EvaluatedImage[];
  errors: { name: string; error: string }[];
  /** Files that are no images by their names. */
  skipped: Skipped;
  card: ModelCard;
}

/** What {@linkcode evaluateFolder} needs to know. */
export interface EvaluationOptions {
  /** Absolute path of the new images. */
  folder: string;
  /** Absolute path of the model folder; classes and preprocessing come from it. */
  modelFolder: string;
  onProgress?: OnProgress;
}

/** Large enough for full speed, small enough for any memory. */
const BATCH_SIZE = 32;

/**
 * Classifies every image of a folder with a saved model.
 *
 * @returns Results in code-point order of the names.
 * @throws {ModelError} When the model cannot be used.
 * @throws {DataError} When the folder is missing or holds no image.
 */
export async function evaluateFolder(options: EvaluationOptions): Promise<Evaluation> {
  const { folder, onProgress } = options;
  const { paths: names, skipped } = await listImages(folder);
  if (names.length === 0) {
    throw new DataError(
      `There is no image in ${JSON.stringify(folder)}.`,
      "Name a folder that holds .png, .jpg, .tif, .bmp or .webp files, at any depth.",
    );
  }
  const { model, card } = await loadModel(options.modelFolder);
  const predictor = createPredictor(model, card.preprocessing);
  const images: EvaluatedImage[] = [];
  const errors: Evaluation["errors"] = [];
  try {
    const results = predictImages(predictor, names.map((name) => join(folder, name)), {
      ...decodeOptions(card),
      batchSize: BATCH_SIZE,
    });
    for await (const result of results) {
      const name = names[images.length + errors.length]!;
      if ("error" in result) errors.push({ name, error: result.error.reason });
      else images.push(judge(name, result, card));
      onProgress?.(images.length + errors.length, names.length, name);
    }
  } finally {
    predictor.dispose();
    disposeModel(model);
  }
  return { images, errors, skipped, card };
}

function judge(
  name: string,
  image: PredictedImage,
  { architecture, decision, data }: ModelCard,
): EvaluatedImage {
  const { width, height } = image;
  const probabilities = calibrate(image.probabilities, decision.calibration);
  const probability = probabilities.at(-1)!;
  const label = decide(probabilities, decision.threshold);
  const confidence = probabilities[label]!;
  const flags = [
    Math.min(width, height) < architecture.imageSize ? "smaller_than_input" : "",
    Math.max(width, height) > 3 * Math.min(width, height) ? "elongated" : "",
  ].filter((flag) => flag !== "");
  const { acceptBand: band } = decision;
  const isSure = band !== null && (probability <= band.low || probability >= band.high);
  return {
    name,
    predicted: architecture.classes[label]!,
    probability,
    confidence,
    decision: isSure && flags.length === 0 ? "accept" : "review",
    group: (data.groupPattern === null ? null : groupOf(name, data.groupPattern)) ?? "",
    flags: flags.join(" "),
  };
}
