import { writeCsv } from "../core/csv.ts";
import { createRandom } from "../core/random.ts";
import { type FolderLabel, groupOf } from "../data/labels.ts";
import { positiveClass } from "../metrics/rates.ts";
import type { ScoredSample } from "../metrics/scores.ts";
import type { EvaluationFiles } from "../run/evaluation_files.ts";
import { calibrate, decide, type ModelCard } from "../run/model_card.ts";
import { correctProbabilities } from "./explain_scores.ts";
import type { GroupCount, GroupShare, GroupShares } from "./shares.ts";
import type { PriorShift } from "./shift.ts";
import type { ClassifiedImage } from "./work.ts";

/** A new image with its predicted class: a row of evaluation_details.csv. */
export interface EvaluatedImage {
  /** Path relative to the folder, `/` separators. */
  name: string;
  /** Predicted class folder name. */
  predicted: string;
  /** Of the positive class, 0 to 1. */
  probability: number;
  /** Probability of the predicted class, 0 to 1. */
  confidence: number;
  /** `accept`, or `review`: a person should look at it. */
  decision: "accept" | "review";
  /** Patient or slide, by the pattern the model was trained with; empty where it finds none. */
  group: string;
  /** What is unusual about the image, separated by spaces; empty: nothing. */
  flags: string;
  /** As `probability`, before a correction for another share of the classes. */
  probability_uncorrected: number;
  /** Whether the answer before such a correction is the positive class. */
  wasPositive: boolean;
}

/**
 * What a model's answer for an image means: class, confidence, and whether a person should look.
 *
 * The probabilities are calibrated, then corrected for the folder's share of the classes; threshold
 * and accept band are meant for these.
 */
export function judge(
  name: string,
  image: ClassifiedImage,
  { architecture, decision, data }: ModelCard,
  { change, threshold }: Pick<PriorShift, "change" | "threshold">,
): EvaluatedImage {
  const calibrated = calibrate(image.probabilities, decision.calibration);
  const probabilities = change ? correctProbabilities(calibrated, change) : calibrated;
  const probability = probabilities.at(-1)!;
  const label = decide(probabilities, threshold);
  const { acceptBand: band } = decision;
  const isSure = band !== null && (probability <= band.low || probability >= band.high);
  const { flags } = image;
  return {
    name,
    predicted: architecture.classes[label]!,
    probability,
    confidence: probabilities[label]!,
    decision: isSure && flags.length === 0 ? "accept" : "review",
    group: (data.groupPattern === null ? null : groupOf(name, data.groupPattern)) ?? "",
    flags: flags.join(" "),
    probability_uncorrected: calibrated.at(-1)!,
    wasPositive: decide(calibrated, decision.threshold) === architecture.classes.length - 1,
  };
}

/** Images that are shown of each kind. */
const FIRST = 10;

const ERRORS = 100;

/** Groups that are counted one by one; images of further ones count as those without a group. */
const MOST_GROUPS = 100_000;

/** Bins of {@linkcode Tally.probabilities}. */
const PROBABILITY_BINS = 20;

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

/** A labelled image with its answer. */
interface LabelledAnswer {
  /** Relative to the folder of new images. */
  name: string;
  /** Class folder name. */
  predicted: string;
  /** Of the positive class, 0 to 1. */
  probability: number;
  /** Patient or slide by the model's pattern; empty: not known. */
  group: string;
}

/** Collects what a labelled folder is scored on. */
export interface LabelledSample {
  add(answer: LabelledAnswer, label: FolderLabel): void;
  /** In the order in which they were added, as far as they were kept. */
  sample(): ScoredSample;
  /** Labelled images that were added, those that were not kept included. */
  total(): number;
}

/** Images that are scored at most: accuracy is then known within 0.3 %, in three seconds. */
const MOST_SCORED = 20_000;

interface Row {
  label: 0 | 1;
  predicted: 0 | 1;
  probability: number;
  group: string;
}

/**
 * A sample of bounded size: of more images than `most` every one has the same chance to be in it
 * (reservoir sampling, Vitter 1985, algorithm R).
 *
 * @param classes The model's; the last one is the positive class.
 */
export function createLabelledSample(
  classes: readonly string[],
  { seed, most = MOST_SCORED }: { seed: string | number; most?: number },
): LabelledSample {
  const { indexOf } = positiveClass(classes);
  const random = createRandom(`${seed}/labelled sample`);
  const kept: { turn: number; row: Row }[] = [];
  let added = 0;
  return {
    add: ({ name, predicted, probability, group }, { label, group: written }) => {
      const place = kept.length < most ? kept.length : random.integer(added + 1);
      const turn = added++;
      if (place >= most) return;
      const row: Row = {
        label: indexOf(label),
        predicted: indexOf(predicted),
        probability,
        group: written ?? (group === "" ? name : group),
      };
      kept[place] = { turn, row };
    },
    sample: () => {
      const rows = kept.toSorted((a, b) => a.turn - b.turn).map(({ row }) => row);
      return {
        labels: rows.map(({ label }) => label),
        predicted: rows.map(({ predicted }) => predicted),
        probabilities: rows.map(({ probability }) => probability),
        groups: rows.map(({ group }) => group),
        seed,
      };
    },
    total: () => added,
  };
}

/** The columns of evaluation_details.csv. */
export const DETAILS_COLUMNS = [
  "name",
  "predicted",
  "probability",
  "confidence",
  "decision",
  "group",
  "flags",
  "probability_uncorrected",
] as const satisfies (keyof EvaluatedImage)[];

/** The columns of evaluation_groups.csv. */
const GROUPS = ["group", "n", "positive", "share", "low", "high", "corrected_share"] as const;

function groupRow({ group, n, positive, share, interval, corrected }: GroupShare) {
  const { low, high } = interval;
  return { group, n, positive, share, low, high, corrected_share: corrected.share };
}

/**
 * Writes the four files, each atomically; evaluation.csv last, so that it speaks for all. Memory
 * does not grow with the number of images.
 *
 * @param verdicts Begins anew each time it is called: once a file.
 */
export async function writeEvaluation(
  files: EvaluationFiles,
  shares: GroupShares,
  verdicts: () => AsyncIterable<Verdict>,
): Promise<void> {
  await writeCsv(files.groups, GROUPS, [...shares.rows, shares.all].map(groupRow));
  await writeCsv(files.errors, ["name", "error"], unreadable(verdicts()));
  await writeCsv(files.details, DETAILS_COLUMNS, evaluated(verdicts()));
  await writeCsv(files.evaluation, ["name", "ground_truth"], answers(verdicts()));
}

/** The images that were classified. */
export async function* evaluated(
  verdicts: AsyncIterable<Verdict>,
): AsyncGenerator<
  EvaluatedImage & Record<typeof DETAILS_COLUMNS[number], string | number>,
  void,
  void
> {
  for await (const verdict of verdicts) if (!("error" in verdict)) yield verdict;
}

async function* unreadable(
  verdicts: AsyncIterable<Verdict>,
): AsyncGenerator<{ name: string; error: string }, void, void> {
  for await (const verdict of verdicts) if ("error" in verdict) yield verdict;
}

async function* answers(
  verdicts: AsyncIterable<Verdict>,
): AsyncGenerator<{ name: string; ground_truth: string }, void, void> {
  for await (const { name, predicted } of evaluated(verdicts)) {
    yield { name, ground_truth: predicted };
  }
}
