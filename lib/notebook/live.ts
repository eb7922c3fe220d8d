import { type Displayable, jupyterDisplay } from "./displayable.ts";
import { currentKernel, type Kernel } from "./kernel.ts";

/** A place in a notebook whose content changes. */
export interface Live {
  /** Shows this instead of what was shown. Resolves when the notebook has been told. */
  update(content: Displayable): Promise<void>;
}

/**
 * A display under the current cell that later updates replace in place. Outside a notebook nothing
 * is shown.
 *
 * @example
 * ```ts
 * const chart = createLive();
 * await train(config, { onEpoch: (history) => chart.update(learningCurves({ history, … })) });
 * ```
 */
export function createLive(kernel: Kernel | null = currentKernel()): Live {
  const displayId = crypto.randomUUID();
  let sent: Promise<void> = Promise.resolve();
  let messageType = "display_data";
  return {
    update(content) {
      if (!kernel) return sent;
      const type = messageType;
      messageType = "update_display_data";
      // one after the other: an overtaken first message would leave nothing to update
      sent = sent.then(() =>
        kernel.broadcast(type, {
          data: content[jupyterDisplay](),
          metadata: {},
          transient: { display_id: displayId },
        })
      );
      return sent;
    },
  };
}
