/** The part of the Deno kernel that displays need. */
export interface Kernel {
  /** Sends a message of the Jupyter protocol to the notebook. */
  broadcast(
    messageType: string,
    content: Record<string, unknown>,
  ): Promise<void>;
}

/** The kernel this code runs in, or `null` outside a notebook (there `Deno.jupyter` throws). */
export function currentKernel(): Kernel | null {
  try {
    return Deno.jupyter;
  } catch {
    return null;
  }
}
