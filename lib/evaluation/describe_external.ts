import type { ExternalScores, ScoreDrop } from "./external_scores.ts";

/** Said where a folder tells no true class. */
export const NO_EXTERNAL_SCORES =
  "No new-folder scores: the folder has neither class folders nor a labels.csv.";

/** Said where there is nothing to compare with. */
export const NO_TEST_SCORES =
  "No new-folder scores: notebook 06 has not been run for this model, so there are no test scores " +
  "to compare with.";

/**
 * What was compared with what, in words.
 *
 * @param counts `labelled`: images with a label; `classified`: all that have an answer.
 */
export function describeExternal(
  { internal, external, drops }: ExternalScores,
  { labelled, classified }: { labelled: number; classified: number },
): string {
  const sampled = labelled > external.images
    ? `, drawn at random from ${labelled} that have a label`
    : "";
  const unlabelled = classified > labelled ? `; ${classified - labelled} have no label` : "";
  return [
    `Scored on ${external.images} new images${sampled}${unlabelled}, ` +
    `${external.positives} of them positive, beside ${internal.images} test images ` +
    `(${internal.positives} positive).`,
    describeRanking(drops.find(({ name }) => name === "roc_auc")!),
  ].join(" ");
}

function describeRanking({ low, high, reason }: ScoreDrop): string {
  if (low === null || high === null) return "Whether the ranking is worse on them cannot be told.";
  const is = reason === undefined ? "is" : "seems"; // a part of the uncertainty is left out
  if (low > 0) return `The ranking (ROC AUC) ${is} worse on them.`;
  if (high < 0) return `The ranking (ROC AUC) ${is} better on them.`;
  return "The ranking (ROC AUC) is not shown to be another on them.";
}
