import { type Displayable, htmlDisplay } from "./displayable.ts";
import { escapeHtml } from "./escape_html.ts";

/** A chart: shows itself in a notebook, and is a complete SVG file as text. */
export interface Figure extends Displayable {
  /** The SVG document; everything, legend included, is inside. */
  readonly svg: string;
}

/**
 * Wraps an SVG document for a notebook.
 *
 * It is embedded as an image rather than inline: JupyterLab removes inline SVG from notebooks that
 * it did not execute itself (such as those of `deno task run`) but keeps images, and a host's style
 * sheet cannot reach into one.
 *
 * @param svg A complete SVG document.
 * @param size Width and height in CSS pixels; it shrinks on narrower pages.
 * @param text What is shown, in one plain line: the alternative text.
 */
export function svgFigure(
  svg: string,
  size: { width: number; height: number },
  text: string,
): Figure {
  const bytes = new TextEncoder().encode(svg);
  const html = `<img src="data:image/svg+xml;base64,${bytes.toBase64()}" width="${size.width}" ` +
    `height="${size.height}" alt="${escapeHtml(text)}" style="max-width:100%;height:auto">`;
  return { ...htmlDisplay(html, text), svg };
}
