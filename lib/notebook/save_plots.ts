import { join, parse } from "node:path";
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

/** What a saved plot is called; `explained_1`, `explained_2` and so on are of one set too. */
export type PlotName = (typeof SETS)[number][number] | `explained_${number}`;

/** Names of figures of explanations; how many there are depends on the classes. */
export const EXPLAINED = /^explained_\d+$/;

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
  const saved = Object.entries(figures)
    .filter((entry): entry is [string, Figure] => entry[1] !== undefined);
  const fit = await fontFit();
  for (const [name, { svg }] of saved) {
    await writeAtomic(join(folder, `${name}.svg`), svg);
    if (fit === null) continue;
    await writeAtomic(join(folder, `${name}.png`), await drawPng(fitFonts(svg, fit)));
  }
  await removeOthers(folder, new Set(saved.map(([name]) => name)), fit !== null);
  const where = `${saved.length} plot${
    saved.length === 1 ? "" : "s"
  } saved in results/${run}/plots/`;
  return fit !== null ? notice(`${where}, as SVG and PNG.`) : notice(
    `${where}, as SVG alone: this computer has no fonts to draw PNG files with. Install some (on ` +
      "Debian and Ubuntu the package fonts-dejavu-core), then run this cell again.",
    "warning",
  );
}

/** Removes the plots of the sets that were saved, but for those saved now. */
async function removeOthers(
  folder: string,
  saved: ReadonlySet<string>,
  withPng: boolean,
): Promise<void> {
  const sets = new Set([...saved].map(setOf));
  for (const entry of await Array.fromAsync(Deno.readDir(folder))) {
    const { name, ext } = parse(entry.name);
    if (ext !== ".svg" && ext !== ".png") continue;
    const isSaved = saved.has(name) && (ext === ".svg" || withPng);
    const set = setOf(name);
    if (set !== null && sets.has(set) && !isSaved) await Deno.remove(join(folder, entry.name));
  }
}

/** Which plots are saved together with this one; `null`: it is none of ours. */
function setOf(plot: string): number | null {
  if (EXPLAINED.test(plot)) return SETS.length;
  const index = SETS.findIndex((set) => set.some((name) => name === plot));
  return index < 0 ? null : index;
}
