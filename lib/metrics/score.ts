import type { ScoreName } from "../score_names.ts";

/** A published value of a score, with what limits the comparison (`config.metrics.references`). */
export interface Reference {
  /** Who reported it. */
  name: string;
  value: number;
  /** The caveat: other images, other labels, another question. */
  note: string;
}

/** One score with what is needed to judge it. */
export interface Score {
  /** `null` when undefined, never 0; `reason` then says why. */
  value: number | null;
  /** 95 % interval; `null` where there is none, with the reason. */
  low: number | null;
  high: number | null;
  /** The same score of the majority baseline; `null` where that is undefined. */
  baseline: number | null;
  /** Images the score is a share or mean of: for sensitivity, the positive ones. */
  n: number;
  /** How the interval was found. */
  method: string;
  /** Why value, interval or baseline is `null`. */
  reason?: string;
  /** Published values of this score; measured elsewhere. */
  references?: Reference[];
}

/** Every score by name. */
export type Scores = Record<ScoreName, Score>;
