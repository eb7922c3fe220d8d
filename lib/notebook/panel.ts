import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import { colors, fontFamily } from "./theme.ts";

/** A chart without its surroundings: SVG markup with its origin at the top left. */
export interface Panel {
  markup: string;
  width: number;
  height: number;
}

/**
 * Draws an Observable Plot chart as SVG markup to be placed on a card.
 *
 * Plot's own `<svg>` and style sheet are taken off: nested SVG elements and style rules behave
 * differently in browsers, in Jupyter and in converters, plain groups do not.
 */
export function plotPanel(
  options: Plot.PlotOptions & { width: number; height: number },
): Panel {
  const { document } = parseHTML("<!doctype html><html></html>") as unknown as {
    document: unknown;
  };
  // Deno checks types without a browser's DOM, of which this needs one property
  const chart = Plot.plot({ ...options, document } as Plot.PlotOptions) as unknown as {
    innerHTML: string;
  };
  const markup = chart.innerHTML
    .replace(/<style>[^]*?<\/style>/g, "")
    .replaceAll("currentColor", colors.ink)
    .replaceAll("var(--plot-background)", colors.paper);
  return {
    markup: `<g font-family="${fontFamily}" font-size="11" fill="${colors.ink}" ` +
      `text-anchor="middle">${markup}</g>`,
    width: options.width,
    height: options.height,
  };
}

/** Options for an axis whose title is centred beside it, without an arrow. */
export function titled(label: string): {
  label: string;
  labelAnchor: "center";
  labelArrow: "none";
} {
  return { label, labelAnchor: "center", labelArrow: "none" };
}

/** A panel's own title, above its frame on the left; the top margin must hold it. */
export function heading(title: string): Plot.Text {
  return Plot.text([title], {
    frameAnchor: "top-left",
    dy: -18,
    textAnchor: "start",
    fontSize: 12,
    fontWeight: "bold",
  });
}
