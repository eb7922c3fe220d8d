import { pMapIterable } from "p-map";
import { StoppedError } from "./errors.ts";

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
  const remedy = "Run this again to go on; what was finished is not done twice.";
  if (stopRequested()) throw new StoppedError("Stopped as you asked.", remedy);
}

function onInterrupt(): void {
  requests += 1;
  if (requests - requestsAtStart > 1 && !currentKernel()) Deno.exit(130); // as shells do for SIGINT
}

/** Lets progress, messages and signals through between two pieces of work that block the thread. */
export function breathe(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

/** The part of the Deno kernel that displays need. */
export interface Kernel {
  /** Sends a message of the Jupyter protocol to the notebook. Messages keep their order. */
  broadcast(messageType: string, content: Record<string, unknown>): Promise<void>;
}

/** The kernel this code runs in, or `null` outside a notebook (there `Deno.jupyter` throws). */
export function currentKernel(): Kernel | null {
  try {
    return Deno.jupyter;
  } catch {
    return null;
  }
}

/**
 * Milliseconds to wait after the last message of a cell. The kernel sends from another thread, so
 * that "the cell has ended" can overtake a message, and what comes after that is lost to nbclient.
 * Late messages were seen up to 10 ms, with pictures of 200 kB.
 */
export const SETTLE = 50;

/**
 * Where the work is, in place of a count ("epoch 3 of at most 25, batch 7 of 42"), and what its units
 * are, in the plural: the speed is said in them.
 */
export type ProgressPlace = { place: string; unit: string };

/**
 * Called by long work as it goes on, for `lib/show/display.ts` to show. Work of several phases starts
 * to count again in each.
 *
 * @param done Units finished so far, 0 to total.
 * @param total All units; it may shrink when work ends early.
 * @param note What is being worked on, in a few words.
 */
export type OnProgress = (
  done: number,
  total: number,
  note?: string,
  place?: ProgressPlace,
) => void;

/**
 * Maps items through an asynchronous function and yields the results in the items' order, working
 * ahead of the consumer.
 *
 * At most `inFlight` calls run at a time and at most `ahead` results are started but not yet taken,
 * so memory is bounded however long the list is. A call that fails throws when its turn comes, after
 * all results before it. A consumer that stops early (`break`, an error) waits for the calls that
 * are running and starts no more.
 *
 * @example
 * ```ts
 * for await (const image of mapAhead(paths, decode, { inFlight: 4, ahead: 64 })) show(image);
 * ```
 */
export async function* mapAhead<T, R>(
  items: Iterable<T>,
  work: (item: T) => Promise<R>,
  { inFlight, ahead }: { inFlight: number; ahead: number },
): AsyncGenerator<R, void, void> {
  const running = new Set<Promise<R>>();
  const start = (item: T): Promise<R> => {
    const result = work(item).finally(() => running.delete(result));
    running.add(result);
    return result;
  };
  const pace = { concurrency: Math.min(inFlight, ahead), backpressure: ahead };
  try {
    yield* pMapIterable(items, start, pace) as AsyncIterable<R>;
  } finally {
    await Promise.allSettled(running);
  }
}

/**
 * A limit on what pieces of work hold at one time, in a unit of the caller's.
 *
 * @returns `spend` runs `work` once `amount` is free, in the order of the calls, and gives it back at
 *   its end. An amount above the whole limit waits until it has the budget to itself.
 * @example
 * ```ts
 * const memory = createBudget(256e6);
 * const image = await memory.spend(width * height * 4, () => decode(path));
 * ```
 */
export function createBudget(limit: number) {
  const waiting: { amount: number; begin: () => void }[] = [];
  let spent = 0;
  const admit = (): void => {
    while (waiting.length > 0 && (spent === 0 || spent + waiting[0]!.amount <= limit)) {
      const { amount, begin } = waiting.shift()!;
      spent += amount;
      begin();
    }
  };
  return {
    spend: async <T>(amount: number, work: () => Promise<T>): Promise<T> => {
      await new Promise<void>((begin) => {
        waiting.push({ amount, begin });
        admit();
      });
      try {
        return await work();
      } finally {
        spent -= amount;
        admit();
      }
    },
  };
}
