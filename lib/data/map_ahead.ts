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
  const source = items[Symbol.iterator]();
  const started: Promise<R>[] = []; // in the items' order, the oldest first
  let running = 0;
  let stopped = false;
  const start = (): void => {
    while (!stopped && running < inFlight && started.length < ahead) {
      const { done, value } = source.next();
      if (done) return;
      running++;
      const result = work(value).finally(() => {
        running--;
        start();
      });
      result.catch(() => {}); // thrown below, when its turn comes
      started.push(result);
    }
  };
  try {
    start();
    while (started.length > 0) {
      const result = await started[0]!;
      started.shift();
      start();
      yield result;
    }
  } finally {
    stopped = true;
    await Promise.allSettled(started);
  }
}
