/**
 * Called by long work as it goes on. The core only reports; `lib/notebook/progress.ts` shows it in
 * a notebook or a terminal with the time left.
 *
 * @param done Units finished so far, 0 to total.
 * @param total All units.
 * @param note What is being worked on, in a few words.
 */
export type OnProgress = (done: number, total: number, note?: string) => void;
