import { groupOf } from "../data/group.ts";
import { calibrate } from "../model/decision.ts";
import { decide } from "../model/decide.ts";
import type { ModelCard } from "../model/model_card.ts";
import { correctProbabilities } from "./prior_shift/correct.ts";
import type { PriorShift } from "./prior_shift/decide_prior_shift.ts";
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
  /** As `probability`, before a correction for another share of the classes. */
  probability_uncorrected: number;
  /** Whether the answer before such a correction is the positive class. */
  wasPositive: boolean;
  /** One a class, in the model's order; they sum to 1. */
  probabilities: readonly number[];
}

/**
 * What a model's answer for an image means: class, confidence, and whether a person should look.
 *
 * The probabilities are calibrated, then corrected for the folder's share of the classes; threshold
 * and accept band are meant for these.
 */
export function judge(
  name: string,
  image: ClassifiedImage,
  { architecture, decision, data }: ModelCard,
  { change, threshold }: Pick<PriorShift, "change" | "threshold">,
): EvaluatedImage {
  const calibrated = calibrate(image.probabilities, decision.calibration);
  const probabilities = change ? correctProbabilities(calibrated, change) : calibrated;
  const probability = probabilities.at(-1)!;
  const label = decide(probabilities, threshold);
  const { acceptBand: band } = decision;
  const isSure = band !== null && (probability <= band.low || probability >= band.high);
  const { flags } = image;
  return {
    name,
    predicted: architecture.classes[label]!,
    probability,
    confidence: probabilities[label]!,
    decision: isSure && flags.length === 0 ? "accept" : "review",
    group: (data.groupPattern === null ? null : groupOf(name, data.groupPattern)) ?? "",
    flags: flags.join(" "),
    probability_uncorrected: calibrated.at(-1)!,
    wasPositive: decide(calibrated, decision.threshold) === architecture.classes.length - 1,
    probabilities,
  };
}
