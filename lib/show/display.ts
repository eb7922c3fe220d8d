import {
  currentKernel,
  type Kernel,
  type OnProgress,
  type ProgressPlace,
  SETTLE,
} from "../core/long_work.ts";
import { duration, printable as printableLine, statusLine } from "../core/terminal.ts";

/** The method by which the Deno kernel asks a cell's last value how to show itself. */
export const jupyterDisplay: unique symbol = Symbol.for("Jupyter.display");

/** Something a notebook shows when it is the last value of a cell. */
export interface Displayable {
  /** What a notebook shows. */
  readonly html: string;
  /** What a terminal shows: one short line. */
  readonly text: string;
  /** Called by the kernel: MIME type → content. */
  [jupyterDisplay](): Record<string, string>;
}

/**
 * Makes HTML show itself in a notebook.
 *
 * @param html Already escaped.
 * @param text The same in one plain line.
 */
export function htmlDisplay(html: string, text: string): Displayable {
  return { html, text, [jupyterDisplay]: () => ({ "text/html": html, "text/plain": text }) };
}

/** Several things as one, in order; what is `null` or `undefined` is passed over. */
export function displayAll(...contents: readonly (Displayable | Missing)[]): Displayable {
  const all = contents.filter((content) => content != null);
  return htmlDisplay(all.map(({ html }) => html).join(""), all.map(({ text }) => text).join("\n"));
}

type Missing = null | undefined;

/** What {@linkcode show} takes: something, several things, nothing, or a promise of them. */
type Showable = Displayable | Missing | readonly (Displayable | Missing)[];

/**
 * Shows things under the current cell, in order: for a cell that has more to show than its last
 * value. What is `null` or `undefined` is passed over. Outside a notebook their plain text is
 * printed.
 *
 * @example
 * ```ts
 * await show(rocChart(predictions), precisionRecallChart(predictions));
 * ```
 */
export async function show(...contents: readonly (Showable | Promise<Showable>)[]): Promise<void> {
  const kernel = currentKernel();
  for (const content of (await Promise.all(contents)).flat()) {
    if (content == null) continue;
    if (kernel) {
      await kernel.broadcast("display_data", { data: content[jupyterDisplay](), metadata: {} });
    } else console.log(content.text);
  }
  if (kernel) await new Promise((resolve) => setTimeout(resolve, SETTLE));
}

/**
 * A display under the current cell that later updates replace in place. Await the last one before
 * the cell ends. Outside a notebook nothing is shown.
 *
 * @example
 * ```ts
 * const chart = createLive();
 * await chart.update(learningCurves({ history, events, run: config.run }));
 * ```
 */
export function createLive(kernel: Kernel | null = currentKernel()) {
  const displayId = crypto.randomUUID();
  let messageType = "display_data";
  return {
    async update(content: Displayable): Promise<void> {
      if (!kernel) return;
      const sent = kernel.broadcast(messageType, {
        data: content[jupyterDisplay](),
        metadata: {},
        transient: { display_id: displayId },
      });
      messageType = "update_display_data";
      await sent;
      await new Promise((resolve) => setTimeout(resolve, SETTLE));
    },
  };
}

/**
 * Shows how far long work is: a bar that moves in place in a notebook, one rewritten line in a
 * terminal, a line now and then where output goes to a file. With the place in the work, the speed
 * and the time left; at the end the time taken.
 *
 * @param label What is being done: "Reading images".
 * @example
 * ```ts
 * const rows = await scan(folder, showProgress("Reading images"));
 * ```
 */
export function showProgress(label: string): OnProgress {
  const kernel = currentKernel();
  return createProgress(label, kernel ? inNotebook(kernel) : inTerminal(), () => performance.now());
}

/**
 * The logic of {@linkcode showProgress} without its surroundings. A count that falls, or a total
 * that grows, begins a new phase, which is counted from its own start.
 *
 * @param show Is called at most once in an `interval` of milliseconds, and at the end.
 * @param now Milliseconds of a clock that does not go back.
 */
export function createProgress(
  label: string,
  show: (state: Displayable, finished: boolean) => void,
  now: () => number,
  interval = 200,
): OnProgress {
  let start = now();
  let phase = { done: Infinity, total: 0, start, first: { done: 0, time: 0 } };
  let shownAt = -Infinity;
  return (done, total, note, place) => {
    const time = now();
    if (done < phase.done || total > phase.total) {
      phase = { total, done, start, first: { done, time } };
    }
    phase = { ...phase, total, done };
    const finished = done >= total;
    if (finished) start = time; // of the next phase, if there is one
    if (!finished && time - shownAt < interval) return;
    shownAt = time;
    const { first } = phase; // what was done before it does not count for the speed
    const rate = time > first.time ? 1000 * (done - first.done) / (time - first.time) : 0;
    const seconds = (time - phase.start) / 1000;
    show(progressDisplay({ label, done, total, note, place, rate, seconds }), finished);
  };
}

/** What a progress display says; `rate`: units a second, or 0 when not known yet. */
type ProgressState =
  & Record<"done" | "total" | "rate" | "seconds", number>
  & { label: string; note?: string | undefined; place?: ProgressPlace | undefined };

/** One state of a progress display. */
export function progressDisplay(
  { label, done, total, note, place, rate, seconds }: ProgressState,
): Displayable {
  const count = `${done.toLocaleString("en-GB")} of ${total.toLocaleString("en-GB")}`;
  const unit = place ? `${place.unit} a second` : "a second";
  const timing = done >= total
    ? `in ${duration(1000 * seconds)}`
    : rate > 0
    ? `${speed(rate)} ${unit}, ${duration(1000 * (total - done) / rate)} left`
    : "";
  const details = [place?.place ?? count, timing, note].filter(Boolean).join(" · ");
  const html = `<div><b>${escapeHtml(label)}</b> <progress value="${done}" ` +
    `max="${Math.max(total, 1)}" style="width:220px"></progress> ${escapeHtml(details)}</div>`;
  return htmlDisplay(html, printableLine(`${label}: ${details}`));
}

/** Three digits that count: "0.0500", "11.1", "1,240". */
function speed(rate: number): string {
  return rate < 100 ? rate.toPrecision(3) : Math.round(rate).toLocaleString("en-GB");
}

function inNotebook(kernel: Kernel) {
  const live = createLive(kernel);
  return (state: Displayable, finished: boolean) => {
    live.update(state).catch((error) => console.error("The progress display failed:", error));
    // a caller that does not wait would end the cell first; the kernel's own thread goes on sending
    if (finished) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, SETTLE);
  };
}

function inTerminal() {
  const line = statusLine({
    isTerminal: Deno.stderr.isTerminal(),
    write: (text) => void Deno.stderr.writeSync(new TextEncoder().encode(text)),
  });
  return ({ text }: Displayable, finished: boolean) =>
    finished ? line.print(text) : line.update(text);
}

/**
 * A few sentences set apart from the rest of a notebook, in its own colours; warnings in bold. Line
 * breaks are kept.
 */
export function notice(text: string, kind: "info" | "warning" = "info"): Displayable {
  const [color, sign] = kind === "warning" ? ["230,159,0", "⚠"] : ["0,114,178", "ℹ"];
  const body = kind === "warning" ? `<b>${escapeHtml(text)}</b>` : escapeHtml(text);
  const html = `<div style="border-left:4px solid rgb(${color});background:rgba(${color},0.12);` +
    `padding:8px 14px;margin:6px 0;max-width:692px;white-space:pre-line"><b>${sign}</b> ${body}</div>`;
  return htmlDisplay(html, text);
}

/** Said on every page that shows a result of the sample images. */
export function syntheticNotice(): Displayable {
  return notice(
    "Synthetic sample images: drawn by a program to show how the notebooks work. They are not " +
      "photographs of tissue, and no result on them is evidence about tissue.",
    "warning",
  );
}

/** Of cells: long file names and sentences wrap, so that the last column stays on the page. */
const WRAPPED = "min-width:110px;max-width:280px;white-space:normal;overflow-wrap:anywhere";

/** Numbers and short words stay in one piece, however many columns there are; headings may wrap. */
const WHOLE = { td: "white-space:nowrap", th: "white-space:normal" };

/** Characters of the longest text in a column that does not wrap. */
const SHORT = 12;

const MAX_ROWS = 200;

/**
 * Rows as an HTML table in the notebook's own colours; everything in it is escaped. Beyond 200
 * rows it says how many more there are.
 *
 * @param objects One a row; values of any type: numbers are rounded to four significant digits,
 * `null` is "–".
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
  const shown = rows.slice(0, MAX_ROWS);
  const looks = columns.map((column) => {
    const values = rows.map((row) => row[column]).filter((value) => value != null);
    const isNumeric = values.length > 0 && values.every((value) => typeof value === "number");
    const isShort = shown.every((row) => cellText(row[column]).length <= SHORT);
    return { align: isNumeric ? "right" : "left", isShort };
  });
  const line = (tag: "th" | "td", texts: readonly string[]) => {
    const cells = texts.map((text, i) => {
      const { align, isShort } = looks[i]!;
      return `<${tag} style="padding:3px 12px;text-align:${align};vertical-align:top;` +
        `border-bottom:1px solid rgba(128,128,128,0.3);${isShort ? WHOLE[tag] : WRAPPED}">` +
        `${breakable(escapeHtml(text))}</${tag}>`;
    });
    return `<tr>${cells.join("")}</tr>`;
  };
  const body = shown.map((row) => line("td", columns.map((column) => cellText(row[column]))));
  const more = `<div style="margin:4px 12px">… and ${rows.length - MAX_ROWS} more rows</div>`;
  const title = `<div style="font-weight:bold;margin:6px 12px">${escapeHtml(caption ?? "")}</div>`;
  const html = `<div>${caption ? title : ""}<table style="border-collapse:collapse"><thead>` +
    `${line("th", columns)}</thead><tbody>${body.join("")}</tbody></table>` +
    `${rows.length > MAX_ROWS ? more : ""}</div>`;
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
  return typeof value === "string" ? value : JSON.stringify(value);
}

/**
 * Any text as text in HTML and SVG, inside elements and quoted attributes alike. Names of files
 * and folders are data: they must never become markup.
 *
 * @example
 * ```ts
 * escapeHtml("<script>"); // "&lt;script&gt;"
 * ```
 */
export function escapeHtml(text: string): string {
  return printable(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;").replaceAll("'", "&#39;");
}

/**
 * A text with characters that XML forbids (control characters, halves of a surrogate pair)
 * replaced by U+FFFD: one of them in a file name would make a whole SVG unreadable.
 */
export function printable(text: string): string {
  return text.toWellFormed().replace(/[^\P{Cc}\t\n\r]|[\ufffe\uffff]/gu, "\ufffd");
}
