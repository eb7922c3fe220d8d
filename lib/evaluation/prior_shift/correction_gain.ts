import type { ValidationScores } from "../../model/decision.ts";
import { createRandom, type Random } from "../../random.ts";
import { BINS } from "./log_odds_bins.ts";
import { CELL, CELLS, type ScoreDensity, scoreDensity, shareFrom } from "./score_density.ts";
import type { ScoreSummary } from "./score_summary.ts";

/** What a correction would do to F1, as far as the images tell. */
export interface CorrectionGain {
  /** The least that F1 may change by, in the worst case that the images leave possible. */
  least: number;
  /**
   * How far all scores may have moved against validation, in log odds: the moves that explain the
   * folder, widened by what the validation images themselves leave open.
   */
  moved: { low: number; high: number };
}

/** Thresholds on the probabilities before a correction, as log odds. */
export interface ThresholdChange {
  /** Without the correction. */
  before: number;
  /** With it. */
  after: number;
}

/** Moves of all scores that are tried, in cells: up to ±4, by 0.25, in log odds. */
const MOVES = Array.from({ length: 33 }, (_, i) => 2 * (i - 16));

/** Shares that are tried: 0.1 to 99.9 %, evenly in log odds. */
const SHARES = Array.from({ length: 57 }, (_, i) => 1 / (1 + Math.exp(7 - i / 4)));

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
 * What a correction for another share of the positive class may do to F1, if not only the share but
 * the scores as well can be other than in validation.
 *
 * The folder is explained as a mixture of the scores of both classes of validation, in some share and
 * all moved by some amount, as another stain or scanner would. A correction that is right when only
 * the share has changed can be far off when the scores have moved too: each moves the best threshold,
 * and the share that is estimated is then that of another cause. Here every share, every move and
 * every resample of the validation images that explains the folder about as well as the best is asked
 * what the correction would do to F1.
 *
 * On real crops, from one centre to the other and to other slides of the same, corrections that the
 * other checks allow cost up to 0.37 in mean F1 at a share; where none of these explanations forbids
 * it, no more than 0.01.
 *
 * @param summary At least one image.
 * @param validation Scores of both classes.
 */
export function correctionGain(
  summary: ScoreSummary,
  validation: ValidationScores,
  thresholds: ThresholdChange,
  seed: string | number,
): CorrectionGain {
  const folder = occupiedCells(summary);
  const random = createRandom(`${seed}/correction`);
  const explanations = Array.from({ length: RESAMPLES + 1 }, (_, i) => {
    const [positives, negatives] = i === 0
      ? [validation.positives, validation.negatives]
      : [resample(validation.positives, random), resample(validation.negatives, random)];
    const densities = [scoreDensity(positives), scoreDensity(negatives)] as const;
    return MOVES.flatMap((move) => explain(folder, densities, move, thresholds));
  }).flat();
  const best = explanations.reduce((most, { fit }) => Math.max(most, fit), -Infinity);
  const possible = explanations.filter(({ fit }) => fit >= best - RULED_OUT);
  const moves = possible.map(({ move }) => move * CELL);
  const open = Math.max(doubtOfMean(validation.positives), doubtOfMean(validation.negatives));
  return {
    least: Math.min(...possible.map(({ gain }) => gain)),
    moved: { low: Math.min(...moves) - open, high: Math.max(...moves) + open },
  };
}

/** A share and a move: how well they explain the folder, and what the correction then does. */
interface Explanation {
  move: number;
  /** Log likelihood, up to what is the same for all. */
  fit: number;
  /** Of F1. */
  gain: number;
}

function explain(
  folder: OccupiedCells,
  [positives, negatives]: readonly [ScoreDensity, ScoreDensity],
  move: number,
  { before, after }: ThresholdChange,
): Explanation[] {
  const rates = (threshold: number) => {
    const unmoved = threshold - move * CELL;
    return {
      sensitivity: shareFrom(unmoved, positives),
      falsePositiveRate: shareFrom(unmoved, negatives),
    };
  };
  const [without, corrected] = [rates(before), rates(after)];
  return SHARES.map((share) => {
    let fit = 0;
    for (let i = 0; i < folder.cells.length; i++) {
      const cell = Math.min(CELLS - 1, Math.max(0, folder.cells[i]! - move));
      const likelihood = share * positives.mass[cell]! + (1 - share) * negatives.mass[cell]!;
      fit += folder.counts[i]! * Math.log(likelihood);
    }
    return { move, fit, gain: expectedF1(share, corrected) - expectedF1(share, without) };
  });
}

/** F1 of expected counts: 2 TP / (2 TP + FP + FN). */
function expectedF1(
  share: number,
  { sensitivity, falsePositiveRate }: { sensitivity: number; falsePositiveRate: number },
): number {
  const found = share * sensitivity;
  return 2 * found / (found + share + (1 - share) * falsePositiveRate);
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
  const n = scores.length;
  const mean = scores.reduce((sum, score) => sum + score, 0) / n;
  const variance = scores.reduce((sum, score) => sum + (score - mean) ** 2, 0) / n;
  return 1.96 * Math.sqrt(variance / n);
}

function resample(scores: readonly number[], random: Random): number[] {
  return scores.map(() => scores[random.integer(scores.length)]!);
}
