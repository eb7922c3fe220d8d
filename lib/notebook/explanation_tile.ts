import sharp from "sharp";
import { basename } from "node:path";
import type { ExplainedImage } from "../metrics/explain/explain_images.ts";
import { CONTENT_WIDTH, GAP } from "./card.ts";
import { escapeHtml, printable } from "./escape_html.ts";
import { heatColor } from "./heat_colors.ts";
import { heatOverlay } from "./heat_overlay.ts";
import type { Panel } from "./panel.ts";
import { shorten } from "./text_layout.ts";
import { colors } from "./theme.ts";

const COLUMNS = 2;
const TILE_WIDTH = (CONTENT_WIDTH - (COLUMNS - 1) * GAP) / COLUMNS;
const BETWEEN = 4; // a picture and its overlay
const PICTURE = Math.floor((TILE_WIDTH - GAP - BETWEEN) / 2);
const LINE = 14;

/** Said under every grid of such tiles. */
export const MAPS_DIFFER =
  "Each map reaches from 0 to its own maximum: the colours of two images " +
  "cannot be compared.";

/** Tiles in rows of two below a scale of their colours; no rows of no tiles. */
export function explanationRows(tiles: readonly Panel[]): Panel[][] {
  if (tiles.length === 0) return [];
  const rows = Array.from(
    { length: Math.ceil(tiles.length / COLUMNS) },
    (_, row) => tiles.slice(row * COLUMNS, (row + 1) * COLUMNS),
  );
  return [[colourBar()], ...rows];
}

/**
 * A picture as the model saw it, beside itself with its map laid over it, and lines of text below.
 *
 * @param lines Of any text; each is shortened to the tile, the first one is bold.
 */
export async function explanationTile(
  { path, pixels, size, map }: Pick<ExplainedImage, "path" | "pixels" | "size" | "map">,
  lines: readonly string[],
): Promise<Panel> {
  const plain = await picture(pixels, size, 0, path);
  const overlay = await picture(heatOverlay(pixels, size, map), size, PICTURE + BETWEEN, path);
  const texts = lines.map((text, i) =>
    `<text y="${PICTURE + 13 + i * LINE}" font-size="11" fill="${colors.ink}"` +
    `${i === 0 ? ' font-weight="bold"' : ""}>${
      escapeHtml(shorten(printable(text), TILE_WIDTH - GAP, 11))
    }</text>`
  );
  return {
    markup: plain + overlay + texts.join(""),
    width: TILE_WIDTH,
    height: PICTURE + lines.length * LINE + 8,
  };
}

async function picture(
  pixels: Uint8Array,
  size: number,
  x: number,
  path: string,
): Promise<string> {
  const jpeg = await sharp(pixels, { raw: { width: size, height: size, channels: 3 } })
    .jpeg({ quality: 90, chromaSubsampling: "4:4:4" }).toBuffer();
  return `<image x="${x}" width="${PICTURE}" height="${PICTURE}" ` +
    `href="data:image/jpeg;base64,${new Uint8Array(jpeg).toBase64()}">` +
    `<title>${escapeHtml(basename(path))}</title></image>`;
}

/** What the colours mean. */
function colourBar(): Panel {
  const stops = Array.from({ length: 17 }, (_, i) => {
    const color = `rgb(${heatColor(i / 16).join()})`;
    return `<stop offset="${i / 16}" stop-color="${color}"/>`;
  });
  const [from, to] = ["none", "strongest evidence for the model's answer"];
  const text = (x: number, words: string) =>
    `<text x="${x}" y="12" font-size="12" fill="${colors.ink}">${words}</text>`;
  return {
    markup: `<linearGradient id="heat">${stops.join("")}</linearGradient>${text(0, from)}` +
      `<rect x="36" y="2" width="150" height="12" fill="url(#heat)"/>${text(193, to)}`,
    width: CONTENT_WIDTH,
    height: 16,
  };
}
