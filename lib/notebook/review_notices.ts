import type { ReviewRun } from "../metrics/review/review_run.ts";
import type { Displayable } from "./displayable.ts";
import { notice } from "./notice.ts";
import { htmlTable } from "./table.ts";
import { classLabel } from "./theme.ts";

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
