import { compareCodePoints } from "../data/compare_code_points.ts";
import { median } from "../median.ts";
import type { TestPrediction } from "./test_run.ts";

/** What of a prediction decides whether it is chosen. */
export type ExamplePrediction = Pick<
  TestPrediction,
  "path" | "label" | "predicted" | "probability"
>;

/** Predictions worth looking at for one reason. */
export interface ExampleGroup<T> {
  kind: "mistakes" | "uncertain" | "typical";
  /** Class folder name of typical ones; else `null`. */
  label: string | null;
  examples: T[];
  /** How many there were to choose from. */
  of: number;
}

/**
 * The predictions to look at first: the most confident mistakes, the least certain of the others,
 * and of each class those right ones that are as certain as half of its right ones. Each prediction
 * is in one group at most, and equally good ones are taken in the order of their paths.
 *
 * How certain a prediction is, is how far its probability is from the threshold, as a share of how
 * far it could be on its side: so both sides compare where the threshold is not 0.5.
 *
 * @param options `threshold`: of the positive class. `classes`: folder names, in the model's order.
 * `most`: predictions a group.
 */
export function chooseExamples<T extends ExamplePrediction>(
  predictions: readonly T[],
  { threshold, classes, most }: { threshold: number; classes: readonly string[]; most: number },
): ExampleGroup<T>[] {
  const certainty = new Map(predictions.map((row) => [row, certaintyOf(row, threshold)]));
  const nearest = (rows: readonly T[], target: number): T[] =>
    rows.toSorted((a, b) =>
      Math.abs(certainty.get(a)! - target) - Math.abs(certainty.get(b)! - target) ||
      compareCodePoints(a.path, b.path)
    ).slice(0, most);
  const wrong = predictions.filter((row) => row.predicted !== row.label);
  const mistakes = nearest(wrong, 1);
  const others = predictions.filter((row) => !mistakes.includes(row));
  const uncertain = nearest(others, 0);
  const typical = classes.map((name): ExampleGroup<T> => {
    const right = predictions.filter((row) => row.label === name && row.predicted === name);
    const usual = right.length === 0 ? 0 : median(right.map((row) => certainty.get(row)!));
    return {
      kind: "typical",
      label: name,
      examples: nearest(right.filter((row) => !uncertain.includes(row)), usual),
      of: right.length,
    };
  });
  return [
    { kind: "mistakes", label: null, examples: mistakes, of: wrong.length },
    { kind: "uncertain", label: null, examples: uncertain, of: others.length },
    ...typical,
  ];
}

/**
 * How certain a prediction is: how far its probability is from the threshold, as a share of how far
 * it could be on its side. 0 at the threshold, 1 at a probability of 0 or 1.
 */
export function certaintyOf(
  { probability }: Pick<ExamplePrediction, "probability">,
  threshold: number,
): number {
  const room = probability >= threshold ? 1 - threshold : threshold;
  return room === 0 ? 0 : Math.abs(probability - threshold) / room;
}
