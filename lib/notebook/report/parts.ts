import { type Content, type Html, html, nothing } from "./html.ts";

/** A picture that is part of the page. */
export interface Picture {
  /** `data:` address. */
  source: string;
  /** On the page, in CSS pixels. */
  width: number;
  height: number;
  /** What is to be seen, in words. */
  text: string;
}

/** A column of a {@linkcode table}. */
export type Column = string | { title: string; numeric: true };

/** A section with its heading; `id` is what the table of contents links to. */
export interface Section {
  id: string;
  title: string;
  body: Content;
}

/** A paragraph; `null` is none. */
export function paragraph(text: Content | null): Html {
  return text === null ? nothing : html`<p>${text}</p>`;
}

/** A list of points. */
export function points(items: readonly Content[]): Html {
  return html`<ul>${items.map((item) => html`<li>${item}</li>`)}</ul>`;
}

/** A sentence set apart. */
export function note(kind: "info" | "warning" | "bad", text: Content): Html {
  return html`<div class="note ${kind}">${text}</div>`;
}

/** Rows under a caption; a row is never cut by the edge of a printed page. */
export function table(
  caption: string,
  columns: readonly Column[],
  rows: readonly (readonly Content[])[],
): Html {
  const numeric = columns.map((column) => typeof column !== "string");
  const cell = (tag: "th" | "td", content: Content, column: number) => {
    const kind = numeric[column] ? "number" : "text";
    return tag === "th"
      ? html`<th scope="col" class="${kind}">${content}</th>`
      : html`<td class="${kind}">${content}</td>`;
  };
  const head = columns.map((column, i) =>
    cell("th", typeof column === "string" ? column : column.title, i)
  );
  const body = rows.map((row) => html`<tr>${row.map((content, i) => cell("td", content, i))}</tr>`);
  return html`
    <div class="scroll">
      <table>
        <caption>${caption}</caption>
        <thead>
          <tr>${head}</tr>
        </thead>
        <tbody>${body}</tbody>
      </table>
    </div>
  `;
}

/** Names and values, side by side; a value of `null` is left out. */
export function facts(entries: readonly (readonly [string, Content | null])[]): Html {
  const shown = entries.flatMap(([name, value]) =>
    value === null ? [] : [html`
      <dt>${name}</dt>
      <dd>${value}</dd>
    `]
  );
  return html`<dl>${shown}</dl>`;
}

/** A chart on its white card; a card of pictures is printed larger. */
export function figure(
  { source, width, height, text }: Picture,
  kind: "chart" | "pictures" = "chart",
): Html {
  return html`
    <figure
      class="${kind}"><img src="${source}" width="${width}" height="${height}" alt="${text}"></figure>
  `;
}

/** Small pictures side by side, each with what is known of it. */
export function tiles(items: readonly { picture: Picture | null; caption: Content }[]): Html {
  if (items.length === 0) return nothing;
  return html`<div class="tiles">${
    items.map(({ picture, caption }) =>
      html`<div class="tile">${
        picture
          ? html`<img src="${picture.source}" width="${picture.width}" height="${picture.height}" alt="${picture.text}">`
          : html`<div class="gone">cannot be read</div>`
      }<div class="caption">${caption}</div></div>`
    )
  }</div>`;
}

/** A number with so many decimals; `null` is a dash. */
export function decimal(value: number | null, digits = 3): string {
  return value === null || !Number.isFinite(value) ? "–" : value.toFixed(digits);
}

/** "0.812 to 0.903"; a dash where there is no interval. */
export function interval({ low, high }: { low: number | null; high: number | null }): string {
  return low === null || high === null ? "–" : `${decimal(low)} to ${decimal(high)}`;
}
