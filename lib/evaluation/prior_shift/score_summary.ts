import { createRandom } from "../../random.ts";
import { binOf, BINS } from "./log_odds_bins.ts";

/** Most units that are told apart; see {@linkcode ScoreUnit}. */
const MOST_UNITS = 256;

/**
 * Images that are drawn as one when the uncertainty of a share is estimated: those of one group, or
 * one image; where there are more than 256 groups (images), the further ones are pooled at random
 * with these. A pool of whole groups is as independent of the others as a group is, and 256 units
 * give a standard error to about 5 %.
 */
export interface ScoreUnit {
  /** Images in each bin of log odds, see `binOf`. */
  bins: Uint32Array;
  n: number;
  /** Images at or above the model's threshold. */
  called: number;
}

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
  const bin = binOf(probability);
  const called = probability >= summary.threshold ? 1 : 0;
  const image = `image ${summary.n}`;
  addTo(summary.byImage, summary.n < MOST_UNITS ? summary.n : pooled(image), bin, called);
  addTo(summary.byGroup, group === "" ? pooled(image) : unitOf(summary.groups, group), bin, called);
  summary.n++;
}

/** The unit of a group: its own for the first 256, one by chance after them. */
function unitOf(groups: Map<string, number>, group: string): number {
  const known = groups.get(group);
  if (known !== undefined) return known;
  if (groups.size === MOST_UNITS) return pooled(`group ${group}`);
  groups.set(group, groups.size);
  return groups.size - 1;
}

function pooled(key: string): number {
  return createRandom(key).integer(MOST_UNITS);
}

function addTo(units: Map<number, ScoreUnit>, place: number, bin: number, called: number): void {
  let unit = units.get(place);
  if (!unit) units.set(place, unit = { bins: new Uint32Array(BINS), n: 0, called: 0 });
  unit.bins[bin]!++;
  unit.n++;
  unit.called += called;
}
