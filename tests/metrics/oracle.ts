import { join } from "node:path";
import { askPython } from "../ask_python.ts";

/** Predictions as the oracle takes them. */
export interface Case {
  labels: number[];
  probabilities: number[];
  predicted: number[];
}

/** A {@linkcode Case} whose images come from up to six groups. */
export interface GroupedCase extends Case {
  groups: string[];
}

/** Classes by index, of any number of classes. */
export interface ConfusionCase {
  labels: number[];
  predicted: number[];
  classes: number;
}

/** What scikit-learn and scipy say about a {@linkcode Case}; `null` for undefined. */
export interface Answer {
  scores: Record<string, number | null>;
  baseline: Record<string, number | null>;
  mcnemar: number;
  /** Sign-flip test by group. */
  flips: number;
  wilson: [number, number];
  /** False positive rate, true positive rate, thresholds. */
  roc: (number | "Infinity")[][] | null;
  /** Precision, recall, thresholds. */
  pr: number[][] | null;
}

/** Asks for percentile bootstrap intervals. */
export interface IntervalCase extends Case {
  groups: string[] | null;
  names: string[];
  resamples: number;
}

/** Sends all cases to one Python process of the .venv and returns its answers. */
export async function askOracle(
  request: { cases?: GroupedCase[]; confusions?: ConfusionCase[]; intervals?: IntervalCase[] },
): Promise<
  { cases: Answer[]; confusions: number[][][]; intervals: Record<string, [number, number]>[] }
> {
  const answer = await askPython(join(import.meta.dirname!, "oracle.py"), request);
  return answer as Awaited<ReturnType<typeof askOracle>>;
}
