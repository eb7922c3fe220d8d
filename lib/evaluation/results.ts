import { realpath } from "node:fs/promises";
import { dirname, join } from "node:path";
import { DataError } from "../core/errors.ts";
import { type OnProgress, type StopRequested, throwIfStopped } from "../core/long_work.ts";
import { folderLabels } from "../data/labels.ts";
import { describeSkipped, type Skipped } from "../data/list.ts";
import type { ScoredSample } from "../metrics/scores.ts";
import type { Model } from "../model/model.ts";
import type { Flagger } from "../model/reference.ts";
import {
  type EvaluationFiles,
  readReviewLists,
  reviewCsv,
  writeEvaluation,
  writeList,
  writeSummary,
} from "../run/evaluation_files.ts";
import type { ModelCard } from "../run/model_card.ts";
import { type Exports, type Format, type SlidePlace, writeExports } from "./export.ts";
import {
  describeExternal,
  type ExternalScores,
  externalScores,
  type LabelledImage,
  NO_EXTERNAL_SCORES,
  NO_TEST_SCORES,
  scoredSample,
} from "./external.ts";
import { addScore, createScoreSummary } from "./folder_scores.ts";
import { decidePriorShift, type PriorShift, type PriorShiftInput } from "./prior_shift.ts";
import { describeShare, type GroupShares, groupShares } from "./shares.ts";
import {
  count,
  createReviewQueue,
  createSample,
  createTally,
  type Outcome,
  postprocess,
  type QueuedImage,
  type Sample,
  type Tally,
} from "./tally.ts";
import {
  BATCH_SIZE,
  batchCount,
  type Shard,
  type Source,
  type StoredImage,
  type WorkFile,
} from "./work.ts";

/** What `evaluateFolder` needs to know. */
export interface EvaluationOptions {
  /** Absolute path of the new images. */
  folder: string;
  /** `config.evaluation.followLinks`; by default links are not followed. */
  followLinks?: boolean | undefined;
  /** Absolute path of the model folder; classes and preprocessing come from it. */
  modelFolder: string;
  /** The model of that folder, if it is loaded already: it is neither consumed nor disposed. */
  loaded?: { model: Model; card: ModelCard } | undefined;
  /** Absolute path of evaluation.csv; the other files go beside it. */
  out: string;
  /** `config.evaluation.priorShift`; by default "auto". */
  priorShift?: PriorShiftInput["setting"] | undefined;
  /** Evaluates this part alone, to be merged later. */
  shard?: Shard | undefined;
  /** Joins the parts that are there, and evaluates nothing. */
  merge?: boolean | undefined;
  /** Overwrites an evaluation of another folder or model. */
  force?: boolean | undefined;
  /** Formats to be written beside the CSVs. */
  formats?: readonly Format[] | undefined;
  /** The test images to compare a labelled folder with; `null` when there are none of this model. */
  internal?: ((card: ModelCard) => Promise<ScoredSample | null>) | undefined;
  /** Absolute path of a CSV that tells where on their slides the crops are. */
  sidecar?: string | undefined;
  onProgress?: OnProgress | undefined;
}

/** What became of a folder. */
export interface Evaluation extends Tally {
  /**
   * `finished`: every image found is in evaluation.csv or evaluation_errors.csv. `stopped`: the
   * person did; run again to go on. `part`: a shard is done. Of the latter two no CSV is written.
   */
  state: "finished" | "stopped" | "part";
  /** Images found: classified, unreadable, and those not yet looked at or in other parts. */
  images: number;
  /** Images whose results an earlier, interrupted evaluation had left. */
  resumed: number;
  /** Why an earlier evaluation's work could not be used; `null`: it was, or there was none. */
  restarted: WorkFile["restarted"];
  /** Images a second, in this evaluation; `null`: none was classified now. */
  imagesPerSecond: number | null;
  /** Files that are no images by their names. */
  skipped: Skipped;
  card: ModelCard;
  /** What was decided about the prevalence; `null`: not all images are there yet. */
  priorShift: PriorShift | null;
  /** The share of positive images in each patient or slide, and in all. */
  shares: GroupShares;
  /** Those that need a review most; `flags`: whether it is known what is usual. */
  queue: { first: QueuedImage[]; flags: boolean };
  /** Scores where the folder tells the true classes; `null`: they were not asked for, or not yet. */
  external: { scores: ExternalScores | null; text: string } | null;
  files: EvaluationFiles;
  exports: Exports;
}

/** The images of a folder, as they were when it was listed. */
export interface Listing {
  /** Paths relative to the folder, in code-point order. */
  names: string[];
  /** Of all names, sizes and times of change. */
  sha256: string;
  skipped: Skipped;
  /** Real paths of the folders elsewhere that links led to. */
  outside: readonly string[];
}

/** What is known once the folder is listed and the model loaded. */
export interface Setting {
  options: EvaluationOptions;
  files: EvaluationFiles;
  listing: Listing;
  model: Model;
  card: ModelCard;
  /** Says what is unusual about an image; `null`: it is not known what is usual. */
  flagger: Flagger | null;
  /** SHA-256 of what the flagger learnt from. */
  reference: string | null;
  /** Where crops are on their slides; `null`: no annotations are wanted. */
  places: Map<string, SlidePlace> | null;
  stopRequested: StopRequested;
}

/** Of all that is drawn at random: the same results give the same numbers. */
const SEED = "evaluation";

const SHOWN = 8;

/**
 * Puts the results that are there together; writes them when they are all there.
 *
 * @throws {DataError} When an image has no result although all should.
 * @throws {StoppedError} When the person has asked to stop.
 */
export async function finish(
  setting: Setting,
  sources: readonly Source[],
  done: Pick<Evaluation, "state" | "resumed" | "restarted" | "imagesPerSecond">,
): Promise<Evaluation> {
  const { options, files, listing, card, stopRequested } = setting;
  const { classes } = card.architecture;
  const finished = done.state === "finished";
  const mayStop = finished ? stopRequested : () => false; // it has, and wants to see what there is
  const results = () => readResults(listing.names, sources, mayStop);

  const priorShift = finished ? await findPriorShift(results(), card, options) : null;
  const correction = priorShift ?? { change: null, threshold: card.decision.threshold };
  const outcomeOf = ({ name, image }: Result): Outcome =>
    "error" in image ? { name, error: image.error } : postprocess(name, image, card, correction);

  const tally = createTally(classes);
  const queue = createReviewQueue(correction.threshold);
  const isScored = finished && options.internal !== undefined;
  const labelOf = isScored ? await folderLabels(options.folder, listing.names, classes) : null;
  const labelled = createSample<LabelledImage>({ seed: SEED });
  for await (const result of results()) {
    const outcome = outcomeOf(result);
    count(tally, outcome, correction.threshold);
    if ("error" in outcome || "error" in result.image) continue;
    const { name, predicted, probability, group, decision } = outcome;
    if (decision === "review") queue.add({ ...outcome, flags: result.image.flags });
    const known = labelOf?.(name);
    if (!known) continue;
    // what the folder tells of groups goes before the pattern of the model
    const ownGroup = known.group ?? (group === "" ? name : group);
    labelled.add({ label: known.label, predicted, probability, group: ownGroup });
  }

  const evaluation: Evaluation = {
    ...tally,
    ...done,
    images: listing.names.length,
    skipped: listing.skipped,
    card,
    priorShift,
    shares: groupShares([...tally.groups.values()], card.decision.validation),
    queue: { first: queue.rows().slice(0, SHOWN), flags: setting.flagger !== null },
    external: isScored ? await scoreLabelled(labelled, setting, tally.classified) : null,
    files,
    exports: { files: [], withoutPlace: 0 },
  };
  if (!finished) return evaluation;
  return await write(evaluation, setting, queue.rows(), async function* () {
    for await (const result of results()) yield outcomeOf(result);
  });
}

/** Writes all files; evaluation.csv last. @param outcomes Begins anew each time it is called. */
async function write(
  evaluation: Evaluation,
  { options, files, listing, card, places }: Setting,
  queue: readonly QueuedImage[],
  outcomes: () => AsyncIterable<Outcome>,
): Promise<Evaluation> {
  const { images, classified, unreadable, review, classes, skipped, shares } = evaluation;
  const missing = images - classified - unreadable;
  if (missing > 0) {
    throw new DataError(
      `${missing} images have no result in ${files.parts}.`,
      "Remove that folder and evaluate again.",
    );
  }
  const exports = await writeExports(options.out, outcomes, {
    formats: options.formats ?? [],
    places,
    classes: card.architecture.classes,
  });
  const list = await writeList(files.review, reviewCsv(queue), await readReviewLists(files));
  await writeSummary(files, {
    folder: await realpath(options.folder),
    listing_sha256: listing.sha256,
    model: { run: card.run, created: card.created, weights_sha256: card.weights.sha256 },
    decision: card.decision,
    class_share: evaluation.priorShift && summarise(evaluation.priorShift),
    positive_share: { ...shares.all, text: shares.text },
    external: evaluation.external,
    ...{ images, classified, unreadable, review, classes, skipped },
    exports: exports.files,
    images_per_second: evaluation.imagesPerSecond,
    review_lists: list.written,
  });
  const groups = [...shares.rows, shares.all]
    .map(({ interval: { low, high }, corrected: { share: corrected_share }, ...row }) => {
      const { group, n, positive, share } = row;
      return { group, n, positive, share, low, high, corrected_share };
    });
  await writeEvaluation(files, groups, outcomes);
  const written = { ...files, review: join(dirname(files.review), list.file) };
  return { ...evaluation, exports, files: written };
}

function summarise({ anotherShift, moved, leastGain, ...shift }: PriorShift) {
  return { ...shift, another_shift: anotherShift, scores_moved: moved, least_gain: leastGain };
}

type Result = { name: string; image: StoredImage };

/**
 * The results that sources hold, in the order of the names; images without one are passed over.
 * Memory holds a batch, which at most one of the sources has.
 */
async function* readResults(
  names: readonly string[],
  sources: readonly Source[],
  stopRequested: StopRequested,
): AsyncGenerator<Result, void, void> {
  for (let batch = 0; batch < batchCount(names.length); batch++) {
    throwIfStopped(stopRequested);
    const images = await sources.find((source) => source.has(batch))?.read(batch) ?? [];
    yield* images.map((image, i) => ({ name: names[BATCH_SIZE * batch + i]!, image }));
  }
}

/** A first pass over all results: whether the folder has another prevalence. */
async function findPriorShift(
  results: AsyncIterable<Result>,
  card: ModelCard,
  { priorShift: setting = "auto" }: EvaluationOptions,
): Promise<PriorShift | null> {
  const { decision, architecture: { classes } } = card;
  const uncorrected = { change: null, threshold: decision.threshold };
  const summary = createScoreSummary(decision.threshold);
  let unlike = 0;
  for await (const { name, image } of results) {
    if ("error" in image) continue;
    const { probability, group } = postprocess(name, image, card, uncorrected);
    addScore(summary, probability, group);
    if (image.flags.length > 0) unlike += 1;
  }
  if (summary.n === 0) return null;
  return decidePriorShift({ setting, summary, decision, classes, unlike, seed: SEED });
}

/** The scores of a folder that tells the true classes, beside those of the test images. */
async function scoreLabelled(
  labelled: Sample<LabelledImage>,
  { options, card }: Setting,
  classified: number,
): Promise<Evaluation["external"]> {
  const total = labelled.total();
  if (total === 0) return { scores: null, text: NO_EXTERNAL_SCORES };
  const internal = await options.internal!(card);
  if (!internal) return { scores: null, text: NO_TEST_SCORES };
  const external = scoredSample(labelled.rows(), card.architecture.classes, SEED);
  const scores = await externalScores(internal, external);
  return { scores, text: describeExternal(scores, { labelled: total, classified }) };
}

/** How to follow links, in words. */
export const HOW_TO_FOLLOW = "evaluation.followLinks: true, or --follow-links";

const RESTARTED = {
  folder: "The folder has changed since the evaluation that was interrupted",
  model: "The model is another than that of the earlier evaluation",
  damaged: "What an earlier evaluation had left was damaged",
} as const;

/** What became of an evaluation, in a few sentences: one a line. */
export function describeEvaluation(evaluation: Evaluation): string[] {
  const { classified, unreadable, resumed, restarted, state, files, skipped, exports } = evaluation;
  const n = (count: number) => count.toLocaleString("en-GB");
  const lines: string[] = [];
  if (restarted !== null) lines.push(`${RESTARTED[restarted]}: all was begun anew.`);
  if (resumed > 0 && evaluation.imagesPerSecond !== null) {
    lines.push(`${n(resumed)} images had been classified before.`);
  }
  lines.push(
    `${n(classified)} images classified, ${n(evaluation.review)} of them to be reviewed; ` +
      `${n(unreadable)} could not be read.`,
  );
  const passedOver = describeSkipped(skipped);
  const links = skipped.links > 0
    ? ` Links are followed with ${HOW_TO_FOLLOW}, except to what is listed already.`
    : "";
  if (passedOver) lines.push(`In the folder: ${passedOver}.${links}`);
  if (state === "stopped") {
    lines.push(
      `Stopped after ${n(classified + unreadable)} of ${n(evaluation.images)} images: no CSV is ` +
        "written yet. Run this again to go on.",
    );
  } else if (state === "part") {
    lines.push(`This part is done, in ${files.parts}. Join the parts with --merge.`);
  } else lines.push(files.evaluation, ...exports.files);
  if (state === "finished" && classified > 0) {
    const positive = evaluation.card.architecture.classes.at(-1)!.replaceAll("_", " ");
    lines.push(`“${positive}”: ${describeShare(evaluation.shares.all)}`);
  }
  if (exports.withoutPlace > 0) {
    lines.push(`The sidecar gives no place for ${n(exports.withoutPlace)} images.`);
  }
  return lines;
}
