import { createHash } from "node:crypto";
import { realpath } from "node:fs/promises";
import { dirname, join } from "node:path";
import { DataError } from "../core/errors.ts";
import { writeJson } from "../core/files.ts";
import { breathe, type OnProgress, type StopRequested, throwIfStopped } from "../core/stop.ts";
import { folderLabels } from "../data/labels.ts";
import { describeSkipped, listImages, type Skipped } from "../data/list.ts";
import type { ScoredSample } from "../metrics/scores.ts";
import { type EvaluationFiles, readReviewLists, writeList } from "../run/evaluation_files.ts";
import type { ModelCard } from "../run/model_card.ts";
import {
  count,
  createLabelledSample,
  createTally,
  judge,
  type LabelledSample,
  type Tally,
  type Verdict,
  writeEvaluation,
} from "./answers.ts";
import { type Exports, type Format, type SlidePlace, writeExports } from "./export.ts";
import {
  describeExternal,
  type ExternalScores,
  externalScores,
  NO_EXTERNAL_SCORES,
  NO_TEST_SCORES,
} from "./external.ts";
import { createReviewQueue, reviewCsv, type ReviewImage } from "./queue.ts";
import { addScore, createScoreSummary } from "./score_summary.ts";
import { describeShare, type GroupShares, groupShares } from "./shares.ts";
import { decidePriorShift, type PriorShift, type PriorShiftInput } from "./shift.ts";
import {
  BATCH_SIZE,
  batchCount,
  type Shard,
  type Source,
  type StoredImage,
  type WorkFile,
} from "./work.ts";

/** What is known once the folder is listed and the model loaded. */
export interface Setting {
  options: EvaluationOptions;
  files: EvaluationFiles;
  listing: Listing;
  card: ModelCard;
  /** SHA-256 of what tells unusual images; `null`: it is not known what is usual. */
  reference: string | null;
  places: Map<string, SlidePlace> | null;
  stopRequested: StopRequested;
}

/** What was done before the results were put together. */
export type Done = Pick<Evaluation, "state" | "resumed" | "restarted" | "imagesPerSecond">;

/** Judges the results there are; writes them when they are all there. */
export async function finish(
  setting: Setting,
  sources: readonly Source[],
  done: Done,
): Promise<Evaluation> {
  const { options, files, listing, card, places, stopRequested } = setting;
  const finished = done.state === "finished";
  const mayStop = finished ? stopRequested : () => false; // it has, and wants to see what there is
  const results = () => readResults(listing.names, sources, mayStop);
  const priorShift = finished ? await lookAtShare(results(), card, options) : null;
  const answers = priorShift ?? { change: null, threshold: card.decision.threshold };
  async function* verdicts(): AsyncGenerator<Verdict, void, void> {
    for await (const result of results()) {
      yield "error" in result ? failure(result) : judge(result.name, result, card, answers);
    }
  }
  const { classes } = card.architecture;
  const tally = createTally(classes);
  const queue = createReviewQueue(answers.threshold);
  const labelled = finished && options.internal ? await labelledImages(setting) : null;
  for await (const result of results()) {
    if ("error" in result) {
      count(tally, failure(result), answers.threshold);
      continue;
    }
    const verdict = judge(result.name, result, card, answers);
    count(tally, verdict, answers.threshold);
    if (verdict.decision === "review") queue.add({ ...verdict, flags: result.flags });
    const label = labelled?.labelOf(verdict.name);
    if (label) labelled!.sample.add(verdict, label);
  }
  const external = finished && options.internal
    ? await scoreLabelled(labelled?.sample ?? null, setting, tally.classified)
    : null;
  const images = listing.names.length;
  const shares = groupShares([...tally.groups.values()], card.decision.validation);
  const { skipped } = listing;
  const flags = setting.reference !== null;
  const review = { first: queue.rows().slice(0, SHOWN), flags };
  const evaluation = {
    ...{ ...tally, ...done, images, skipped, card, priorShift, shares, external, files },
    queue: review,
  };
  if (!finished) return { ...evaluation, exports: { files: [], withoutPlace: 0 } };
  if (tally.classified + tally.unreadable !== images) {
    throw new DataError(
      `${images - tally.classified - tally.unreadable} images have no result in ${files.parts}.`,
      "Remove that folder and evaluate again.",
    );
  }
  const formats = options.formats ?? [];
  const exports = await writeExports(options.out, verdicts, { formats, places, classes });
  const list = await writeList(files.review, reviewCsv(queue), await readReviewLists(files));
  const summary = await summarise(options, { ...evaluation, exports }, listing);
  await writeJson(files.summary, { ...summary, review_lists: list.written });
  await writeEvaluation(files, shares, verdicts);
  const written = { ...files, review: join(dirname(files.review), list.file) };
  return { ...evaluation, exports, files: written };
}

/** What evaluation_errors.csv has of an image. */
function failure({ name, error }: { name: string; error: string }): Verdict {
  return { name, error };
}

/** Images of the review queue that are shown. */
const SHOWN = 8;

async function labelledImages({ options, listing, card }: Setting) {
  const { classes } = card.architecture;
  const labelOf = await folderLabels(options.folder, listing.names, classes);
  return labelOf && { labelOf, sample: createLabelledSample(classes, { seed: "evaluation" }) };
}

/** The scores of a folder that tells the true classes, beside those of the test images. */
async function scoreLabelled(
  sample: LabelledSample | null,
  { options, card }: Setting,
  classified: number,
): Promise<Evaluation["external"]> {
  if (!sample || sample.total() === 0) return { scores: null, text: NO_EXTERNAL_SCORES };
  const internal = await options.internal!(card);
  if (!internal) return { scores: null, text: NO_TEST_SCORES };
  const scores = await externalScores(internal, sample.sample());
  return { scores, text: describeExternal(scores, { labelled: sample.total(), classified }) };
}

/** A first pass over all results: whether the folder has another share of the classes. */
async function lookAtShare(
  results: AsyncIterable<Result>,
  card: ModelCard,
  { priorShift: setting = "auto" }: EvaluationOptions,
): Promise<PriorShift | null> {
  const asTheyAre = { change: null, threshold: card.decision.threshold };
  const summary = createScoreSummary(card.decision.threshold);
  let unlike = 0;
  for await (const result of results) {
    if ("error" in result) continue;
    const { probability, group, flags } = judge(result.name, result, card, asTheyAre);
    addScore(summary, probability, group);
    if (flags !== "") unlike += 1;
  }
  if (summary.n === 0) return null;
  const { decision, architecture: { classes } } = card;
  return decidePriorShift({ setting, summary, decision, classes, unlike, seed: "evaluation" });
}

/** What evaluation_summary.json says. */
async function summarise(
  { folder }: EvaluationOptions,
  { card, priorShift, shares, external, classes, exports, ...evaluation }: Evaluation,
  listing: Listing,
): Promise<Record<string, unknown>> {
  return {
    folder: await realpath(folder),
    listing_sha256: listing.sha256,
    model: { run: card.run, created: card.created, weights_sha256: card.weights.sha256 },
    decision: card.decision,
    class_share: priorShift && {
      reason: priorShift.reason,
      change: priorShift.change,
      threshold: priorShift.threshold,
      estimate: priorShift.estimate,
      another_shift: priorShift.anotherShift,
      scores_moved: priorShift.moved,
      least_gain: priorShift.leastGain,
      text: priorShift.text,
    },
    positive_share: { ...shares.all, text: shares.text },
    external,
    images: evaluation.images,
    classified: evaluation.classified,
    unreadable: evaluation.unreadable,
    review: evaluation.review,
    classes,
    skipped: evaluation.skipped,
    exports: exports.files,
    images_per_second: evaluation.imagesPerSecond,
  };
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
  /** What was decided about the share of classes; `null`: not all images are there yet. */
  priorShift: PriorShift | null;
  /** The share of positive images in each patient or slide, and in all. */
  shares: GroupShares;
  /** Those that need a person's look most; `flags`: whether it is known what is usual. */
  queue: { first: (ReviewImage & { need: number })[]; flags: boolean };
  /** Scores where the folder tells the true classes; `null`: they were not asked for, or not yet. */
  external: { scores: ExternalScores | null; text: string } | null;
  files: EvaluationFiles;
  exports: Exports;
}

/** What {@linkcode evaluateFolder} needs to know. */
export interface EvaluationOptions {
  /** Absolute path of the new images. */
  folder: string;
  /** `config.evaluation.followLinks`; by default links are not followed. */
  followLinks?: boolean | undefined;
  /** Absolute path of the model folder; classes and preprocessing come from it. */
  modelFolder: string;
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
  /** Layouts to be written beside the CSVs. */
  formats?: readonly Format[] | undefined;
  /** The test images to compare a labelled folder with; `null` when there are none of this model. */
  internal?: ((card: ModelCard) => Promise<ScoredSample | null>) | undefined;
  /** Absolute path of a CSV that tells where on their slides the crops are. */
  sidecar?: string | undefined;
  onProgress?: OnProgress | undefined;
}

/** What became of the image with this name. */
type Result = StoredImage & { name: string };

/**
 * The results that sources hold, in the order of the names; images without one are passed over.
 * Memory holds a batch.
 *
 * @param sources At most one of them has a batch.
 * @throws {StoppedError} When the person has asked to stop.
 */
async function* readResults(
  names: readonly string[],
  sources: readonly Source[],
  stopRequested: StopRequested,
): AsyncGenerator<Result, void, void> {
  for (let batch = 0; batch < batchCount(names.length); batch++) {
    throwIfStopped(stopRequested);
    const source = sources.find((source) => source.has(batch));
    if (!source) continue;
    const images = await source.read(batch);
    for (const [i, image] of images.entries()) {
      yield { name: names[BATCH_SIZE * batch + i]!, ...image };
    }
  }
}

/** The images of a folder, as they were when it was listed. */
interface Listing {
  /** Paths relative to the folder, in code-point order. */
  names: string[];
  /** SHA-256 of all names, sizes and times of change: tells whether the folder is still the same. */
  sha256: string;
  skipped: Skipped;
  /** Real paths of the folders elsewhere that links led to. */
  outside: readonly string[];
}

/** Files that are looked at between two breaths. */
const AT_A_TIME = 512;

/** What {@linkcode listFolder} needs to know. */
interface ListOptions {
  /** Absolute path. */
  folder: string;
  /** `config.evaluation.followLinks`. */
  followLinks?: boolean | undefined;
  onProgress?: OnProgress | undefined;
}

/**
 * Lists a folder of new images. Memory holds the names: about 0.1 kB an image.
 *
 * @param options.onProgress Told now and then, in large folders alone.
 * @throws {DataError} When the folder is missing or holds no image.
 * @throws {StoppedError} When the person has asked to stop.
 */
export async function listFolder(
  { folder, followLinks = false, onProgress }: ListOptions,
  stopRequested: StopRequested,
): Promise<Listing> {
  const { paths: names, skipped, outside } = await listImages(folder, { followLinks });
  if (names.length === 0) throw noImage(folder, skipped, followLinks);
  const hash = createHash("sha256");
  for (let start = 0; start < names.length; start += AT_A_TIME) {
    const some = names.slice(start, start + AT_A_TIME);
    for (const name of some) hash.update(`${name}\0${describe(join(folder, name))}\0`);
    if (names.length <= AT_A_TIME) break;
    const done = start + some.length;
    throwIfStopped(stopRequested);
    onProgress?.(done, names.length, "", {
      place: `${done.toLocaleString("en-GB")} files looked at`,
      unit: "files",
    });
    await breathe();
  }
  return { names, sha256: hash.digest("hex"), skipped, outside };
}

function noImage(folder: string, skipped: Skipped, followLinks: boolean): DataError {
  const passedOver = describeSkipped(skipped);
  return new DataError(
    `There is no image in ${JSON.stringify(folder)}${passedOver && ` (${passedOver})`}.`,
    "Name a folder that holds .png, .jpg, .tif, .bmp or .webp files, at any depth" +
      (skipped.links > 0 && !followLinks ? `, or follow its links: ${HOW_TO_FOLLOW}.` : "."),
  );
}

/** How links come to be followed, in words. */
const HOW_TO_FOLLOW = "evaluation.followLinks: true, or --follow-links";

/** Size and time of change. Asked without waiting: a million asynchronous questions take minutes. */
function describe(path: string): string {
  try {
    const { size, mtime } = Deno.statSync(path);
    return `${size} ${mtime?.getTime()}`;
  } catch {
    return "cannot be looked at"; // reading it will say why
  }
}

const RESTARTED = {
  folder: "The folder has changed since the evaluation that was interrupted: all was begun anew.",
  model: "The model is another than that of the earlier evaluation: all was begun anew.",
  damaged: "What an earlier evaluation had left was damaged: all was begun anew.",
} as const;

const LINKS = ` Links are followed with ${HOW_TO_FOLLOW}, except to what is listed already.`;

/** What became of an evaluation, in a few sentences: one a line. */
export function describeEvaluation(evaluation: Evaluation): string[] {
  const { classified, unreadable, review, images, resumed, restarted, state, files, skipped } =
    evaluation;
  const n = (count: number) => count.toLocaleString("en-GB");
  const lines = [];
  if (restarted !== null) lines.push(RESTARTED[restarted]);
  if (resumed > 0 && evaluation.imagesPerSecond !== null) {
    lines.push(`${n(resumed)} images had been classified before.`);
  }
  lines.push(
    `${n(classified)} images classified, ${n(review)} of them to be reviewed; ` +
      `${n(unreadable)} could not be read.`,
  );
  const passedOver = describeSkipped(skipped);
  if (passedOver) lines.push(`In the folder: ${passedOver}.${skipped.links > 0 ? LINKS : ""}`);
  if (state === "stopped") {
    lines.push(
      `Stopped after ${n(classified + unreadable)} of ${
        n(images)
      } images: no CSV is written yet. ` +
        "Run this again to go on.",
    );
  } else if (state === "part") {
    lines.push(`This part is done, in ${files.parts}. Join the parts with --merge.`);
  } else lines.push(files.evaluation, ...evaluation.exports.files);
  if (state === "finished" && classified > 0) {
    const positive = evaluation.card.architecture.classes.at(-1)!.replaceAll("_", " ");
    lines.push(`“${positive}”: ${describeShare(evaluation.shares.all)}`);
  }
  const { withoutPlace } = evaluation.exports;
  if (withoutPlace > 0) lines.push(`The sidecar gives no place for ${n(withoutPlace)} images.`);
  return lines;
}
