import { type Displayable, jupyterDisplay } from "./displayable.ts";
import { currentKernel, type Kernel, SETTLE } from "../kernel.ts";

/** A place in a notebook whose content changes. */
export interface Live {
  /** Shows this instead of what was shown. Await the last one before the cell ends. */
  update(content: Displayable): Promise<void>;
}

/**
 * A display under the current cell that later updates replace in place. Outside a notebook nothing
 * is shown.
 *
 * @example
 * ```ts
 * const chart = createLive();
 * await chart.update(learningCurves({ history, events, run: config.run }));
 * ```
 */
export function createLive(kernel: Kernel | null = currentKernel()): Live {
  const displayId = crypto.randomUUID();
  let messageType = "display_data";
  return {
    async update(content) {
      if (!kernel) return;
      const sent = kernel.broadcast(messageType, {
        data: content[jupyterDisplay](),
        metadata: {},
        transient: { display_id: displayId },
      });
      messageType = "update_display_data";
      await sent;
      await new Promise((resolve) => setTimeout(resolve, SETTLE));
    },
  };
}
