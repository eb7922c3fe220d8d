import { groupOf } from "../data/group.ts";
import { calibrate } from "../model/decision.ts";
import { decide } from "../model/decide.ts";
import type { ModelCard } from "../model/model_card.ts";
import type { ClassifiedImage } from "./work_format.ts";

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
  /** One a class, in the model's order; they sum to 1. */
  probabilities: readonly number[];
}

/** Changes calibrated probabilities, one a class; the result sums to 1 as well. */
export type Correction = (probabilities: readonly number[]) => readonly number[];

/** How answers are judged. */
export interface JudgeOptions {
  /** `config.evaluation.acceptConfidence`. */
  acceptConfidence: number;
  /** Applied to the calibrated probabilities, where there is something to correct. */
  correct: Correction | null;
}

/** What a model's answer for an image means: class, confidence, and whether a person should look. */
export function judge(
  name: string,
  { width, height, ...image }: ClassifiedImage,
  { architecture, decision, data }: ModelCard,
  { acceptConfidence, correct }: JudgeOptions,
): EvaluatedImage {
  const calibrated = calibrate(image.probabilities, decision.calibration);
  const probabilities = correct ? correct(calibrated) : calibrated;
  const label = decide(probabilities, decision.threshold);
  const confidence = probabilities[label]!;
  const flags = [
    Math.min(width, height) < architecture.imageSize ? "smaller_than_input" : "",
    Math.max(width, height) > 3 * Math.min(width, height) ? "elongated" : "",
  ].filter((flag) => flag !== "");
  return {
    name,
    predicted: architecture.classes[label]!,
    probability: probabilities.at(-1)!,
    confidence,
    decision: confidence >= acceptConfidence && flags.length === 0 ? "accept" : "review",
    group: (data.groupPattern === null ? null : groupOf(name, data.groupPattern)) ?? "",
    flags: flags.join(" "),
    probabilities,
  };
}
