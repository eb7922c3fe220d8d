import { join } from "node:path";
import { writeAtomic } from "../files.ts";
import { runPaths } from "../paths.ts";
import type { Displayable } from "./displayable.ts";
import type { Figure } from "./figure.ts";
import { notice } from "./notice.ts";
import { drawPng, fitFonts, fontFit } from "./png.ts";

/** The names that plots have as files, by the part of the work that saves them together. */
const SETS = [
  ["learning_curves"],
  [
    "confusion_matrix",
    "score_histogram",
    "roc",
    "precision_recall",
    "threshold",
    "reliability",
    "groups",
  ],
] as const;

/** What a saved plot is called. */
export type PlotName = (typeof SETS)[number][number];

/**
 * Saves figures in results/RUN/plots/, each as a standalone SVG and as a PNG of twice its size on
 * white; a file is replaced as a whole. Plots that were saved together with these by an earlier run
 * and are not among them now are removed: they would show another model.
 *
 * PNGs are drawn with the fonts of this machine. Where there are none, letters would be boxes: then
 * SVGs are saved alone, and the notice says so.
 *
 * @param run Name of the run.
 * @returns A notice of where the files are.
 * @throws The file system's own error (disk full, no permission).
 * @example
 * ```ts
 * await show(await savePlots(config.run, { roc: rocChart(sample) }));
 * ```
 */
export async function savePlots(
  run: string,
  figures: Partial<Record<PlotName, Figure>>,
): Promise<Displayable> {
  const folder = runPaths(run).plots;
  const saved = Object.entries(figures);
  const fit = await fontFit();
  for (const [name, { svg }] of saved) {
    await writeAtomic(join(folder, `${name}.svg`), svg);
    if (fit === null) continue;
    await writeAtomic(join(folder, `${name}.png`), await drawPng(fitFonts(svg, fit)));
  }
  for (const name of SETS.filter((set) => set.some((name) => figures[name])).flat()) {
    if (!figures[name]) await removeFile(join(folder, `${name}.svg`));
    if (!figures[name] || fit === null) await removeFile(join(folder, `${name}.png`));
  }
  const where = `${saved.length} plot${
    saved.length === 1 ? "" : "s"
  } saved in results/${run}/plots/`;
  return fit !== null ? notice(`${where}, as SVG and PNG.`) : notice(
    `${where}, as SVG alone: this computer has no fonts to draw PNG files with. Install some (on ` +
      "Debian and Ubuntu the package fonts-dejavu-core), then run this cell again.",
    "warning",
  );
}

async function removeFile(path: string): Promise<void> {
  await Deno.remove(path).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
}
