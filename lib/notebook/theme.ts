import { printable } from "./escape_html.ts";
import { shorten } from "./text_layout.ts";

/**
 * Colours of all figures. Data colours are those of Okabe & Ito (2008), told apart with every
 * common form of colour blindness. Figures stand on a white card, so that one set of colours is
 * legible in light and dark notebooks and in print.
 */
export const colors = {
  ink: "#1f2933",
  muted: "#5f6b7a",
  rule: "#d5dae1",
  paper: "#ffffff",
  negative: "#0072b2",
  positive: "#d55e00",
  unlabeled: "#5f6b7a",
  training: "#e69f00",
  validation: "#0072b2",
  accent: "#009e73",
  /** `negative` at the opacity of a band, on white. */
  band: "#cce3f0",
} as const;

/** Of the area of an interval around a curve. */
export const BAND_OPACITY = 0.2;

/** Colours of the other classes, where there are more than two. */
const MORE = ["#009e73", "#cc79a7", "#56b4e9", "#e69f00"];

/** A colour for each class: the first one the negative, the last one the positive colour. */
export function classColors(classes: number): string[] {
  return Array.from(
    { length: classes },
    (_, i) =>
      i === classes - 1
        ? colors.positive
        : i === 0
        ? colors.negative
        : MORE[(i - 1) % MORE.length]!,
  );
}

/**
 * Fonts that exist nearly everywhere and share their widths. The last named one stands on most
 * Linux machines without the others; its plain form, which they would take, is a tenth wider.
 */
export const fontFamily =
  "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans Condensed', sans-serif";

/** A class folder's name as it is read: underscores are spaces, and a very long one is shortened. */
export function classLabel(name: string): string {
  return shorten(printable(name).replaceAll("_", " "), 280, 12);
}

/** A threshold with as many decimals as tell it from 0 and 1: 0.37, 0.0042. */
export function thresholdText(threshold: number): string {
  const edge = Math.min(threshold, 1 - threshold);
  const decimals = edge > 0 ? Math.ceil(-Math.log10(edge)) + 1 : 2;
  return threshold.toFixed(Math.min(Math.max(decimals, 2), 6));
}
