import type { Config } from "../core/settings.ts";
import { describeEvaluation, type Evaluation } from "../evaluation/results.ts";
import { describeAugmentations, isAugmented } from "../images/views.ts";
import type { ReviewRun } from "../metrics/review.ts";
import type { TrainedRun } from "../training/training.ts";
import { classLabel, counted } from "./card.ts";
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
      "Balanced sampling: every class is as frequent in training as the others. Scores on the " +
        "training images are of that prevalence, and the model gives rarer classes higher " +
        "probabilities than their true prevalence warrants.",
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
    notices.push(notice("This run was already trained with these settings: nothing was to do."));
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
  const { note, kind } = startingWeights;
  return [...notices, notice(`Started from: ${note}.`, kind === "random" ? "warning" : "info")];
}

/** How labels are corrected, what became of a person's own lists, and what corrections changed. */
export function reviewNotices(
  { file, edited, howTo, corrections, pending, mistakes, uncertain }: Pick<
    ReviewRun,
    "file" | "edited" | "howTo" | "corrections" | "pending" | "mistakes" | "uncertain"
  >,
): Displayable[] {
  const listed = mistakes.length + uncertain.length;
  const notices = [notice(`${listed} images to review are listed in ${file}. ${howTo}`)];
  if (edited.length > 0) {
    notices.push(notice(
      `Left as they are, because they were edited or not written by this run: ${
        edited.join(", ")
      }. The new list is ${file}.`,
      "warning",
    ));
  }
  if (corrections) {
    const changes = corrections.changes.map(({ path, before, after, predicted }) => ({
      path,
      before: classLabel(before),
      now: after === null ? "left out" : classLabel(after),
      "predicted then": classLabel(predicted),
    }));
    notices.push(
      notice(corrections.sentence),
      htmlTable(changes, { caption: "Corrected labels of test images" }),
    );
  }
  if (pending > 0) {
    notices.push(notice(
      `${counted(pending, "label")} of labels.csv ${pending === 1 ? "is" : "are"} not in this ` +
        "split yet: the scores above are with the old ones. Run notebooks 02 to 06 again.",
      "warning",
    ));
  }
  return notices;
}

/**
 * What became of an evaluation, and what was done about another prevalence: a warning where
 * something else differs from the images that the model knows.
 */
export function evaluationNotices(evaluation: Evaluation): Displayable[] {
  const { state, priorShift } = evaluation;
  const lines = describeEvaluation(evaluation).join("\n");
  return [
    notice(lines, state === "stopped" ? "warning" : "info"),
    ...(priorShift ? [notice(priorShift.text, priorShift.anotherShift ? "warning" : "info")] : []),
  ];
}
