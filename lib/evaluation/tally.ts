import type { GroupCount } from "./group_shares.ts";
import type { EvaluatedImage } from "./judge.ts";

/** Images that are shown of each kind. */
const FIRST = 10;
const ERRORS = 100;

/** Groups that are counted one by one; images of further ones count as those without a group. */
const MOST_GROUPS = 100_000;

/** Bins of {@linkcode Tally.probabilities}. */
export const PROBABILITY_BINS = 20;

/** What a page can show of an evaluation of any size. */
export interface Tally {
  classified: number;
  unreadable: number;
  /** Images that a person should look at. */
  review: number;
  /** The classes in the model's order, with the images that were given them. */
  classes: { name: string; images: number; review: number }[];
  /** Of the positive class: images in 20 equal bins from 0 to 1, and those at the threshold or above. */
  probabilities: { counts: number[]; called: number };
  /** Answers by patient or slide. */
  groups: Map<string, GroupCount>;
  /** The first rows. */
  first: EvaluatedImage[];
  /** The first that could not be read. */
  errors: { name: string; error: string }[];
}

/** A judged image, or one that could not be read. */
export type Verdict = EvaluatedImage | { name: string; error: string };

/** An empty tally. */
export function createTally(classes: readonly string[]): Tally {
  return {
    classified: 0,
    unreadable: 0,
    review: 0,
    classes: classes.map((name) => ({ name, images: 0, review: 0 })),
    probabilities: { counts: new Array<number>(PROBABILITY_BINS).fill(0), called: 0 },
    groups: new Map(),
    first: [],
    errors: [],
  };
}

/** Counts one more image. */
export function count(tally: Tally, verdict: Verdict, threshold: number): void {
  if ("error" in verdict) {
    tally.unreadable += 1;
    if (tally.errors.length < ERRORS) tally.errors.push(verdict);
    return;
  }
  const { predicted, probability, decision } = verdict;
  const bin = Math.min(PROBABILITY_BINS - 1, Math.floor(PROBABILITY_BINS * probability));
  const ofClass = tally.classes.find(({ name }) => name === predicted)!;
  tally.classified += 1;
  ofClass.images += 1;
  tally.probabilities.counts[bin]! += 1;
  if (probability >= threshold) tally.probabilities.called += 1;
  countInGroup(tally, verdict);
  if (tally.first.length < FIRST) tally.first.push(verdict);
  if (decision === "accept") return;
  tally.review += 1;
  ofClass.review += 1;
}

function countInGroup(
  { groups, classes }: Tally,
  { group: own, predicted, wasPositive }: EvaluatedImage,
): void {
  const group = groups.has(own) || groups.size < MOST_GROUPS ? own : "";
  const counts = groups.get(group) ?? { group, n: 0, positive: 0, uncorrected: 0 };
  groups.set(group, counts);
  counts.n += 1;
  if (predicted === classes.at(-1)!.name) counts.positive += 1;
  if (wasPositive) counts.uncorrected += 1;
}
