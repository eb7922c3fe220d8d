import type { PlotOptions } from "@observablehq/plot";
import { titled } from "./panel.ts";

/** A square chart whose axes both run from 0 to 1: ROC and precision-recall curves. */
export function unitAxes(
  xLabel: string,
  yLabel: string,
): PlotOptions & { width: number; height: number } {
  const axis = { domain: [0, 1], ticks: 5, grid: true };
  return {
    width: 480,
    height: 440,
    marginLeft: 56,
    marginRight: 14,
    marginTop: 10,
    marginBottom: 42,
    x: { ...axis, ...titled(xLabel) },
    y: { ...axis, ...titled(yLabel) },
  };
}
