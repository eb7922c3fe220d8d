import * as Plot from "@observablehq/plot";
import { sum } from "d3-array";
import { parseHTML } from "linkedom";
import { images } from "../core/words.ts";
import { type Displayable, escapeHtml, htmlDisplay, printable } from "./display.ts";

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

/** Another look for a chart than its usual one. */
export interface ChartOptions {
  /** Of the whole figure, in CSS pixels; 480 or more. Each chart has its own when left out. */
  width?: number;
  /** In place of the usual title. */
  title?: string;
}

const PADDING = 18;

/** Space between panels, in pixels. */
export const GAP = 10;

/** Width of a row of panels that fills a card, in pixels. */
export function contentWidth({ width = 720 }: ChartOptions): number {
  return Math.max(480, width) - 2 * PADDING;
}

/** Width of each of two panels side by side. */
export function halfWidth(options: ChartOptions): number {
  return (contentWidth(options) - GAP) / 2;
}

/** An entry of a legend. */
export interface LegendItem {
  label: string;
  color: string;
  /** How the entry looks in the chart. */
  mark: "area" | "line" | "dashed" | "dotted" | "tick" | "circle" | "triangle" | "cross";
}

/** The entry of a legend for the decision threshold; none where there is no threshold. */
export function thresholdItem(
  threshold: number | null,
  color: string,
  mark: LegendItem["mark"],
): LegendItem[] {
  if (threshold === null) return [];
  return [{ label: `threshold ${thresholdText(threshold)}`, color, mark }];
}

/** A chart: shows itself in a notebook, and is a complete SVG file as text. */
export interface Figure extends Displayable {
  /** The SVG document; everything, legend included, is inside. */
  readonly svg: string;
}

interface Card {
  title: string;
  /** Run, number of images and the like: see {@linkcode runLine}. */
  subtitle: string;
  legend?: readonly LegendItem[];
  /** Charts, in rows from top to bottom. */
  rows?: readonly (readonly Panel[])[];
  /** Sentences below the charts. */
  note?: string;
}

/** "Run mine · n = 60 images" */
export function runLine(run: string, n: number): string {
  return `Run ${run} · n = ${images(n)}`;
}

/** "1 group", "2,000 groups" */
export function counted(count: number, noun: string): string {
  return `${count.toLocaleString("en-GB")} ${noun}${count === 1 ? "" : "s"}`;
}

/**
 * Puts charts on a white card with a title, a legend and a note, all in one SVG document. The card
 * is as wide as its widest row.
 *
 * @param options Its `width` counts where there are no charts.
 * @returns A figure whose plain text is the title, the subtitle and the note.
 */
export function card(
  { title: usual, subtitle, legend = [], rows = [], note }: Card,
  options: ChartOptions = {},
): Figure {
  const title = options.title ?? usual;
  const widths = rows.map((row) => sum(row, (panel) => panel.width + GAP) - GAP);
  const width = Math.round(Math.max(0, ...widths)) || contentWidth(options); // inside
  const drawnLegend = drawLegend(legend, width, PADDING + 47);
  const parts = [
    line(title, width, PADDING + 14, 16, `font-weight="bold" fill="${colors.ink}"`),
    line(subtitle, width, PADDING + 33, 12, `fill="${colors.muted}"`),
    drawnLegend.markup,
  ];
  let y = PADDING + 47 + drawnLegend.height;
  for (const row of rows) {
    let x = PADDING;
    for (const panel of row) {
      parts.push(`<g transform="translate(${x},${y})">${panel.markup}</g>`);
      x += panel.width + GAP;
    }
    y += Math.max(...row.map((panel) => panel.height)) + GAP;
  }
  for (const text of note ? wrap(note, width, 12) : []) {
    parts.push(line(text, width, y + 14, 12, `fill="${colors.ink}"`));
    y += 17;
  }
  const cardWidth = width + 2 * PADDING;
  const height = Math.ceil(y + PADDING - (note ? 4 : GAP));
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${cardWidth}" height="${height}" ` +
    `viewBox="0 0 ${cardWidth} ${height}" font-family="${fontFamily}" role="img">` +
    `<title>${escapeHtml(title)}</title>` +
    `<rect x="0.5" y="0.5" width="${cardWidth - 1}" height="${height - 1}" rx="8" ` +
    `fill="${colors.paper}" stroke="${colors.rule}"/>${parts.join("")}</svg>`;
  const text = [title, subtitle, note].filter(Boolean).map((part) => printable(part!)).join(". ");
  // An image rather than inline SVG: JupyterLab removes that from notebooks which it did not execute
  // itself (such as those of `deno task run`), and a host's style sheet cannot reach into an image.
  const source = `data:image/svg+xml;base64,${new TextEncoder().encode(svg).toBase64()}`;
  const html = `<img src="${source}" width="${cardWidth}" height="${height}" ` +
    `alt="${escapeHtml(text)}" style="max-width:100%;height:auto">`;
  return { ...htmlDisplay(html, text), svg };
}

/** A line of text; a heading of another size than 12 is bold, which is wider. */
function line(text: string, width: number, y: number, size: number, attributes: string): string {
  const short = shorten(printable(text), width, size === 12 ? size : 1.12 * size);
  const fitted = size === 12 && short !== "" ? `${asWideAs(short)} ` : "";
  return `<text x="${PADDING}" y="${y}" font-size="${size}" ${fitted}${attributes}>${
    escapeHtml(short)
  }</text>`;
}

/** Makes a text as wide as was reckoned for it, also in a font that stands in for those wanted. */
function asWideAs(text: string): string {
  return `textLength="${textWidth(text, 12).toFixed(1)}" lengthAdjust="spacingAndGlyphs"`;
}

/** Width kept for an entry's mark, and height of a line of entries. */
const [SWATCH, LEGEND_LINE] = [22, 19];

function drawLegend(items: readonly LegendItem[], width: number, top: number) {
  if (items.length === 0) return { markup: "", height: 0 };
  let [x, y] = [PADDING, top + 11];
  const drawn = items.map((item) => {
    const label = shorten(printable(item.label), width - SWATCH, 12);
    const taken = SWATCH + textWidth(label, 12);
    if (x > PADDING && x + taken > PADDING + width) [x, y] = [PADDING, y + LEGEND_LINE];
    const markup =
      `<g transform="translate(${x},${y})">${SWATCHES[item.mark].replace("COLOR", item.color)}` +
      `<text x="${SWATCH}" y="4" font-size="12" ${asWideAs(label)} fill="${colors.ink}">${
        escapeHtml(label)
      }</text></g>`;
    x += taken + 18;
    return markup;
  });
  return { markup: drawn.join(""), height: y - top + 13 };
}

const STROKE = 'stroke="COLOR" stroke-width="2" fill="none"';

/** How an entry looks, 16 pixels wide around y = 0. */
const SWATCHES: Readonly<Record<LegendItem["mark"], string>> = {
  area: '<rect y="-6" width="12" height="12" x="2" rx="2" fill="COLOR"/>',
  line: `<line x1="0" x2="16" ${STROKE}/>`,
  dashed: `<line x1="0" x2="16" stroke-dasharray="4 3" ${STROKE}/>`,
  dotted: `<line x1="0" x2="16" stroke-dasharray="2 2" ${STROKE}/>`,
  circle: '<circle cx="8" r="4.5" fill="COLOR"/>',
  tick: `<line x1="8" x2="8" y1="-7" y2="7" ${STROKE}/>`,
  triangle: '<path d="M2.5 -4.5 L13.5 -4.5 L8 5 Z" fill="COLOR"/>',
  cross: `<path d="M3.5 -4.5 L12.5 4.5 M12.5 -4.5 L3.5 4.5" ${STROKE}/>`,
};

/** A chart without its surroundings: SVG markup with its origin at the top left. */
export type Panel = { markup: string; width: number; height: number };

/**
 * Draws an Observable Plot chart as SVG markup to be placed on a card.
 *
 * Plot's own `<svg>` and style sheet are taken off: nested SVG elements and style rules behave
 * differently in browsers, in Jupyter and in converters, plain groups do not.
 *
 * @param options As Plot's; `margins`: room for axes and texts beside the frame, in pixels.
 */
export function plotPanel(
  { margins: [marginTop, marginRight, marginBottom, marginLeft], width, height, ...options }:
    & Plot.PlotOptions
    & Pick<Panel, "width" | "height">
    & { margins: readonly [top: number, right: number, bottom: number, left: number] },
): Panel {
  // Deno checks types without a browser's DOM, of which this needs one property
  const { innerHTML } = Plot.plot({
    ...{ marginTop, marginRight, marginBottom, marginLeft, width, height, ...options },
    document: Reflect.get(parseHTML("<!doctype html><html></html>"), "document"),
  }) as unknown as { innerHTML: string };
  const markup = innerHTML.replace(/<style>[^]*?<\/style>/g, "")
    .replaceAll("currentColor", colors.ink).replaceAll("var(--plot-background)", colors.paper);
  return {
    markup: `<g font-family="${fontFamily}" font-size="11" fill="${colors.ink}" ` +
      `text-anchor="middle">${markup}</g>`,
    width,
    height,
  };
}

/** Options for an axis whose title is centred beside it, without an arrow. */
export function titled(label: string) {
  return { label, labelAnchor: "center", labelArrow: "none" } as const;
}

/** An axis from 0 to 1, with grid lines. */
export const UNIT_AXIS = { domain: [0, 1], ticks: 5, grid: true };

/** The horizontal place of a bar over a bin, from its edges. */
export const HISTOGRAM_BAR = { x1: "from", x2: "to", inset: 0.75 };

/** Of a line that means chance, a baseline or all groups together. */
export const REFERENCE_LINE = { stroke: colors.muted, strokeDasharray: "4 3" };

/** A panel's own title, above its frame on the left; the top margin must hold it. */
export function heading(title: string): Plot.Text {
  const font = { fontSize: 12, fontWeight: "bold" };
  return Plot.text([title], { frameAnchor: "top-left", dy: -18, textAnchor: "start", ...font });
}

/** A colour for each class: the first one the negative, the last one the positive colour. */
export function classColors(classes: number): string[] {
  const more = ["#009e73", "#cc79a7", "#56b4e9", "#e69f00"];
  const others = Array.from({ length: classes - 2 }, (_, i) => more[i % more.length]!);
  return [colors.negative, ...others, colors.positive];
}

/**
 * Fonts that exist nearly everywhere and share their widths. The last named one stands on most
 * Linux machines without the others; its plain form, which they would take, is a tenth wider.
 */
const fontFamily = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans Condensed', sans-serif";

/** A class folder's name as it is read: underscores are spaces, and a very long one is shortened. */
export function classLabel(name: string): string {
  return shorten(printable(name).replaceAll("_", " "), 280, 12);
}

/** A class folder's name within a sentence: “globally sclerotic”. */
export function quoted(name: string): string {
  return `“${classLabel(name)}”`;
}

/** A threshold with as many decimals as tell it from 0 and 1: 0.37, 0.0042. */
export function thresholdText(threshold: number): string {
  const edge = Math.min(threshold, 1 - threshold);
  const decimals = edge > 0 ? Math.ceil(-Math.log10(edge)) + 1 : 2;
  return threshold.toFixed(Math.min(Math.max(decimals, 2), 6));
}

/** Widths of Helvetica and Arial in thousandths of the font size, where they differ from 556. */
const WIDTHS = new Map(
  Object.entries({
    222: "ijl'|",
    300: " tfI.,:;!/[]()-·",
    400: "rJ",
    500: "szckvxy",
    667: "ABEKPSVXY&",
    722: "w",
    730: "CDHNRUTFGLOQZ",
    890: "mMW%@",
  }).flatMap(([width, characters]) => [...characters].map((one) => [one, Number(width)])),
);

/** Width of a text in pixels at a font size, to a few per cent: SVG cannot measure by itself. */
export function textWidth(text: string, fontSize: number): number {
  const widths = [...text].map((one) => WIDTHS.get(one) ?? (one > "\u2e7f" ? 1000 : 556));
  return sum(widths) * fontSize / 1000;
}

/** The text, or as much of its start and end as fits, with "…" between. */
export function shorten(text: string, maxWidth: number, fontSize: number): string {
  const characters = [...text];
  let short = text;
  for (let n = characters.length - 1; n > 0 && textWidth(short, fontSize) > maxWidth; n--) {
    short = [...characters.slice(0, Math.ceil(n / 2)), "…"]
      .concat(characters.slice(characters.length - Math.floor(n / 2))).join("");
  }
  return short;
}

/** The text broken between words into lines that fit; a word that is too long is shortened. */
export function wrap(text: string, maxWidth: number, fontSize: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(/\s+/)) {
    const extended = `${lines.at(-1)} ${word}`;
    if (lines.length > 0 && textWidth(extended, fontSize) <= maxWidth) {
      lines.splice(-1, 1, extended);
    } else lines.push(shorten(word, maxWidth, fontSize));
  }
  return lines;
}
