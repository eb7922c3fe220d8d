import { createRandom, type Random } from "../core/random.ts";
import {
  type Decision,
  LARGEST_LOG_ODDS,
  probabilityOf,
  type ValidationScores,
} from "../run/model_card.ts";
import { BINS, type ScoreSummary } from "./score_summary.ts";

/** A mixture of the scores of both classes of validation that a folder can be. */
export interface Explanation {
  /** Of the positive class, 0 to 1. */
  share: number;
  /** What all scores are higher by than in validation, in log odds. */
  move: number;
  /** In validation, not moved. */
  positives: ScoreDensity;
  /** In validation, not moved. */
  negatives: ScoreDensity;
}

/** What the scores of a folder can be made of. */
export interface ScoreExplanations {
  /** Those that explain it about as well as the best. */
  possible: Explanation[];
  /**
   * How far all scores may have moved against validation, in log odds: the moves of these, widened
   * by what the validation images themselves leave open.
   */
  moved: { low: number; high: number };
}

/** Whether the scores have moved, up or down, beyond doubt. */
export function haveMoved({ low, high }: ScoreExplanations["moved"]): boolean {
  return low > 0 || high < 0;
}

/** Moves of all scores that are tried, in cells: up to ±4, by 0.25, in log odds. */
const MOVES = Array.from({ length: 33 }, (_, i) => 2 * (i - 16));

/** Shares that are tried: 0.1 to 99.9 %, evenly in log odds. */
const SHARES = Array.from({ length: 57 }, (_, i) => probabilityOf(i / 4 - 7));

/** Resamples of the validation images that are tried beside these themselves. */
const RESAMPLES = 30;

/**
 * What explains the folder less well than the best by more than this log likelihood is ruled out:
 * half the 95 % point of chi-square with the two degrees of freedom of share and move.
 */
const RULED_OUT = 3;

/** More images say no more: how the validation images happened to be drawn is then the larger doubt. */
const MOST_IMAGES = 1000;

/**
 * What the scores of a folder can be made of, if not only the share of the positive class but the
 * scores as well may be other than in validation: a mixture of the scores of both classes of
 * validation, in some share and all moved by some amount, as another stain or scanner would.
 *
 * Every share, every move and every resample of the validation images is tried; those are possible
 * that explain the folder about as well as the best.
 *
 * @param summary At least one image.
 */
export function explainScores(
  summary: ScoreSummary,
  validation: ValidationScores,
  seed: string | number,
): ScoreExplanations {
  const folder = occupiedCells(summary);
  const random = createRandom(`${seed}/explanations`);
  const tried = Array.from({ length: RESAMPLES + 1 }, (_, i) => {
    const again = (scores: readonly number[]) => i === 0 ? scores : resample(scores, random);
    const positives = scoreDensity(again(validation.positives));
    const negatives = scoreDensity(again(validation.negatives));
    return MOVES.flatMap((cells) =>
      SHARES.map((share) => ({
        fit: fitOf(folder, { share, cells, positives, negatives }),
        explanation: { share, move: cells * CELL, positives, negatives },
      }))
    );
  }).flat();
  const best = tried.reduce((most, { fit }) => Math.max(most, fit), -Infinity);
  const possible = tried.filter(({ fit }) => fit >= best - RULED_OUT)
    .map(({ explanation }) => explanation);
  const moves = possible.map(({ move }) => move);
  const open = Math.max(doubtOfMean(validation.positives), doubtOfMean(validation.negatives));
  return {
    possible,
    moved: { low: Math.min(...moves) - open, high: Math.max(...moves) + open },
  };
}

/** Log likelihood of the folder, up to what is the same for all. */
function fitOf(
  folder: OccupiedCells,
  { share, cells, positives, negatives }: Omit<Explanation, "move"> & { cells: number },
): number {
  let fit = 0;
  for (let i = 0; i < folder.cells.length; i++) {
    const cell = Math.min(CELLS - 1, Math.max(0, folder.cells[i]! - cells));
    const likelihood = share * positives.mass[cell]! + (1 - share) * negatives.mass[cell]!;
    fit += folder.counts[i]! * Math.log(likelihood);
  }
  return fit;
}

/** The cells that hold images of the folder. */
interface OccupiedCells {
  cells: number[];
  /** Images in each, together no more than {@linkcode MOST_IMAGES}. */
  counts: number[];
}

function occupiedCells({ byImage, n }: ScoreSummary): OccupiedCells {
  const counts = new Float64Array(CELLS);
  for (const { bins } of byImage.values()) {
    bins.forEach((count, bin) => counts[Math.floor(bin * CELLS / BINS)]! += count);
  }
  const cells = [...counts.keys()].filter((cell) => counts[cell]! > 0);
  const weight = Math.min(1, MOST_IMAGES / n);
  return { cells, counts: cells.map((cell) => weight * counts[cell]!) };
}

/** Half of the 95 % interval of a mean, by the normal approximation. */
function doubtOfMean(scores: readonly number[]): number {
  return 1.96 * standardDeviation(scores) / Math.sqrt(scores.length);
}

function resample(scores: readonly number[], random: Random): number[] {
  return scores.map(() => scores[random.integer(scores.length)]!);
}

/** Width of a cell in log odds. A whole number of bins of `binOf` make one. */
const CELL = 1 / 8;

/** Cells from the least log odds to the largest. */
export const CELLS = 2 * LARGEST_LOG_ODDS / CELL;

/** How the scores of a class are distributed. */
interface ScoreDensity {
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

/** Of at least one value: the root of the mean squared distance from the mean, divided by n. */
function standardDeviation(values: readonly number[]): number {
  const n = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / n;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / n);
}

/** A change of the share of the positive class; both greater than 0, less than 1. */
export interface ShareChange {
  /** Where the model was calibrated. */
  reference: number;
  /** In the folder at hand. */
  share: number;
}

/**
 * Calibrated class probabilities, corrected for another share of the positive class: each in
 * proportion to p · new share / old share (Saerens et al. 2002, equation 2.4). Of more than two
 * classes, the others keep their proportions to one another.
 *
 * The log odds of the positive class move by the same amount for every image. So the order of
 * images stays as it is, and for two classes the answers are those of another threshold on the
 * probabilities before (see {@linkcode uncorrectedThreshold}).
 *
 * @param probabilities One a class; the last class is the positive one.
 * @returns As many, which sum to 1.
 */
export function correctProbabilities(
  probabilities: readonly number[],
  { reference, share }: ShareChange,
): number[] {
  const last = probabilities.length - 1;
  const parts = probabilities.map((p, i) =>
    i === last ? p * share / reference : p * (1 - share) / (1 - reference)
  );
  const sum = parts.reduce((total, part) => total + part, 0);
  return parts.map((part) => part / sum);
}

/** The threshold on probabilities before a correction that answers as `threshold` does after it. */
export function uncorrectedThreshold(threshold: number, { reference, share }: ShareChange): number {
  return correctProbabilities([1 - threshold, threshold], {
    reference: share,
    share: reference,
  })[1]!;
}

/**
 * The threshold on corrected probabilities.
 *
 * That of rule `default` or `costs` weighs errors by their number or cost and is meant for
 * probabilities that hold here: it stays as it is, so that answers change. Sensitivity and
 * specificity do not depend on the share, and `youden` and `sensitivity` chose a point of these:
 * the threshold moves with the probabilities, so that answers and their promise stay.
 */
export function correctedThreshold(
  { threshold, rule }: Pick<Decision, "threshold" | "rule">,
  { reference, share }: ShareChange,
): number {
  return keepsAnswers(rule)
    ? correctProbabilities([1 - threshold, threshold], { reference, share })[1]!
    : threshold;
}

/** Whether a threshold of this rule answers as before a correction. */
export function keepsAnswers(rule: Decision["rule"]): boolean {
  return rule === "youden" || rule === "sensitivity";
}
