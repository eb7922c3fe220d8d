import { type Displayable, htmlDisplay } from "./displayable.ts";
import { escapeHtml } from "./escape_html.ts";

/** Long file names and sentences wrap, so that the last column stays on the page. */
const WRAPPED = "min-width:110px;max-width:280px;white-space:normal;overflow-wrap:anywhere";

/** Numbers and short words stay in one piece, however many columns there are; headings may wrap. */
const WHOLE = { td: "white-space:nowrap", th: "white-space:normal" };

/** Characters of the longest text in a column that does not wrap. */
const SHORT = 12;

/** More rows than this belong in a file, not on a page. */
const MAX_ROWS = 200;

/**
 * Rows as an HTML table in the notebook's own colours; everything in it is escaped. Beyond 200
 * rows it says how many more there are.
 *
 * @param objects One a row; values of any type: numbers are rounded to four significant digits, `null` is "–".
 * @param options `caption` above the table; `columns` to show, in order (those of the first row
 * when left out).
 */
export function htmlTable(
  objects: readonly object[],
  { caption, columns = Object.keys(objects[0] ?? {}) }: {
    caption?: string;
    columns?: readonly string[];
  } = {},
): Displayable {
  const rows = objects as readonly Readonly<Record<string, unknown>>[];
  const numeric = new Set(
    columns.filter((column) =>
      rows.some((row) => typeof row[column] === "number") &&
      rows.every((row) => typeof row[column] === "number" || row[column] == null)
    ),
  );
  const shown = rows.slice(0, MAX_ROWS);
  const short = new Set(
    columns.filter((column) => shown.every((row) => cellText(row[column]).length <= SHORT)),
  );
  const cell = (tag: "th" | "td", column: string, text: string) =>
    `<${tag} style="padding:3px 12px;text-align:${numeric.has(column) ? "right" : "left"};` +
    `vertical-align:top;border-bottom:1px solid rgba(128,128,128,0.3);${
      short.has(column) ? WHOLE[tag] : WRAPPED
    }">${breakable(escapeHtml(text))}</${tag}>`;
  const line = (cells: string[]) => `<tr>${cells.join("")}</tr>`;
  const head = line(columns.map((column) => cell("th", column, column)));
  const body = shown.map((row) =>
    line(columns.map((column) => cell("td", column, cellText(row[column]))))
  );
  const more = rows.length > MAX_ROWS
    ? `<div style="margin:4px 12px">… and ${rows.length - MAX_ROWS} more rows</div>`
    : "";
  const title = caption
    ? `<div style="font-weight:bold;margin:6px 12px">${escapeHtml(caption)}</div>`
    : "";
  const html = `<div>${title}<table style="border-collapse:collapse"><thead>${head}</thead>` +
    `<tbody>${body.join("")}</tbody></table>${more}</div>`;
  return htmlDisplay(html, `${caption ?? "Table"}: ${rows.length} rows`);
}

/** Where there is no space, texts break after a separator before they break in a word or number. */
function breakable(html: string): string {
  return html.replace(/[_/\u00a0](?=\w)/g, "$&<wbr>");
}

function cellText(value: unknown): string {
  if (value === null || value === undefined) return "–";
  if (typeof value === "number") {
    if (Math.abs(value) < 1e-12) return "0"; // rounding errors of a sum that is zero
    return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(4)));
  }
  if (typeof value === "boolean") return value ? "yes" : "no";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
