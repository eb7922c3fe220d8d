import sharp from "sharp";
import { basename } from "node:path";
import { type Displayable, htmlDisplay } from "./displayable.ts";
import { escapeHtml } from "./escape_html.ts";
import { tableRows } from "./table_rows.ts";

const TILE = 140; // pixels on the page
const DENSITY = 2; // image pixels per page pixel, for sharp screens and print
const MAX_PIXELS = 100e6;
const MAX_TILES = 100; // a page with more is slow to open
const IN_FLIGHT = 4;

/** A picture of a grid. */
export interface GridItem {
  path: string;
  caption: string;
}

/**
 * Small copies of images in a grid, embedded in the page, each with its caption. An image that
 * cannot be read becomes a tile that says so. Of more than 100 images the first 100 are shown, and
 * the grid says so.
 *
 * @param options `title` above the grid; `columns` 5 when left out.
 */
export async function imageGrid(
  items: readonly GridItem[],
  { title, columns = 5 }: { title?: string; columns?: number } = {},
): Promise<Displayable> {
  const shown = items.slice(0, MAX_TILES);
  const tiles: string[] = [];
  for (let i = 0; i < shown.length; i += IN_FLIGHT) {
    tiles.push(...await Promise.all(shown.slice(i, i + IN_FLIGHT).map(imageTile)));
  }
  const heading = title
    ? `<div style="font-weight:bold;margin:6px 0">${escapeHtml(title)}</div>`
    : "";
  const more = items.length > shown.length
    ? `<div>… and ${items.length - shown.length} more images</div>`
    : "";
  const html = `<div>${heading}<table style="border-collapse:collapse"><tbody>` +
    `${tableRows(tiles, columns)}</tbody></table>${more}</div>`;
  return htmlDisplay(html, `${title ?? "Images"}: ${items.length} images`);
}

/** One picture with its caption as a table cell. */
export async function imageTile({ path, caption }: GridItem): Promise<string> {
  const picture = await thumbnail(path);
  const box = `width:${TILE}px;height:${TILE}px`;
  const shown = picture
    ? `<img src="${picture.source}" width="${picture.width}" height="${picture.height}" ` +
      `alt="${escapeHtml(basename(path))}">`
    : `<div style="${box};border:1px dashed rgba(128,128,128,0.8);text-align:center;` +
      `line-height:${TILE}px">cannot be read</div>`;
  return `<td style="padding:4px;vertical-align:top;text-align:left;width:${TILE}px">${shown}` +
    `<div style="width:${TILE}px;font-size:11px;line-height:1.3;overflow-wrap:anywhere">` +
    `${escapeHtml(caption)}</div></td>`;
}

/**
 * A small copy of an image, on white, for a page: at most 140 CSS pixels on a side.
 *
 * @param path Absolute.
 * @returns `null` when it cannot be read.
 */
export async function thumbnail(
  path: string,
): Promise<{ source: string; width: number; height: number } | null> {
  try {
    const jpeg = await sharp(path, { limitInputPixels: MAX_PIXELS, failOn: "error" })
      .autoOrient()
      .resize(TILE * DENSITY, TILE * DENSITY, { fit: "inside" })
      .flatten({ background: "#ffffff" })
      .toColorspace("srgb")
      .jpeg({ quality: 80 })
      .toBuffer({ resolveWithObject: true });
    const { width, height } = jpeg.info;
    const scale = TILE / Math.max(width, height);
    return {
      source: `data:image/jpeg;base64,${new Uint8Array(jpeg.data).toBase64()}`,
      width: Math.round(width * scale),
      height: Math.round(height * scale),
    };
  } catch {
    return null;
  }
}
