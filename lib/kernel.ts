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
