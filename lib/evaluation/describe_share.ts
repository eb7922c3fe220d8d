import { images, percent } from "../in_words.ts";
import type { GroupShare } from "./group_shares.ts";

/** The share of positive images among some, with its interval and its correction, in a sentence. */
export function describeShare({ positive, n, share, interval, corrected }: GroupShare): string {
  if (share === null) return "There are no images.";
  const { low, high } = corrected;
  return `${positive.toLocaleString("en-GB")} of ${images(n)} called positive, ` +
    `${percent(share)} (95 % interval ${percent(interval.low!)} to ${percent(interval.high!)})` +
    (corrected.share === null
      ? "."
      : `; corrected for the model's errors ${percent(corrected.share)} (${percent(low!)} to ${
        percent(high!)
      }).`);
}
