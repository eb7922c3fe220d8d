/** A 95 % confidence interval; both ends `null`, with the reason, where there is none. */
export interface Interval {
  low: number | null;
  high: number | null;
  /** Why there is no interval. */
  reason?: string;
}
