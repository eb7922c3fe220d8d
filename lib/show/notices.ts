import type { Config } from "../core/settings.ts";
import { describeEvaluation, type Evaluation } from "../evaluation/results.ts";
import { describeAugmentations, isAugmented } from "../images/views.ts";
import type { ReviewRun } from "../metrics/review.ts";
import type { TrainedRun } from "../training/training.ts";
import { classLabel } from "./card.ts";
import { type Displayable, htmlTable, notice } from "./display.ts";

/** What a person should know before training with these settings; nothing for the default ones. */
export function trainingNotices(
  { augmentation, cachedViews, sampling }: Pick<
    Config["training"],
    "augmentation" | "cachedViews" | "sampling"
  >,
): Displayable[] {
  const notices: Displayable[] = [];
  if (isAugmented(augmentation)) {
    notices.push(notice(
      cachedViews === 0
        ? "Augmentation is on: every epoch sees the training images changed anew, so the frozen " +
          "layers run on every one of them in every epoch instead of once. An epoch takes much " +
          "longer; training.cachedViews keeps a number of views instead."
        : `Augmentation is on, with ${cachedViews} views of every image, which come in turn: the ` +
          "frozen layers run once on each, so the first epochs take longer.",
    ));
    const unsafe = describeAugmentations(augmentation)
      .filter(({ setting, safe }) => safe === "no" && !setting.startsWith("off"))
      .map((note) => `${note.augmentation} (${note.setting})`);
    if (unsafe.length > 0) {
      notices.push(notice(
        `Not safe for this tissue at this strength: ${unsafe.join(", ")}. Notebook 04 says why.`,
        "warning",
      ));
    }
  }
  if (sampling === "balanced") {
    notices.push(notice(
      "Balanced sampling: the training images seem to be of every class equally often. The scores " +
        "on them are of that mixture, and the model gives rarer classes higher probabilities than " +
        "their true share warrants.",
    ));
  }
  return notices;
}

/** What must be known about how a training went, besides its history. */
export function outcomeNotices(
  { history, resumedFrom, interrupted, cacheProblem, startingWeights }: Pick<
    TrainedRun,
    "history" | "resumedFrom" | "interrupted" | "cacheProblem" | "startingWeights"
  >,
): Displayable[] {
  const notices: Displayable[] = [];
  if (interrupted) {
    const place = history.length === 0
      ? "in its first epoch, before there was a model"
      : `after epoch ${history.length}`;
    notices.push(notice(
      `Stopped as you asked, ${place}. All is saved: run the training cell again to go on.`,
      "warning",
    ));
  } else if (resumedFrom === history.length) {
    notices.push(notice(
      "This run had already been trained with just these settings; nothing was left to do.",
    ));
  }
  if (resumedFrom > 0 && resumedFrom < history.length) {
    notices.push(notice(`An earlier training was continued after its epoch ${resumedFrom}.`));
  }
  if (cacheProblem !== null) {
    notices.push(notice(
      `Not all outputs of the frozen layers were kept, because ${cacheProblem}. The frozen layers were ` +
        "computed anew for those images in every epoch, which takes longer.",
      "warning",
    ));
  }
  notices.push(notice(
    `Started from: ${startingWeights.note}.`,
    startingWeights.kind === "random" ? "warning" : "info",
  ));
  return notices;
}

/** How labels are corrected, what became of a person's own lists, and what corrections changed. */
export function reviewNotices(
  review: Pick<
    ReviewRun,
    "file" | "edited" | "howTo" | "corrections" | "pending" | "mistakes" | "uncertain"
  >,
): Displayable[] {
  const { file, edited, howTo, corrections, pending } = review;
  const notices = [notice(
    `${review.mistakes.length + review.uncertain.length} images to look at again are listed in ` +
      `${file}. ${howTo}`,
  )];
  if (edited.length > 0) {
    notices.push(notice(
      `${edited.join(", ")} ${edited.length === 1 ? "has" : "have"} been edited, or not been ` +
        `written by this run, and was left as it is: the new list is ${file}.`,
      "warning",
    ));
  }
  if (corrections) {
    const changes = corrections.changes.map(({ path, before, after, predicted }) => ({
      path,
      before: classLabel(before),
      now: after === null ? "left out" : classLabel(after),
      "the model's answer then": classLabel(predicted),
    }));
    notices.push(
      notice(corrections.sentence),
      htmlTable(changes, { caption: "Corrected labels of test images" }),
    );
  }
  if (pending > 0) {
    notices.push(notice(
      `${pending} label${pending === 1 ? "" : "s"} of labels.csv ${
        pending === 1 ? "is" : "are"
      } not in this split yet: the scores above are with the old ones. Run notebooks 02 to 06 again.`,
      "warning",
    ));
  }
  return notices;
}

/**
 * What became of an evaluation, and what was done about another share of the classes: a warning where
 * something else than the share differs from the images that the model knows.
 */
export function evaluationNotices(evaluation: Evaluation): Displayable[] {
  const { state, priorShift } = evaluation;
  const lines = describeEvaluation(evaluation).join("\n");
  return [
    notice(lines, state === "stopped" ? "warning" : "info"),
    ...(priorShift ? [notice(priorShift.text, priorShift.anotherShift ? "warning" : "info")] : []),
  ];
}
