import { Resvg } from "@resvg/resvg-js";
import { join, parse } from "node:path";
import { fileURLToPath } from "node:url";
import { writeAtomic } from "../core/files.ts";
import { runPaths } from "../core/paths.ts";
import { colors, counted, type Figure } from "./card.ts";
import { type Displayable, notice } from "./display.ts";

/** The names that the plots of a test have as files, in the order in which they are read. */
export const TEST_PLOTS = [
  "confusion_matrix",
  "roc",
  "precision_recall",
  "threshold",
  "score_histogram",
  "reliability",
  "groups",
  "folds",
] as const;

/** Names of figures of explanations; how many there are depends on the classes. */
export const EXPLAINED = /^explained_\d+$/;

type PlotName = "learning_curves" | (typeof TEST_PLOTS)[number] | `explained_${number}`;

/**
 * Saves figures in results/RUN/plots/, each as a standalone SVG and as a PNG of twice its size on
 * white; a file is replaced as a whole. Plots that were saved together with these by an earlier run
 * and are not among them now are removed: they would show another model.
 *
 * @param run Name of the run.
 * @returns A notice of where the files are.
 * @throws The file system's own error (disk full, no permission).
 */
export async function savePlots(
  run: string,
  figures: Partial<Record<PlotName, Figure>>,
): Promise<Displayable> {
  const folder = runPaths(run).plots;
  const saved: string[] = [];
  for (const [name, figure] of Object.entries(figures)) {
    if (!figure) continue;
    await writeAtomic(join(folder, `${name}.svg`), figure.svg);
    await writeAtomic(join(folder, `${name}.png`), drawPng(figure.svg));
    saved.push(name);
  }
  const sets = new Set(saved.map(setOf));
  for (const entry of await Array.fromAsync(Deno.readDir(folder))) {
    const { name, ext } = parse(entry.name);
    const isPlot = (ext === ".svg" || ext === ".png") && sets.has(setOf(name));
    if (isPlot && !saved.includes(name)) await Deno.remove(join(folder, entry.name));
  }
  return notice(`${counted(saved.length, "plot")} saved in results/${run}/plots/, as SVG and PNG.`);
}

/** The plots that are saved together with this one; its own name where it is alone. */
function setOf(plot: string): string {
  if (EXPLAINED.test(plot)) return "explained";
  return TEST_PLOTS.some((name) => name === plot) ? "test" : plot;
}

/** As wide as the fonts that figures name first, and of more alphabets. */
const FONT = "DejaVu Sans Condensed";

const FONT_FILES = ["DejaVuSansCondensed.ttf", "DejaVuSansCondensed-Bold.ttf"]
  .map((file) => fileURLToPath(import.meta.resolve(`dejavu-fonts-ttf/ttf/${file}`)));

/** Scripts that the bundled font lacks: their letters are taken from the machine's own fonts. */
const OTHER_SCRIPTS = /[\u0900-\u10cf\u1100-\u1dff\u2e80-\ud7ff\uf900-\ufaff]|[\ud840-\ud8ff]/;

/**
 * Draws a figure as a PNG of twice its size, on white, for papers want more dots than screens; with
 * a font that comes with the project: the same picture on every machine.
 */
export function drawPng(svg: string): Uint8Array {
  const loadSystemFonts = OTHER_SCRIPTS.test(svg);
  return new Resvg(svg.replaceAll(/font-family="[^"]*"/g, `font-family="${FONT}"`), {
    fitTo: { mode: "zoom", value: 2 },
    background: colors.paper,
    font: { fontFiles: FONT_FILES, loadSystemFonts, defaultFontFamily: FONT },
  }).render().asPng();
}
