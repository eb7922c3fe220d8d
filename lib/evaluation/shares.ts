import { compareCodePoints, images, percent } from "../core/words.ts";
import {
  type CorrectedShare,
  correctedShare,
  effectiveSize,
  type KnownOutcomes,
  wilson,
} from "../metrics/intervals.ts";
import type { Interval } from "../run/metrics_file.ts";

/**
 * The predictions for the `n` images of one patient or slide, or of unknown ones (empty `group`):
 * those called positive, and before any correction for another prevalence (`uncorrected`).
 */
export type GroupCount = Record<"n" | "positive" | "uncorrected", number> & { group: string };

/** The share of positive images in a group. */
export interface GroupShare extends GroupCount {
  /** Of the images called positive, 0 to 1, with its 95 % interval; `null` without images. */
  share: number | null;
  interval: Interval;
  /** The true share behind the predictions, see `correctedShare`. */
  corrected: CorrectedShare;
}

/** The clinical number of a folder. */
export interface GroupShares {
  /** A row a group, those with the greatest share first. */
  rows: GroupShare[];
  /** Of all images. */
  all: GroupShare;
  /** How the numbers came about and what they assume, in plain words. */
  text: string;
}

/**
 * The share of positive images in each patient or slide and in all images. Intervals are Wilson's, of
 * all images for as many independent ones as groups are worth (`effectiveSize`). Corrected shares go
 * back to the predictions before any correction for another prevalence.
 *
 * @param counts A row a group.
 * @param known How often the model was right on validation (or test) images at that threshold.
 * @throws {RangeError} When more images of a group are called positive than it has.
 */
export function groupShares(
  counts: readonly GroupCount[],
  known: KnownOutcomes | null,
): GroupShares {
  const filled = counts.filter(({ n }) => n > 0);
  const rows = filled.map((count) => groupShare(count, count.n, count.n, known));
  rows.sort((a, b) => b.share! - a.share! || b.n - a.n || compareCodePoints(a.group, b.group));
  const sumOf = (name: "n" | "positive" | "uncorrected") =>
    filled.reduce((sum, count) => sum + count[name], 0);
  const [n, positive, uncorrected] = [sumOf("n"), sumOf("positive"), sumOf("uncorrected")];
  // images of unknown groups are no group, and nothing is known of how they belong together
  const groups = filled.every(({ group }) => group !== "") ? filled : [];
  const size = effectiveSize(groups);
  const sizeBefore = effectiveSize(groups.map((g) => ({ n: g.n, positive: g.uncorrected })));
  const total = { group: "", n, positive, uncorrected };
  const all = groupShare(total, size || n, sizeBefore || n, known);
  return { rows, all, text: describe(all, groups.length, known) };
}

/**
 * @param size How many independent images the predictions are worth.
 * @param sizeBefore The same of the predictions before a correction.
 */
function groupShare(
  count: GroupCount,
  size: number,
  sizeBefore: number,
  known: KnownOutcomes | null,
): GroupShare {
  const { n, positive, uncorrected } = count;
  const none = (reason: string) => ({ share: null, low: null, high: null, reason });
  if (n === 0) {
    const { share, ...interval } = none("there are no images");
    return { ...count, share, interval, corrected: { share, ...interval } };
  }
  return {
    ...count,
    share: positive / n,
    interval: wilson(positive / n * size, size),
    corrected: known
      ? correctedShare(uncorrected / n * sizeBefore, sizeBefore, known)
      : none("the model's sensitivity and specificity are not known: run notebook 06"),
  };
}

/** @param groups How many the interval of all images allows for; 0 or 1: none. */
function describe(all: GroupShare, groups: number, known: KnownOutcomes | null): string {
  const alike = groups > 1
    ? `; that of all images allows for images of one group being alike (${groups} groups)`
    : "";
  const share = `Share: images called positive, with Wilson's 95 % confidence interval${alike}.`;
  if (!known) return `${share} No corrected share: ${all.corrected.reason}.`;
  const { truePositives, falseNegatives, trueNegatives, falsePositives } = known;
  const found = `${truePositives} of ${truePositives + falseNegatives} found`;
  const leftAlone = `${trueNegatives} of ${trueNegatives + falsePositives} left alone`;
  const before = all.uncorrected === all.positive
    ? ""
    : " It goes back to the predictions before the correction for another prevalence, which these " +
      "rates are of.";
  return `${share} Corrected share: the true share behind the predictions (Rogan and Gladen), if the ` +
    "model finds positive images here as it did where the classes were known " +
    `(${found}) and leaves negative ones alone as it did there (${leftAlone}). Images of another ` +
    "scanner, stain or kind may not keep that assumption. The interval (Lang and Reiczigel) " +
    `includes the uncertainty of both rates.${before}`;
}

/** The share of positive images among some, with its interval and its correction, in a sentence. */
export function describeShare({ positive, n, share, interval, corrected }: GroupShare): string {
  if (share === null) return "There are no images.";
  const range = ({ low, high }: Interval) => `${percent(low!)} to ${percent(high!)}`;
  const correction = corrected.share === null
    ? ""
    : `; corrected for the model's errors ${percent(corrected.share)} (${range(corrected)})`;
  return `${positive.toLocaleString("en-GB")} of ${images(n)} called positive, ${percent(share)} ` +
    `(95 % interval ${range(interval)})${correction}.`;
}
