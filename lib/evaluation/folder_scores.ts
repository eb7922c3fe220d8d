import { createRandom } from "../core/random.ts";
import {
  LARGEST_LOG_ODDS,
  logOdds,
  probabilityOf,
  type ValidationScores,
} from "../run/decision.ts";

/**
 * The calibrated probabilities of a folder, summed up: at most 8.4 MB for any number of images, and
 * the same for the same images in the same order.
 */
export interface ScoreSummary {
  /** The model card's threshold, on calibrated probabilities before any correction. */
  readonly threshold: number;
  n: number;
  /** Images as units. */
  readonly byImage: Map<number, ScoreUnit>;
  /** Groups as units; images without a group are dealt out at random. */
  readonly byGroup: Map<number, ScoreUnit>;
  /** Units of the first 256 groups. */
  readonly groups: Map<string, number>;
}

/** Most units that are told apart. 256 give a standard error to about 5 %. */
const MOST_UNITS = 256;

/**
 * Images that are drawn as one when the uncertainty of a prevalence is estimated: one, or those of a
 * group; more than 256 are pooled at random, as independent of one another as these.
 */
interface ScoreUnit {
  /** Images in each bin of log odds, see `binOf`. */
  bins: Uint32Array;
  n: number;
  /** Images at or above the model's threshold. */
  called: number;
}

/**
 * A summary of no images, to be filled by {@linkcode addScore} while a folder is evaluated.
 *
 * @param threshold `decision.threshold` of the model card.
 */
export function createScoreSummary(threshold: number): ScoreSummary {
  return { threshold, n: 0, byImage: new Map(), byGroup: new Map(), groups: new Map() };
}

/**
 * Adds an image to a summary.
 *
 * @param probability Calibrated, not corrected, of the positive class.
 * @param group Patient or slide; empty: not known.
 * @throws {RangeError} When the probability is not one.
 */
export function addScore(summary: ScoreSummary, probability: number, group: string): void {
  if (!(probability >= 0 && probability <= 1)) {
    throw new RangeError(`${probability} is not a probability.`);
  }
  const { groups, byImage, byGroup, n } = summary;
  if (group !== "" && !groups.has(group) && groups.size < MOST_UNITS) {
    groups.set(group, groups.size);
  }
  const pooled = (key: string) => createRandom(key).integer(MOST_UNITS);
  const places: [Map<number, ScoreUnit>, number][] = [
    [byImage, n < MOST_UNITS ? n : pooled(`image ${n}`)],
    [byGroup, groups.get(group) ?? pooled(group === "" ? `image ${n}` : `group ${group}`)],
  ];
  const bin = binOf(probability);
  for (const [units, place] of places) {
    let unit = units.get(place);
    if (!unit) units.set(place, unit = { bins: new Uint32Array(BINS), n: 0, called: 0 });
    unit.bins[bin]!++;
    unit.n++;
    if (probability >= summary.threshold) unit.called++;
  }
  summary.n++;
}

/** Number of bins of {@linkcode binOf}. */
export const BINS = 4096;

/** 1/64, so that no log odds inside lie further than 1/128 from the centre of their bin. */
const WIDTH = 2 * LARGEST_LOG_ODDS / BINS;

/**
 * The bin of a probability, by its log odds, which a correction for another prevalence only shifts:
 * an image's and its bin's corrected probability differ by at most 1/128 · 1/4 = 0.002 (slope ≤ 1/4).
 *
 * @param probability Calibrated, of the positive class, 0 to 1.
 * @returns 0 to {@linkcode BINS} − 1.
 */
export function binOf(probability: number): number {
  return Math.min(BINS - 1, Math.floor((logOdds(probability) + LARGEST_LOG_ODDS) / WIDTH));
}

/** The probability at the centre of a bin: greater than 0, less than 1. */
export function binProbability(bin: number): number {
  return probabilityOf((bin + 0.5) * WIDTH - LARGEST_LOG_ODDS);
}

/**
 * The bins of all units that hold an image: models that are sure of themselves fill few.
 *
 * @returns `probabilities` (rising) and `counts` (images) of each bin; for each unit the `places` of
 * its bins among these, and the images in each.
 */
export function occupiedBins(units: readonly ScoreUnit[]) {
  const totals = new Float64Array(BINS);
  for (const { bins } of units) bins.forEach((count, bin) => totals[bin]! += count);
  const occupied = [...totals.keys()].filter((bin) => totals[bin]! > 0);
  return {
    probabilities: Float64Array.from(occupied, binProbability),
    counts: Float64Array.from(occupied, (bin) => totals[bin]!),
    units: units.map(({ bins }) => {
      const places = [...occupied.keys()].filter((place) => bins[occupied[place]!]! > 0);
      return {
        places: Uint16Array.from(places),
        counts: Uint32Array.from(places, (place) => bins[occupied[place]!]!),
      };
    }),
  };
}

/**
 * A mixture of the scores of both classes of validation that a folder can be: `share` is the
 * prevalence of the positive class, `move` what all scores are higher by, in log odds.
 */
type Explanation =
  & Record<"share" | "move", number>
  & Record<"positives" | "negatives", ScoreDensity>;

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

/** Whether the scores have moved beyond doubt. */
export function haveMoved({ low, high }: ScoreExplanations["moved"]): boolean {
  return low > 0 || high < 0;
}

/** Moves of all scores that are tried, in cells: up to ±4, by 0.25, in log odds. */
const MOVES = Array.from({ length: 33 }, (_, i) => 2 * (i - 16));

/** Prevalences that are tried: 0.1 to 99.9 %, evenly in log odds. */
const PREVALENCES = Array.from({ length: 57 }, (_, i) => probabilityOf(i / 4 - 7));

/** Resamples of the validation images that are tried beside these themselves. */
const RESAMPLES = 30;

/**
 * What explains the folder less well than the best by more than this log likelihood is ruled out:
 * half the 95 % point of chi-square with the two degrees of freedom of prevalence and move.
 */
const RULED_OUT = 3;

/**
 * Finds what the scores of a folder can be made of: every prevalence, every move (as of another
 * stain or scanner) and every resample of the validation images that explains them.
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
    const density = (scores: readonly number[]) =>
      scoreDensity(i === 0 ? scores : scores.map(() => scores[random.integer(scores.length)]!));
    const [positives, negatives] = [density(validation.positives), density(validation.negatives)];
    return MOVES.flatMap((cells) =>
      PREVALENCES.map((share) => {
        const explanation = { share, move: cells * CELL, positives, negatives };
        return { fit: fitOf(folder, cells, explanation), explanation };
      })
    );
  }).flat();
  const best = tried.reduce((most, { fit }) => Math.max(most, fit), -Infinity);
  const possible = tried.filter(({ fit }) => fit >= best - RULED_OUT)
    .map(({ explanation }) => explanation);
  const moves = possible.map(({ move }) => move);
  /** Half of the 95 % interval of a mean, by the normal approximation. */
  const doubt = (scores: readonly number[]) =>
    1.96 * standardDeviation(scores) / Math.sqrt(scores.length);
  const open = Math.max(doubt(validation.positives), doubt(validation.negatives));
  return { possible, moved: { low: Math.min(...moves) - open, high: Math.max(...moves) + open } };
}

/**
 * The least that a correction for another prevalence, which moves the threshold, changes F1 by,
 * whichever explanation is true. On real crops from one centre to another, corrections that the other
 * checks allow cost up to 0.37 in mean F1; those that no explanation forbids no more than 0.01.
 *
 * @param possible See {@linkcode explainScores}.
 * @param thresholds Without the correction and with it, on the probabilities before, as log odds.
 */
export function leastGain(
  possible: readonly Explanation[],
  { before, after }: { before: number; after: number },
): number {
  return Math.min(...possible.map((one) => expectedF1(one, after) - expectedF1(one, before)));
}

/** F1 of expected counts, 2 TP / (2 TP + FP + FN), with a threshold in log odds. */
function expectedF1({ share, move, positives, negatives }: Explanation, threshold: number): number {
  const found = share * shareFrom(threshold - move, positives);
  const mistaken = (1 - share) * shareFrom(threshold - move, negatives);
  return 2 * found / (found + share + mistaken);
}

/** More images say no more: how the validation images happened to be drawn is then the larger doubt. */
const MOST_IMAGES = 1000;

/** The cells that hold images of the folder, and how many; together no more than `MOST_IMAGES`. */
function occupiedCells({ byImage, n }: ScoreSummary): { cell: number; count: number }[] {
  const counts = new Float64Array(CELLS);
  for (const { bins } of byImage.values()) {
    bins.forEach((count, bin) => counts[Math.floor(bin * CELLS / BINS)]! += count);
  }
  const weight = Math.min(1, MOST_IMAGES / n);
  return Array.from(counts, (count, cell) => ({ cell, count: weight * count }))
    .filter(({ count }) => count > 0);
}

/** Log likelihood of the folder under an explanation, up to what is the same for all. */
function fitOf(
  folder: readonly { cell: number; count: number }[],
  moved: number,
  { share, positives, negatives }: Explanation,
): number {
  let fit = 0;
  for (const { cell, count } of folder) {
    const from = Math.min(CELLS - 1, Math.max(0, cell - moved));
    fit += count * Math.log(share * positives.mass[from]! + (1 - share) * negatives.mass[from]!);
  }
  return fit;
}

/** Width of a cell in log odds. A whole number of bins of `binOf` make one. */
const CELL = 1 / 8;

/** Cells from the least log odds to the largest. */
export const CELLS = 2 * LARGEST_LOG_ODDS / CELL;

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
  const cellOf = (score: number) => Math.floor((score + LARGEST_LOG_ODDS) / CELL);
  const mass = new Float64Array(CELLS);
  for (const score of scores) {
    const last = Math.min(CELLS - 1, cellOf(score + 4 * bandwidth));
    for (let cell = Math.max(0, cellOf(score - 4 * bandwidth)); cell <= last; cell++) {
      const centre = (cell + 0.5) * CELL - LARGEST_LOG_ODDS;
      const away = (centre - score) / bandwidth;
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

function bandwidthOf(scores: readonly number[]): number {
  const n = scores.length;
  const sorted = scores.toSorted((a, b) => a - b);
  const sd = standardDeviation(sorted);
  const range = sorted[Math.floor(0.75 * (n - 1))]! - sorted[Math.floor(0.25 * (n - 1))]!;
  const spread = range > 0 ? Math.min(sd, range / 1.34) : sd;
  return Math.max(LEAST_BANDWIDTH, 0.9 * spread * n ** -0.2);
}

/** Divided by n. */
function standardDeviation(values: readonly number[]): number {
  const n = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / n;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / n);
}

/** Share of the images whose score is at least `threshold`, in log odds. */
export function shareFrom(threshold: number, { above }: ScoreDensity): number {
  const place = (threshold + LARGEST_LOG_ODDS) / CELL;
  if (place <= 0) return 1;
  if (place >= CELLS) return 0;
  const cell = Math.floor(place);
  return above[cell]! + (place - cell) * (above[cell + 1]! - above[cell]!);
}
