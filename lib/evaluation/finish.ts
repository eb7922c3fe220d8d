import { realpath } from "node:fs/promises";
import { dirname, join } from "node:path";
import { DataError } from "../errors.ts";
import { writeJson } from "../files.ts";
import type { ModelCard } from "../model/model_card.ts";
import type { StopRequested } from "../stop.ts";
import type { Evaluation, EvaluationOptions } from "./evaluation.ts";
import { writeList } from "../metrics/review/write_list.ts";
import { type EvaluationFiles, readReviewLists } from "./evaluation_files.ts";
import type { SlidePlace } from "./export/sidecar.ts";
import { writeExports } from "./export/write_exports.ts";
import { describeExternal, NO_EXTERNAL_SCORES, NO_TEST_SCORES } from "./describe_external.ts";
import { externalScores } from "./external_scores.ts";
import { folderLabels } from "./folder_labels.ts";
import { groupShares } from "./group_shares.ts";
import { judge } from "./judge.ts";
import type { Listing } from "./list_folder.ts";
import { createLabelledSample, type LabelledSample } from "./labelled_sample.ts";
import { readResults, type Result } from "./results.ts";
import { decidePriorShift, type PriorShift } from "./prior_shift/decide_prior_shift.ts";
import { addScore, createScoreSummary } from "./prior_shift/score_summary.ts";
import { createReviewQueue, reviewCsv } from "./review_queue.ts";
import { count, createTally, type Verdict } from "./tally.ts";
import type { Source } from "./work_file.ts";
import { writeEvaluation } from "./write_evaluation.ts";

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
