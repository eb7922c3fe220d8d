import { join, parse } from "node:path";
import sharp from "sharp";
import { writeAtomic } from "../core/files.ts";
import { runPaths } from "../core/paths.ts";
import { colors, type Figure, fontFamily, textWidth } from "./card.ts";
import { type Displayable, notice } from "./display.ts";

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
type PlotName = (typeof SETS)[number][number] | `explained_${number}`;

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

/** SVG sizes are for screens; papers want more dots. sharp draws 1:1 at 72 dots an inch. */
const SCALE = 2;

const DENSITY = 72 * SCALE;

/** Texts of the kinds that charts have; fonts differ more in their figures than in their letters. */
const SAMPLES = ["non globally sclerotic glomeruli", "2000 images, 95 % 0.9473"];

/**
 * How much smaller letters must be in PNG files of this computer to be as wide as was reckoned:
 * sharp draws with the fonts that are there, and heeds no `textLength`.
 *
 * @returns 1 where they are as wide or narrower; `null` where there are no fonts: every letter is
 * then the same box.
 */
export async function fontFit(): Promise<number | null> {
  const [i, w] = await Promise.all([drawnWidth("iiiiiiii"), drawnWidth("WWWWWWWW")]);
  if (w < 1.2 * i) return null;
  const fits = SAMPLES.map(async (text) => SCALE * textWidth(text, 20) / await drawnWidth(text));
  return Math.min(1, ...await Promise.all(fits));
}

/** A figure's SVG with letters of another size: `fit` times their own. */
export function fitFonts(svg: string, fit: number): string {
  return svg.replace(
    /font-size="([\d.]+)"/g,
    (_, size) => `font-size="${(Number(size) * fit).toFixed(3)}"`,
  );
}

/** A PNG of an SVG document, on white and at twice its size. */
async function drawPng(svg: string): Promise<Uint8Array> {
  return await sharp(new TextEncoder().encode(svg), { density: DENSITY })
    .flatten({ background: colors.paper }).png({ compressionLevel: 9 }).toBuffer();
}

/** Width of a text of 20 pixels as drawn, in pixels of the PNG. */
async function drawnWidth(text: string): Promise<number> {
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="900" height="40">` +
    `<text x="10" y="28" font-size="20" font-family="${fontFamily}">${text}</text></svg>`;
  const { info } = await sharp(new TextEncoder().encode(svg), { density: DENSITY })
    .flatten({ background: colors.paper }).trim().toBuffer({ resolveWithObject: true });
  return info.width;
}
