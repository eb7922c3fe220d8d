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
