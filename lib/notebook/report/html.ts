import { escapeHtml } from "../escape_html.ts";

declare const isMarkup: unique symbol;

/** Markup whose every piece of data has been escaped: only {@linkcode html} makes it. */
export interface Html {
  readonly [isMarkup]: true;
  readonly markup: string;
}

/** What a page is put together from; texts and numbers are escaped. */
export type Content = string | number | Html | readonly Content[];

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
  const result = { markup } as Html;
  made.add(result);
  return result;
}

/** Nothing. */
export const nothing: Html = html``;

function render(content: Content): string {
  if (typeof content === "string") return escapeHtml(content);
  if (typeof content === "number") return String(content);
  if (isList(content)) return content.map(render).join("");
  if (made.has(content)) return content.markup;
  throw new TypeError("Only texts, numbers and markup made by html`` can be on a page.");
}

function isList(content: Html | readonly Content[]): content is readonly Content[] {
  return Array.isArray(content);
}
