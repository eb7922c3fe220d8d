import { type Displayable, jupyterDisplay } from "./displayable.ts";
import { currentKernel, SETTLE } from "../kernel.ts";

/**
 * Shows things under the current cell, in order: for a cell that has more to show than its last
 * value. Outside a notebook their plain text is printed.
 *
 * @example
 * ```ts
 * await show(rocChart(test), precisionRecallChart(test));
 * ```
 */
export async function show(...contents: Displayable[]): Promise<void> {
  const kernel = currentKernel();
  if (!kernel) return contents.forEach((content) => console.log(content.text));
  for (const content of contents) {
    await kernel.broadcast("display_data", { data: content[jupyterDisplay](), metadata: {} });
  }
  await new Promise((resolve) => setTimeout(resolve, SETTLE));
}
