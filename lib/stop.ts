import { StoppedError } from "./errors.ts";
import { currentKernel } from "./kernel.ts";

/** Whether the person has asked to stop since the work began. */
export type StopRequested = () => boolean;

let requests = 0;
/** What `requests` was when the outermost work that is running began. */
let requestsAtStart = 0;
let running = 0;
let listening = false;

/**
 * Runs long work that the person can stop: with Stop in a notebook, with Ctrl-C in a terminal. The
 * work asks the function it is given between two batches, saves what there is and returns.
 *
 * Without this SIGINT ends the process, and in a notebook all variables with it. A kernel is
 * protected from the first such work on, for good: Stop then never costs the variables. In a terminal
 * a second Ctrl-C ends the process at once.
 *
 * @example
 * ```ts
 * await stoppable(async (stopRequested) => {
 *   for await (const batch of batches) {
 *     await step(batch);
 *     if (stopRequested()) break;
 *   }
 * });
 * ```
 */
export async function stoppable<T>(work: (stopRequested: StopRequested) => Promise<T>): Promise<T> {
  if (!listening) {
    Deno.addSignalListener("SIGINT", onInterrupt);
    listening = true;
  }
  const before = requests;
  if (running === 0) requestsAtStart = requests;
  running += 1;
  try {
    return await work(() => requests > before);
  } finally {
    running -= 1;
    if (running === 0 && !currentKernel()) {
      Deno.removeSignalListener("SIGINT", onInterrupt);
      listening = false;
    }
  }
}

/**
 * For work that cannot return a part of its result.
 *
 * @throws {StoppedError} When the person has asked to stop.
 */
export function throwIfStopped(stopRequested: StopRequested): void {
  if (!stopRequested()) return;
  throw new StoppedError(
    "Stopped as you asked.",
    "Run this again to go on; what was finished is not done twice.",
  );
}

function onInterrupt(): void {
  requests += 1;
  if (requests - requestsAtStart > 1 && !currentKernel()) Deno.exit(130); // as shells do for SIGINT
}
