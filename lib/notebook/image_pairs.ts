import { type Displayable, htmlDisplay } from "./displayable.ts";
import { escapeHtml } from "./escape_html.ts";
import { type GridItem, imageTile } from "./image_grid.ts";
import { tableRows } from "./table_rows.ts";

/** Two pictures to compare, and what is said about both. */
export interface ImagePair {
  left: GridItem;
  right: GridItem;
  note: string;
}

/** Pairs beside each other on the page. */
const COLUMNS = 2;

/** Small copies of images, two by two in frames, each pair with its note. */
export async function imagePairs(
  pairs: readonly ImagePair[],
  { title }: { title: string },
): Promise<Displayable> {
  const cells: string[] = [];
  for (const pair of pairs) cells.push(await drawPair(pair));
  const html = `<div><div style="font-weight:bold;margin:6px 0">${escapeHtml(title)}</div>` +
    '<table style="border-collapse:separate;border-spacing:8px"><tbody>' +
    `${tableRows(cells, COLUMNS)}</tbody></table></div>`;
  return htmlDisplay(html, title);
}

async function drawPair({ left, right, note }: ImagePair): Promise<string> {
  const tiles = await Promise.all([left, right].map(imageTile));
  return '<td style="border:1px solid rgba(128,128,128,0.5);border-radius:6px;padding:4px;' +
    'vertical-align:top;text-align:left"><table style="border-collapse:collapse;margin:0"><tbody>' +
    `<tr style="background:transparent">${tiles.join("")}</tr></tbody></table>` +
    `<div style="max-width:300px;font-size:11px;line-height:1.3;margin:4px;` +
    `overflow-wrap:anywhere">${escapeHtml(note)}</div></td>`;
}
