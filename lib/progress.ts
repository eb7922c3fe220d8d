/** What progress is said of, where a count of units says too little. */
export interface ProgressPlace {
  /** Stands in place of the count: "epoch 3 of at most 25, batch 7 of 42". */
  place: string;
  /** What the units are, in the plural: the speed is said in them. */
  unit: string;
}

/**
 * Called by long work as it goes on. The core only reports; `lib/notebook/progress.ts` shows it in
 * a notebook or a terminal with the speed and the time left. Work of several phases starts to count
 * again in each.
 *
 * @param done Units finished so far, 0 to total.
 * @param total All units; it may shrink when work ends early.
 * @param note What is being worked on, in a few words.
 * @param place Where the work is.
 */
export type OnProgress = (
  done: number,
  total: number,
  note?: string,
  place?: ProgressPlace,
) => void;
