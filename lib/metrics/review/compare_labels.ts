import type { TestedImages } from "./review_record.ts";

/** A label that is another now. */
export interface LabelChange {
  path: string;
  before: string;
  /** `null`: the image is left out now. */
  after: string | null;
  /** What the model answered when the label was still the old one. */
  predicted: string;
}

/** What corrected labels change. */
export interface LabelComparison {
  /** In the order of the predictions. */
  changes: LabelChange[];
  /** Share of right answers before and after, 0 to 1; `null` when no image is left. */
  accuracy: { before: number; after: number | null };
  /** All of it in words. */
  sentence: string;
}

/**
 * What corrected labels make of predictions that were scored with the labels before.
 *
 * @param tested The predictions, with their labels as they were.
 * @param labelNow The label now of an image that had the one given; `null`: it is left out.
 * @param since Since when, or against what, as it follows on "3 labels corrected": "since …".
 * @returns `null` when no label has changed.
 */
export function compareLabels(
  tested: TestedImages["predictions"],
  labelNow: (path: string, label: string) => string | null,
  since: string,
): LabelComparison | null {
  const rows = tested.map((row) => ({ ...row, after: labelNow(row.path, row.label) }));
  const changed = rows.filter(({ label, after }) => after !== label);
  if (changed.length === 0) return null;
  const kept = rows.filter(({ after }) => after !== null);
  const before = rows.filter((row) => row.predicted === row.label).length / rows.length;
  const after = kept.length === 0
    ? null
    : kept.filter((row) => row.predicted === row.after).length / kept.length;
  const changes = changed.map(({ path, label, after, predicted }): LabelChange => ({
    path,
    before: label,
    after,
    predicted,
  }));
  const accuracy = { before, after };
  return { changes, accuracy, sentence: describe(changes, accuracy, rows.length, since) };
}

function describe(
  changes: readonly LabelChange[],
  { before, after }: LabelComparison["accuracy"],
  n: number,
  since: string,
): string {
  const leftOut = changes.filter((change) => change.after === null).length;
  const toAnswer = changes.filter((change) => change.after === change.predicted).length;
  const count = `${changes.length} label${changes.length === 1 ? "" : "s"}`;
  const out = leftOut > 0 ? ` (${leftOut} of them left out)` : "";
  const then = after === null
    ? "no image is left with the corrected ones"
    : `with the corrected ones ${after.toFixed(3)}`;
  const favour = after !== null && after > before
    ? " Whoever looks again mostly at what the model got wrong finds mostly errors that speak for " +
      "it: the second number flatters."
    : "";
  return `${count} corrected ${since}${out}, ${toAnswer} to what the model had answered. Its ` +
    `accuracy on those ${n} test images: with the old labels ${
      before.toFixed(3)
    }, ${then}.${favour}`;
}
