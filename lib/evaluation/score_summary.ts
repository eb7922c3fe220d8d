import { createRandom } from "../core/random.ts";
import { LARGEST_LOG_ODDS, logOdds, probabilityOf } from "../run/decision.ts";

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

/** Most units that are told apart; see {@linkcode ScoreUnit}. */
const MOST_UNITS = 256;

/**
 * Images that are drawn as one when the uncertainty of a prevalence is estimated: those of one group,
 * or one image; where there are more than 256 groups (images), the further ones are pooled at random
 * with these. A pool of whole groups is as independent of the others as a group is, and 256 units
 * give a standard error to about 5 %.
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
 * The bin of a probability, by its log odds: what lets a million images be summed up in bounded
 * memory.
 *
 * A correction for another prevalence only shifts the log odds, so a bin is as fine after it as
 * before: the corrected probability of an image and that of its bin's centre differ by at most
 * 1/128 · 1/4 = 0.002 (the slope of the logistic function is at most 1/4). Deviations to both sides
 * cancel in an estimated prevalence, whose error is far smaller.
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

/** Bins of all units, without those that hold no image. */
interface OccupiedBins {
  /** Probability of each bin, rising. */
  probabilities: Float64Array;
  /** Images in each bin. */
  counts: Float64Array;
  /** For each unit the places of its bins in `counts`, and the images in each. */
  units: { places: Uint16Array; counts: Uint32Array }[];
}

/** Leaves out what holds no image: models that are sure of themselves fill few bins. */
export function occupiedBins(units: readonly ScoreUnit[]): OccupiedBins {
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
