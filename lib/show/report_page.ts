import { escapeHtml } from "./display.ts";

/** Markup whose every piece of data has been escaped: only what {@linkcode html} made counts. */
export interface Html {
  readonly markup: string;
}

/** What a page is put together from; texts and numbers are escaped, `null` is nothing. */
export type Content = string | number | null | Html | Content[];

const made = new WeakSet<object>();

/**
 * Markup from a template. Whatever is put in is escaped as text, unless it is itself markup made
 * here: what has not been escaped cannot get onto the page.
 *
 * @example
 * ```ts
 * html`<p>${"<script>"}</p>`.markup; // "<p>&lt;script&gt;</p>"
 * ```
 */
export function html(strings: TemplateStringsArray, ...contents: Content[]): Html {
  const markup = strings.reduce((text, part, i) => `${text}${render(contents[i - 1]!)}${part}`);
  const result = { markup };
  made.add(result);
  return result;
}

function render(content: Content): string {
  if (content === null) return "";
  if (typeof content === "string") return escapeHtml(content);
  if (typeof content === "number") return String(content);
  if (Array.isArray(content)) return content.map(render).join("");
  if (made.has(content)) return content.markup;
  throw new TypeError("Only texts, numbers and markup made by html`` can be on a page.");
}

/** A picture on the page: its `data:` address, size in CSS pixels, and what it shows in words. */
export type Picture = Record<"source" | "text", string> & Record<"width" | "height", number>;

/** A section with its heading; `id` is what the table of contents links to. */
export type Section = ReturnType<typeof section>;

/** A section; each text of its body is a paragraph. */
export function section(id: string, title: string, ...body: Content[]) {
  return { id, title, body: body.map((one) => typeof one === "string" ? paragraph(one) : one) };
}

/** A paragraph. */
export function paragraph(...text: Content[]): Html {
  return html`<p>${text}</p>`;
}

/** A name of a file, a command or a hash. */
export function code(text: string): Html {
  return html`<code>${text}</code>`;
}

/** A list of points. */
export function points(items: Content[]): Html {
  return html`<ul>${items.map((item) => html`<li>${item}</li>`)}</ul>`;
}

/** A sentence set apart. */
export function note(kind: "info" | "warning" | "bad", ...text: Content[]): Html {
  return html`<div class="note ${kind}">${text}</div>`;
}

/** A column of a {@linkcode table} whose cells are aligned to the right. */
export function numeric(title: string): Column {
  return { title, kind: "number" };
}

type Column = string | { title: string; kind: "number" };

/** Rows under a caption; a row is never cut by the edge of a printed page. */
export function table(caption: string, columns: readonly Column[], rows: Content[][]): Html {
  const heads = columns.map((one) => typeof one === "string" ? { title: one, kind: "text" } : one);
  const head = heads.map(({ title, kind }) => html`<th scope="col" class="${kind}">${title}</th>`);
  const body = rows.map((row) => {
    const cells = row.map((content, i) => html`<td class="${heads[i]!.kind}">${content}</td>`);
    return html`<tr>${cells}</tr>`;
  });
  const inner = [
    html`<caption>${caption}</caption>`,
    html`<thead>${html`<tr>${head}</tr>`}</thead>`,
    html`<tbody>${body}</tbody>`,
  ];
  return html`<div class="scroll">${html`<table>${inner}</table>`}</div>`;
}

/** Names and values, side by side; a value of `null` is left out. */
export function facts(entries: Readonly<Record<string, Content>>): Html {
  const shown = Object.entries(entries).filter(([, value]) => value !== null)
    .map(([name, value]) => [html`<dt>${name}</dt>`, html`<dd>${value}</dd>`]);
  return html`<dl>${shown}</dl>`;
}

/** A chart on its white card; a card of pictures is printed larger. */
export function figure(picture: Picture, kind: "chart" | "pictures" = "chart"): Html {
  return html`<figure class="${kind}">${image(picture)}</figure>`;
}

function image({ source, width, height, text }: Picture): Html {
  return html`<img src="${source}" width="${width}" height="${height}" alt="${text}">`;
}

/** Small pictures side by side, each with what is known of it; `null`: it cannot be read. */
export function tiles(items: readonly { picture: Picture | null; caption: Content }[]): Content {
  if (items.length === 0) return null;
  const all = items.map(({ picture, caption }) => {
    const shown = picture ? image(picture) : html`<div class="gone">cannot be read</div>`;
    return html`<div class="tile">${shown}<div class="caption">${caption}</div></div>`;
  });
  return html`<div class="tiles">${all}</div>`;
}

/** A number with three decimals; `null` is a dash. */
export function decimal(value: number | null): string {
  return value === null || !Number.isFinite(value) ? "–" : value.toFixed(3);
}

/** "0.812 to 0.903"; a dash where there is no interval. */
export function interval({ low, high }: { low: number | null; high: number | null }): string {
  return low === null || high === null ? "–" : `${decimal(low)} to ${decimal(high)}`;
}

/** The browser itself sees to it that nothing runs and nothing is loaded, whatever the page holds. */
const POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; " +
  "form-action 'none'";

/**
 * A whole HTML page that needs no other file, no network and no script, with a table of contents
 * between its head and its sections.
 */
export function page(title: string, head: Content, sections: readonly Section[]): string {
  const contents = html`
    <nav aria-label="Contents">
      <ol>${sections.map(({ id, title }) => html`<li><a href="#${id}">${title}</a></li>`)}</ol>
    </nav>
  `;
  const body = sections.map(({ id, title, body }) =>
    html`<section id="${id}"><h2>${title}</h2>${body}</section>`
  );
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>${escapeHtml(title)}</title>
<style>${STYLE}</style>
</head>
<body>
${html`<main>${head}${contents}${body}</main>`.markup}
</body>
</html>
`;
}

/** Of the report: light or dark as the reader's system is, and black on white on paper. */
const STYLE = `
:root {
  --paper: #ffffff; --ink: #1f2933; --muted: #5f6b7a; --rule: #d5dae1; --soft: #f4f6f8;
  --link: #005a8c; --info: #0072b2; --warning: #b87400; --bad: #c0392b;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --paper: #15191e; --ink: #e4e8ec; --muted: #a3adb8; --rule: #39424c; --soft: #1e242b;
    --link: #7cc4f2; --info: #56b4e9; --warning: #e69f00; --bad: #ff7b6b;
  }
}
* { box-sizing: border-box; }
html { background: var(--paper); color: var(--ink); -webkit-text-size-adjust: 100%; }
body { margin: 0; font: 16px/1.55 system-ui, "Segoe UI", Helvetica, Arial, sans-serif; }
main { max-width: 800px; margin: 0 auto; padding: 32px 24px 64px; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 6px; overflow-wrap: anywhere; }
h2 { font-size: 22px; line-height: 1.25; margin: 0 0 12px; }
h3 { font-size: 16px; margin: 22px 0 8px; overflow-wrap: anywhere; }
section { border-top: 1px solid var(--rule); margin-top: 40px; padding-top: 28px; }
#short { margin-top: 28px; }
p, ul, dl { margin: 0 0 14px; overflow-wrap: anywhere; }
li { margin-bottom: 6px; }
.subtitle, small, caption, dt { color: var(--muted); }
small { font-size: 12.5px; line-height: 1.4; }
a { color: var(--link); }
code { font: 0.86em ui-monospace, "Liberation Mono", monospace; overflow-wrap: anywhere; }
.pre { display: block; white-space: pre-wrap; overflow-wrap: anywhere; font-size: 13px; margin-top: 6px; }
.note { border-left: 5px solid var(--info); background: var(--soft); padding: 11px 16px;
  margin: 14px 0; border-radius: 0 6px 6px 0; overflow-wrap: anywhere; }
.note.warning { border-color: var(--warning); }
.note.bad { border-color: var(--bad); }
.note ul { margin: 6px 0 0; }
nav { background: var(--soft); border-radius: 6px; padding: 14px 16px 8px; margin-top: 28px; }
nav ol { margin: 0; padding-left: 22px; columns: 2; column-gap: 32px; }
dl { display: grid; grid-template-columns: minmax(110px, 175px) 1fr; gap: 5px 18px; }
dt, dd { margin: 0; min-width: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; margin: 18px 0; }
table { border-collapse: collapse; width: 100%; font-size: 14px; line-height: 1.4;
  font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding-bottom: 6px; color: var(--ink); }
th, td { padding: 6px 14px 6px 0; border-bottom: 1px solid var(--rule); vertical-align: top;
  text-align: left; }
thead th { border-bottom: 2px solid var(--rule); font-weight: 600; vertical-align: bottom; }
td.text { overflow-wrap: break-word; }
th.number, td.number { text-align: right; }
td.number { white-space: nowrap; }
th:last-child, td:last-child { padding-right: 0; }
figure { margin: 20px 0; text-align: center; }
figure img { max-width: 100%; height: auto; background: #ffffff; border-radius: 8px;
  vertical-align: top; }
.tiles { display: flex; flex-wrap: wrap; gap: 14px 12px; margin: 10px 0 16px; }
.tile { width: 140px; }
.tile img { background: #ffffff; vertical-align: top; }
.caption { font-size: 12px; line-height: 1.35; margin-top: 4px; overflow-wrap: anywhere; }
.gone { width: 140px; height: 140px; border: 1px dashed var(--muted); color: var(--muted);
  display: grid; place-items: center; font-size: 12px; }
sup { line-height: 0; }
.footnotes { font-size: 12.5px; color: var(--muted); margin-top: -8px; }
.settings { columns: 2; column-gap: 28px; font-size: 12px; line-height: 1.4; margin: 6px 0 18px; }
.settings div { break-inside: avoid; padding: 2px 0; border-bottom: 1px solid var(--rule);
  overflow-wrap: anywhere; }
.settings code { color: var(--muted); }
.settings b code { color: var(--ink); }
@media (max-width: 560px) {
  nav ol, .settings { columns: 1; }
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: 8px; }
}
@page { size: A4; margin: 16mm 15mm 18mm; @bottom-right { content: counter(page) " / " counter(pages);
  font: 9pt system-ui, sans-serif; color: #5f6b7a; } }
@media print {
  body { font-size: 10.5pt; line-height: 1.45; }
  main { max-width: none; padding: 0; }
  nav { display: none; }
  section { margin-top: 22px; padding-top: 16px; }
  h1, h2, h3, caption { break-after: avoid; }
  figure, tr, .note, .tile, dt, dd, li { break-inside: avoid; }
  p { orphans: 3; widows: 3; }
  thead { display: table-header-group; }
  figure { margin: 12px 0; }
  figure img { max-height: 112mm; width: auto; }
  figure.pictures img { max-height: 235mm; }
  .tile { width: 122px; }
  .tile img { max-width: 100%; height: auto; }
  table, dl { break-inside: avoid; }
  table { font-size: 9.5pt; }
  th, td { padding-top: 3px; padding-bottom: 3px; }
  .settings { font-size: 8pt; }
  .scroll { overflow: visible; }
  .note, .tile img, figure img { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  a { color: inherit; text-decoration: none; }
}
`;
