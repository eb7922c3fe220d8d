/** A limit on what pieces of work hold at one time, in a unit of the caller's. */
export interface Budget {
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
