import { median } from "../median.ts";

/** The middle of some numbers and how far they usually lie from it. */
export interface RobustScale {
  median: number;
  /**
   * 1.4826 times the median distance from the median: of a normal distribution the standard
   * deviation (Rousseeuw & Croux, 1993). Half of the numbers may be anything without moving it far.
   */
  spread: number;
}

/** Median and scaled median absolute deviation; NaN of no numbers. */
export function robustScale(values: readonly number[]): RobustScale {
  const middle = median(values);
  return {
    median: middle,
    spread: 1.4826 * median(values.map((value) => Math.abs(value - middle))),
  };
}
