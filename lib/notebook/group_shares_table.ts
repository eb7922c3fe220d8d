import type { GroupShare, GroupShares } from "../evaluation/group_shares.ts";
import { percent } from "../in_words.ts";
import type { Displayable } from "./displayable.ts";
import { htmlTable } from "./table.ts";

/** How an unknown group is shown. */
export const NO_GROUP = "(group not known)";

/**
 * The share of positive images of all images and of each group: count, share, 95 % interval, and the
 * same corrected for the model's errors; all images first, then the greatest share.
 */
export function groupSharesTable({ rows, all }: GroupShares): Displayable {
  const cells = [
    shareRow(all, "all images"),
    ...rows.map((row) => shareRow(row, row.group === "" ? NO_GROUP : row.group)),
  ];
  return htmlTable(cells, { caption: "Share of positive images by group" });
}

function shareRow(
  { n, positive, share, interval, corrected }: GroupShare,
  group: string,
): Record<string, unknown> {
  return {
    group,
    images: n,
    positive,
    share: share === null ? null : percent(share),
    "95 % interval": range(interval.low, interval.high),
    "corrected share": corrected.share === null ? null : percent(corrected.share),
    "corrected 95 % interval": range(corrected.low, corrected.high),
  };
}

function range(low: number | null, high: number | null): string | null {
  return low === null || high === null ? null : `${percent(low)} to ${percent(high)}`;
}
