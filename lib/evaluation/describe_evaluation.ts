import { describeSkipped } from "../data/describe_skipped.ts";
import { describeShare } from "./describe_share.ts";
import type { Evaluation } from "./evaluation.ts";
import { HOW_TO_FOLLOW } from "./list_folder.ts";

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
