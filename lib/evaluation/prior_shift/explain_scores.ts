import type { ValidationScores } from "../../model/decision.ts";
import { probabilityOf } from "../../model/log_odds.ts";
import { createRandom, type Random } from "../../random.ts";
import { BINS } from "./log_odds_bins.ts";
import { CELL, CELLS, type ScoreDensity, scoreDensity } from "./score_density.ts";
import type { ScoreSummary } from "./score_summary.ts";
import { standardDeviation } from "./standard_deviation.ts";

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
