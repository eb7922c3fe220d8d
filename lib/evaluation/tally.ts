import { join } from "node:path";
import type { OnProgress } from "../core/long_work.ts";
import { createRandom } from "../core/random.ts";
import { compareCodePoints } from "../core/words.ts";
import { groupOf } from "../data/labels.ts";
import { type ExplainedImage, explainImages } from "../metrics/explain.ts";
import { certaintyOf } from "../metrics/test.ts";
import type { Model } from "../model/model.ts";
import type { Flag } from "../model/reference.ts";
import { calibrate, decide, logOdds, probabilityOf } from "../run/decision.ts";
import type { DetailsRow, ErrorRow } from "../run/evaluation_files.ts";
import type { ModelCard } from "../run/model_card.ts";
import { correctProbabilities } from "./prevalence.ts";
import type { PriorShift } from "./prior_shift.ts";
import type { GroupCount } from "./shares.ts";
import type { ClassifiedImage } from "./work.ts";

/** A new image with its prediction. */
export interface EvaluatedImage extends DetailsRow {
  /** Whether the positive class was predicted before a correction for another prevalence. */
  wasPositive: boolean;
}

/** What became of an image. */
export type Outcome = EvaluatedImage | ErrorRow;

/**
 * What a model's output for an image means: class, confidence, and whether a person should look. By
 * probabilities that are calibrated, then corrected for the folder's prevalence.
 */
export function postprocess(
  name: string,
  { probabilities: raw, flags, spread }: ClassifiedImage,
  { architecture, decision, data }: ModelCard,
  { change, threshold }: Pick<PriorShift, "change" | "threshold">,
): EvaluatedImage {
  const calibrated = calibrate(raw, decision.calibration);
  const probabilities = change ? correctProbabilities(calibrated, change) : calibrated;
  const probability = probabilities.at(-1)!;
  const label = decide(probabilities, threshold);
  const { acceptBand: band } = decision;
  const isSure = band !== null && (probability <= band.low || probability >= band.high);
  return {
    name,
    predicted: architecture.classes[label]!,
    probability,
    confidence: probabilities[label]!,
    decision: isSure && flags.length === 0 ? "accept" : "review",
    group: (data.groupPattern === null ? null : groupOf(name, data.groupPattern)) ?? "",
    flags: flags.join(" "),
    probability_uncorrected: calibrated.at(-1)!,
    spread: spread === undefined ? null : spread * decision.calibration.slope,
    wasPositive: decide(calibrated, decision.threshold) === architecture.classes.length - 1,
  };
}

/** What a page can show of an evaluation of any size. */
export interface Tally {
  classified: number;
  unreadable: number;
  /** Images that a person should look at. */
  review: number;
  /** The classes in the model's order, with the images that were predicted as each. */
  classes: { name: string; images: number; review: number }[];
  /** Of the positive class: images in 20 equal bins from 0 to 1, and those at the threshold or above. */
  probabilities: { counts: number[]; called: number };
  /** Predictions by patient or slide. */
  groups: Map<string, GroupCount>;
  /** The first rows. */
  first: EvaluatedImage[];
  /** The first that could not be read. */
  errors: ErrorRow[];
}

/** Most of the parts of a {@linkcode Tally}. Images of further groups count as without a group. */
const MOST = { first: 10, errors: 100, groups: 100_000 };

const PROBABILITY_BINS = 20;

/** An empty tally. */
export function createTally(classes: readonly string[]): Tally {
  return {
    ...{ classified: 0, unreadable: 0, review: 0 },
    classes: classes.map((name) => ({ name, images: 0, review: 0 })),
    probabilities: { counts: new Array<number>(PROBABILITY_BINS).fill(0), called: 0 },
    groups: new Map(),
    first: [],
    errors: [],
  };
}

/** Counts one more image. */
export function count(tally: Tally, outcome: Outcome, threshold: number): void {
  if ("error" in outcome) {
    tally.unreadable += 1;
    if (tally.errors.length < MOST.errors) tally.errors.push(outcome);
    return;
  }
  const { classes, groups, probabilities: { counts }, first } = tally;
  const { predicted, probability, decision, wasPositive } = outcome;
  const ofClass = classes.find(({ name }) => name === predicted)!;
  tally.classified += 1;
  ofClass.images += 1;
  if (decision === "review") {
    tally.review += 1;
    ofClass.review += 1;
  }
  counts[Math.min(PROBABILITY_BINS - 1, Math.floor(PROBABILITY_BINS * probability))]! += 1;
  if (probability >= threshold) tally.probabilities.called += 1;
  if (first.length < MOST.first) first.push(outcome);

  const isKept = groups.has(outcome.group) || groups.size < MOST.groups;
  const group = isKept ? outcome.group : "";
  const ofGroup = groups.get(group) ?? { group, n: 0, positive: 0, uncorrected: 0 };
  groups.set(group, ofGroup);
  ofGroup.n += 1;
  if (ofClass === classes.at(-1)) ofGroup.positive += 1;
  if (wasPositive) ofGroup.uncorrected += 1;
}

/**
 * A sample of bounded size of any number of rows. `rows`: those kept, in the order in which they were
 * added; `total`: how many were added.
 */
export interface Sample<T> {
  add(row: T): void;
  rows(): T[];
  total(): number;
}

/** Images that are scored at most: accuracy is then known within 0.3 %, in three seconds. */
const MOST_SCORED = 20_000;

/**
 * Of more rows than `most` every one has the same chance to be in the sample (reservoir sampling,
 * Vitter 1985, algorithm R).
 */
export function createSample<T>(
  { seed, most = MOST_SCORED }: { seed: string | number; most?: number },
): Sample<T> {
  const random = createRandom(`${seed}/labelled sample`);
  const kept: { turn: number; row: T }[] = [];
  let added = 0;
  return {
    add: (row) => {
      const place = kept.length < most ? kept.length : random.integer(added + 1);
      const turn = added++;
      if (place < most) kept[place] = { turn, row };
    },
    rows: () => kept.toSorted((a, b) => a.turn - b.turn).map(({ row }) => row),
    total: () => added,
  };
}

interface ReviewImage extends Pick<DetailsRow, "name" | "predicted" | "probability"> {
  spread?: DetailsRow["spread"];
  flags: readonly Flag[];
}

/** An image of the review queue; `need`: see {@linkcode reviewNeed}. */
export type QueuedImage = ReviewImage & { need: number };

/** More than a person looks at; bounds the memory. */
const MOST_QUEUED = 10_000;

/**
 * A review queue of bounded length: of any number of images those with the greatest need stay.
 *
 * @param threshold The one in force for their probabilities.
 * @returns `rows`: the greatest need first, equal ones in code-point order of their names.
 */
export function createReviewQueue(threshold: number, most: number = MOST_QUEUED) {
  let kept: QueuedImage[] = [];
  const rows = () => {
    kept = kept.sort((a, b) => b.need - a.need || compareCodePoints(a.name, b.name)).slice(0, most);
    return [...kept];
  };
  return {
    add: ({ name, predicted, probability, spread, flags }: ReviewImage) => {
      const need = reviewNeed({ probability, spread, flags }, threshold);
      kept.push({ name, predicted, probability, flags, need });
      if (kept.length >= 2 * most) rows();
    },
    rows,
  };
}

/** How much a flagged image's own certainty still counts. */
const TRUST_IF_FLAGGED = 0.5;

/**
 * How much an image needs to be looked at by a person, 0 to 1: one less its certainty (see
 * `certaintyOf`), which each flag halves: a model may be sure for no reason about what is new to it.
 *
 * Where members disagree, the distance of the log odds from the threshold counts less: divided by
 * √(1 + π s² / 8), which makes of log odds with the standard deviation s about the mean probability
 * (MacKay 1992, Neural Computation 4:720-736).
 *
 * @param image `probability`: of the positive class, after calibration and correction.
 * @param threshold The one in force for these probabilities.
 */
export function reviewNeed(
  { probability, spread, flags }: Pick<ReviewImage, "probability" | "spread" | "flags">,
  threshold: number,
): number {
  const [own, limit] = [logOdds(probability), logOdds(threshold)];
  const moderated = limit + (own - limit) / Math.sqrt(1 + Math.PI * (spread ?? 0) ** 2 / 8);
  const certainty = certaintyOf(
    { probability: spread ? probabilityOf(moderated) : probability },
    threshold,
  );
  return 1 - certainty * TRUST_IF_FLAGGED ** flags.length;
}

/** An image to review with where the evidence for the model's prediction is in it. */
export type ExplainedReview = ReviewImage & { image: ExplainedImage };

/**
 * Explains the predictions for images that need a review, by Grad-CAM of the predicted class.
 *
 * @param rows The first of a review queue; everything stays in memory, 0.15 MB an image.
 * @param options `loaded`: the model that predicted, and its card. `folder`: absolute path of the
 * new images.
 * @throws {ImageError} When an image has gone or broken since.
 */
export async function explainReview(
  rows: readonly ReviewImage[],
  { loaded: { model, card }, folder, onProgress }: {
    loaded: { model: Model; card: ModelCard };
    folder: string;
    onProgress?: OnProgress;
  },
): Promise<ExplainedReview[]> {
  if (rows.length === 0) return [];
  const paths = rows.map(({ name }) => join(folder, name));
  const classes = rows.map(({ predicted }) => predicted);
  const images = await explainImages(model, card, paths, { classes, onProgress });
  return rows.map((row, i) => ({ ...row, image: images[i]! }));
}
