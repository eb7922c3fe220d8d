import type { ScaleOptions } from "@observablehq/plot";
import { titled } from "./panel.ts";

/**
 * An axis of epochs from 1 on, with whole numbers alone.
 *
 * @param last The last epoch, at least 2.
 */
export function epochAxis(last: number): ScaleOptions {
  return {
    ...titled("Epoch"),
    domain: [1, last],
    inset: 6,
    ticks: Math.min(last - 1, 8),
    tickFormat: (epoch: number) => Number.isInteger(epoch) ? String(epoch) : "",
  };
}
