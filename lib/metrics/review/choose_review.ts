import { certaintyOf, chooseExamples, type ExamplePrediction } from "../choose_examples.ts";

/** Mistakes that a person is asked to look at, at most: a list of thousands is looked at by nobody. */
const MOST_MISTAKES = 50;

/** Least certain images: a tenth of the test images, within these bounds. */
const UNCERTAIN = { share: 0.1, least: 5, most: 50 };

/** From this certainty on, half of what is possible, a mistake is a confident one. */
const CONFIDENT = 0.5;

/** An image that a person should look at again: a row of review.csv. */
export interface ReviewRow extends ExamplePrediction {
  /** The model's answer where it is sure and the label is another; empty: a person decides. */
  suggested: string;
}

/** What is worth a second look. */
export interface Review {
  /** The most confident first. */
  mistakes: ReviewRow[];
  /** The least certain of the others first. */
  uncertain: ReviewRow[];
  /** All images that were answered otherwise than labelled. */
  mistakesOf: number;
  /** All test images. */
  of: number;
}

/**
 * The test images to look at again, since their label may be wrong: up to 50 mistakes, and of the
 * others the least certain tenth (5 to 50).
 *
 * @param options As `chooseExamples` takes them.
 */
export function chooseReview(
  predictions: readonly ExamplePrediction[],
  { threshold, classes }: { threshold: number; classes: readonly string[] },
): Review {
  const { share, least, most } = UNCERTAIN;
  const few = Math.min(most, Math.max(least, Math.ceil(share * predictions.length)));
  const groups = chooseExamples(predictions, { threshold, classes, most: MOST_MISTAKES });
  const of = (kind: string) => groups.find((group) => group.kind === kind)!;
  const row = ({ path, label, predicted, probability }: ExamplePrediction): ReviewRow => {
    const isConfident = certaintyOf({ probability }, threshold) >= CONFIDENT;
    const suggested = predicted !== label && isConfident ? predicted : "";
    return { path, label, predicted, probability, suggested };
  };
  return {
    mistakes: of("mistakes").examples.map(row),
    uncertain: of("uncertain").examples.slice(0, few).map(row),
    mistakesOf: of("mistakes").of,
    of: predictions.length,
  };
}
