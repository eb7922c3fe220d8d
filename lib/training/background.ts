/** Work that goes on while the training does, one piece after another. */
export interface Background {
  /**
   * Starts a piece of work when the one before it has ended, and returns then.
   *
   * @throws What the piece before it threw; this one is then not started.
   */
  start(work: () => Promise<void>): Promise<void>;
  /**
   * Returns when nothing is under way.
   *
   * @throws What the last piece threw, once.
   */
  settle(): Promise<void>;
}

/** Nothing is under way yet. */
export function createBackground(): Background {
  let running: Promise<{ error: unknown } | null> = Promise.resolve(null);
  const settle = async (): Promise<void> => {
    const failed = await running;
    running = Promise.resolve(null);
    if (failed) throw failed.error;
  };
  return {
    settle,
    start: async (work) => {
      await settle();
      running = work().then(() => null, (error: unknown) => ({ error }));
    },
  };
}
