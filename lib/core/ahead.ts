import { pMapIterable } from "p-map";

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

/** A limit on what pieces of work hold at one time, in a unit of the caller's. */
interface Budget {
  /**
   * Runs `work` once `amount` is free, in the order of the calls, and gives it back at its end. An
   * amount above the whole limit waits until it has the budget to itself.
   */
  spend<T>(amount: number, work: () => Promise<T>): Promise<T>;
}

/**
 * @example
 * ```ts
 * const memory = createBudget(256e6);
 * const image = await memory.spend(width * height * 4, () => decode(path));
 * ```
 */
export function createBudget(limit: number): Budget {
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
    spend: async (amount, work) => {
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
