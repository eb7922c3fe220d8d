import { escapeHtml, printable } from "./escape_html.ts";
import { type Figure, svgFigure } from "./figure.ts";
import type { Panel } from "./panel.ts";
import { shorten, textWidth, wrap } from "./text_layout.ts";
import { colors, fontFamily } from "./theme.ts";

const PADDING = 18;
/** Space between panels, in pixels. */
export const GAP = 10;
/** Width of a row of panels that fills the widest card, 720 pixels. */
export const CONTENT_WIDTH: number = 720 - 2 * PADDING;

/** An entry of a legend. */
export interface LegendItem {
  label: string;
  color: string;
  /** How the entry looks in the chart. */
  mark: "area" | "line" | "dashed" | "dotted" | "tick" | "circle" | "triangle" | "cross";
}

/** What goes on a figure's card. */
export interface Card {
  title: string;
  /** Run, number of images and the like. */
  subtitle: string;
  legend?: readonly LegendItem[];
  /** Charts, in rows from top to bottom. */
  rows: readonly (readonly Panel[])[];
  /** Sentences below the charts. */
  note?: string;
}

/**
 * Puts charts on a white card with a title, a legend and a note, all in one SVG document. The card
 * is as wide as its widest row.
 *
 * @returns A figure whose plain text is the title, the subtitle and the note.
 */
export function card({ title, subtitle, legend = [], rows, note }: Card): Figure {
  const width = Math.max(0, ...rows.map(rowWidth)) || CONTENT_WIDTH; // inside the card
  const parts: string[] = [];
  let y = PADDING + 14;
  parts.push(line(title, width, y, 16, `font-weight="bold" fill="${colors.ink}"`));
  y += 19;
  parts.push(line(subtitle, width, y, 12, `fill="${colors.muted}"`));
  y += 14;
  const drawnLegend = drawLegend(legend, width, y);
  parts.push(drawnLegend.markup);
  y += drawnLegend.height;
  for (const row of rows) {
    let x = PADDING;
    for (const panel of row) {
      parts.push(`<g transform="translate(${x},${y})">${panel.markup}</g>`);
      x += panel.width + GAP;
    }
    y += Math.max(...row.map((panel) => panel.height)) + GAP;
  }
  for (const text of note ? wrap(note, width, 12) : []) {
    y += 14;
    parts.push(line(text, width, y, 12, `fill="${colors.ink}"`));
    y += 3;
  }
  const cardWidth = width + 2 * PADDING;
  const height = Math.ceil(y + PADDING - (note ? 4 : GAP));
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${cardWidth}" height="${height}" ` +
    `viewBox="0 0 ${cardWidth} ${height}" font-family="${fontFamily}" role="img">` +
    `<title>${escapeHtml(title)}</title>` +
    `<rect x="0.5" y="0.5" width="${cardWidth - 1}" height="${height - 1}" rx="8" ` +
    `fill="${colors.paper}" stroke="${colors.rule}"/>${parts.join("")}</svg>`;
  const text = [title, subtitle, note].filter(Boolean).map((part) => printable(part!)).join(". ");
  return svgFigure(svg, { width: cardWidth, height }, text);
}

function rowWidth(row: readonly Panel[]): number {
  return row.reduce((sum, panel) => sum + panel.width + GAP, -GAP);
}

/** A line of text; a heading of another size than 12 is bold, which is wider. */
function line(text: string, width: number, y: number, size: number, attributes: string): string {
  const short = shorten(printable(text), width, size === 12 ? size : 1.12 * size);
  const fitted = size === 12 && short !== "" ? `${asWideAs(short)} ` : "";
  return `<text x="${PADDING}" y="${y}" font-size="${size}" ${fitted}${attributes}>${
    escapeHtml(short)
  }</text>`;
}

/**
 * Makes a text of 12 pixels as wide as was reckoned for it. Where none of the fonts is there, the one
 * in their place may be wider: it then runs neither into the next entry nor out of the card.
 */
function asWideAs(text: string): string {
  return `textLength="${textWidth(text, 12).toFixed(1)}" lengthAdjust="spacingAndGlyphs"`;
}

const SWATCH = 22; // width kept for an entry's mark
const LEGEND_LINE = 19;

/** Entries side by side, in as many lines as they need. */
function drawLegend(
  items: readonly LegendItem[],
  width: number,
  top: number,
): { markup: string; height: number } {
  if (items.length === 0) return { markup: "", height: 0 };
  let [x, y] = [PADDING, top + 11];
  const drawn = items.map((item) => {
    const label = shorten(printable(item.label), width - SWATCH, 12);
    const taken = SWATCH + textWidth(label, 12);
    if (x > PADDING && x + taken > PADDING + width) [x, y] = [PADDING, y + LEGEND_LINE];
    const markup = `<g transform="translate(${x},${y})">${swatch(item)}` +
      `<text x="${SWATCH}" y="4" font-size="12" ${asWideAs(label)} fill="${colors.ink}">${
        escapeHtml(label)
      }</text></g>`;
    x += taken + 18;
    return markup;
  });
  return { markup: drawn.join(""), height: y - top + 13 };
}

/** An entry's mark, 16 pixels wide around y = 0. */
function swatch({ mark, color }: LegendItem): string {
  const stroke = `stroke="${color}" stroke-width="2" fill="none"`;
  switch (mark) {
    case "area":
      return `<rect y="-6" width="12" height="12" x="2" rx="2" fill="${color}"/>`;
    case "line":
      return `<line x1="0" x2="16" ${stroke}/>`;
    case "dashed":
      return `<line x1="0" x2="16" stroke-dasharray="4 3" ${stroke}/>`;
    case "dotted":
      return `<line x1="0" x2="16" stroke-dasharray="2 2" ${stroke}/>`;
    case "circle":
      return `<circle cx="8" r="4.5" fill="${color}"/>`;
    case "tick":
      return `<line x1="8" x2="8" y1="-7" y2="7" ${stroke}/>`;
    case "triangle":
      return `<path d="M2.5 -4.5 L13.5 -4.5 L8 5 Z" fill="${color}"/>`;
    case "cross":
      return `<path d="M3.5 -4.5 L12.5 4.5 M12.5 -4.5 L3.5 4.5" ${stroke}/>`;
  }
}
