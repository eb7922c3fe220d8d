import type { TrainedRun } from "../training/train_run.ts";
import type { Displayable } from "./displayable.ts";
import { notice } from "./notice.ts";

/** What must be known about how a training went, besides its history. */
export function outcomeNotices(
  { history, resumedFrom, interrupted, notKept, startingWeights }: Pick<
    TrainedRun,
    "history" | "resumedFrom" | "interrupted" | "notKept" | "startingWeights"
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
  if (notKept !== null) {
    notices.push(notice(
      `Not all outputs of the frozen layers were kept, because ${notKept}. The frozen layers were ` +
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
