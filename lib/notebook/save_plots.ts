import { join } from "node:path";
import sharp from "sharp";
import { writeAtomic } from "../files.ts";
import { runPaths } from "../paths.ts";
import type { Displayable } from "./displayable.ts";
import type { Figure } from "./figure.ts";
import { notice } from "./notice.ts";
import { colors, fontFamily } from "./theme.ts";

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

/** SVG sizes are for screens of 96 dots an inch; papers want more. sharp draws 1:1 at 72. */
const SCALE = 2;

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
  const lettered = await canDrawLetters();
  for (const [name, { svg }] of saved) {
    await writeAtomic(join(folder, `${name}.svg`), svg);
    if (lettered) await writeAtomic(join(folder, `${name}.png`), await drawPng(svg));
  }
  for (const name of SETS.filter((set) => set.some((name) => figures[name])).flat()) {
    if (!figures[name]) await removeFile(join(folder, `${name}.svg`));
    if (!figures[name] || !lettered) await removeFile(join(folder, `${name}.png`));
  }
  const where = `${saved.length} plot${
    saved.length === 1 ? "" : "s"
  } saved in results/${run}/plots/`;
  return lettered ? notice(`${where}, as SVG and PNG.`) : notice(
    `${where}, as SVG alone: this computer has no fonts to draw PNG files with. Install some (on ` +
      "Debian and Ubuntu the package fonts-dejavu-core), then run this cell again.",
    "warning",
  );
}

/** A PNG of an SVG document, on white and at twice its size. */
async function drawPng(svg: string): Promise<Uint8Array> {
  return await sharp(new TextEncoder().encode(svg), { density: 72 * SCALE })
    .flatten({ background: colors.paper }).png({ compressionLevel: 9 }).toBuffer();
}

/** Whether letters can be told apart in a PNG: without fonts all are the same box. */
async function canDrawLetters(): Promise<boolean> {
  const [a, b] = await Promise.all(["i", "W"].map((letter) =>
    drawPng(
      `<svg xmlns="http://www.w3.org/2000/svg" width="24" height="24">` +
        `<text x="2" y="20" font-size="20" font-family="${fontFamily}">${letter}</text></svg>`,
    )
  ));
  return a!.some((byte, i) => byte !== b![i]);
}

async function removeFile(path: string): Promise<void> {
  await Deno.remove(path).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
}
