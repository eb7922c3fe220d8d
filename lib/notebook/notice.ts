import { type Displayable, htmlDisplay } from "./displayable.ts";
import { escapeHtml } from "./escape_html.ts";

const styles = {
  info: { color: "0,114,178", sign: "ℹ" },
  warning: { color: "230,159,0", sign: "⚠" },
} as const;

/**
 * A few sentences set apart from the rest of a notebook, in its own colours; warnings in bold. Line
 * breaks are kept.
 */
export function notice(text: string, kind: "info" | "warning" = "info"): Displayable {
  const { color, sign } = styles[kind];
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
