/** A share as a percentage with one decimal; "–" where there is none. */
export function percent(share: number): string {
  return Number.isFinite(share) ? `${(100 * share).toFixed(1)} %` : "–";
}

/** "1 image", "2,000 images". */
export function images(count: number): string {
  return `${count.toLocaleString("en-GB")} image${count === 1 ? "" : "s"}`;
}
