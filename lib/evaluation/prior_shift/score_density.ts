import { LARGEST_LOG_ODDS } from "../../model/log_odds.ts";
import { standardDeviation } from "./standard_deviation.ts";

/** Width of a cell in log odds. A whole number of bins of `binOf` make one. */
export const CELL = 1 / 8;

/** Cells from the least log odds to the largest. */
export const CELLS = 2 * LARGEST_LOG_ODDS / CELL;

/** How the scores of a class are distributed. */
export interface ScoreDensity {
  /** Share of the images in each cell; they sum to 1. */
  mass: Float64Array;
  /** Share of the images from each cell on upwards; one more, 0, at the end. */
  above: Float64Array;
}

/** Least standard deviation of the kernel: two cells, so that it is seen. */
const LEAST_BANDWIDTH = 2 * CELL;

/** Share that may lie anywhere: no score is impossible, for either class. */
const ANYWHERE = 0.01;

/**
 * A smooth distribution around the scores of some images: Gaussian kernels with Silverman's
 * bandwidth, 0.9 · min(sd, interquartile range / 1.34) · n^(−1/5) (Silverman 1986, equation 3.31),
 * and 1 % spread evenly.
 *
 * @param scores Log odds within ±32, at least one.
 */
export function scoreDensity(scores: readonly number[]): ScoreDensity {
  const bandwidth = bandwidthOf(scores);
  const reach = 4 * bandwidth;
  const mass = new Float64Array(CELLS);
  for (const score of scores) {
    const first = Math.max(0, cellOf(score - reach));
    const last = Math.min(CELLS - 1, cellOf(score + reach));
    for (let cell = first; cell <= last; cell++) {
      const away = (centreOf(cell) - score) / bandwidth;
      mass[cell]! += Math.exp(-away * away / 2);
    }
  }
  const sum = mass.reduce((total, value) => total + value, 0);
  const above = new Float64Array(CELLS + 1);
  for (let cell = CELLS - 1; cell >= 0; cell--) {
    mass[cell] = (1 - ANYWHERE) * mass[cell]! / sum + ANYWHERE / CELLS;
    above[cell] = above[cell + 1]! + mass[cell]!;
  }
  return { mass, above };
}

/** Share of the images whose score is at least `threshold`, in log odds. */
export function shareFrom(threshold: number, { above }: ScoreDensity): number {
  const place = (threshold + LARGEST_LOG_ODDS) / CELL;
  if (place <= 0) return 1;
  if (place >= CELLS) return 0;
  const cell = Math.floor(place);
  return above[cell]! + (place - cell) * (above[cell + 1]! - above[cell]!);
}

function cellOf(score: number): number {
  return Math.floor((score + LARGEST_LOG_ODDS) / CELL);
}

function centreOf(cell: number): number {
  return (cell + 0.5) * CELL - LARGEST_LOG_ODDS;
}

function bandwidthOf(scores: readonly number[]): number {
  const n = scores.length;
  const sorted = scores.toSorted((a, b) => a - b);
  const sd = standardDeviation(sorted);
  const range = sorted[Math.floor(0.75 * (n - 1))]! - sorted[Math.floor(0.25 * (n - 1))]!;
  const spread = range > 0 ? Math.min(sd, range / 1.34) : sd;
  return Math.max(LEAST_BANDWIDTH, 0.9 * spread * n ** -0.2);
}
