import { join } from "node:path";
import sharp from "sharp";
import { describeConfig, readRunConfig } from "../lib/core/config.ts";
import { writeAtomic } from "../lib/core/files.ts";
import { fromRoot, isSynthetic, projectRoot, runPaths } from "../lib/core/paths.ts";
import { classCounts } from "../lib/data/scan.ts";
import { readManifest } from "../lib/run/manifest.ts";
import type { Figure } from "../lib/show/card.ts";
import { classCountsChart } from "../lib/show/data_charts.ts";

const RUN = "synthetic-sample";

const TILE = 180;

// pixels
const TILES = 4;

// of each class

/** The table of config fields, as the README has it. */
export function configTable(): string {
  const rows = describeConfig().map(({ field, default: value, meaning }) =>
    `| \`${field}\` | \`${JSON.stringify(value)}\` | ${meaning} |`
  );
  return ["| field | default | meaning |", "| --- | --- | --- |", ...rows].join("\n");
}

async function savePng(name: string, figure: Figure): Promise<void> {
  const png = await sharp(new TextEncoder().encode(figure.svg), { density: 144 }).png().toBuffer();
  await writeAtomic(join(projectRoot, "docs", name), png);
}

/** A sheet of sample crops: upper row not sclerotic, lower row globally sclerotic. */
async function saveSamples(folder: string, paths: readonly (readonly string[])[]): Promise<void> {
  const tiles = await Promise.all(paths.flatMap((row, top) =>
    row.map(async (path, left) => ({
      input: await sharp(join(folder, path)).flatten({ background: "#ffffff" })
        .resize(TILE, TILE).png().toBuffer(),
      left: left * (TILE + 4),
      top: top * (TILE + 4),
    }))
  ));
  const size = { width: TILES * (TILE + 4) - 4, height: paths.length * (TILE + 4) - 4 };
  const sheet = sharp({ create: { ...size, channels: 3, background: "#ffffff" } });
  const jpeg = await sheet.composite(tiles).jpeg({ quality: 85 }).toBuffer();
  await writeAtomic(join(projectRoot, "docs", "samples.jpg"), jpeg);
}

async function makePictures(): Promise<void> {
  const paths = runPaths(RUN);
  const config = await readRunConfig(RUN);
  const folder = fromRoot(config.data.folder);
  if (!await isSynthetic(folder)) throw new Error("the README shows the synthetic sample set only");
  const { classes } = config.data;
  const manifest = await readManifest(paths.manifest);
  await saveSamples(
    folder,
    classes.map((label) => {
      const own = manifest.filter((row) => row.label === label && row.status === "ok");
      return Array.from({ length: TILES }, (_, i) => own[Math.floor(i * own.length / TILES)]!.path);
    }),
  );
  const counts = classCounts(manifest, classes).map(({ label, images }) => ({
    label,
    count: images,
  }));
  await savePng("classes.png", classCountsChart({ counts, run: RUN }));
  // as notebooks 05 and 06 left them
  for (
    const [from, to] of [["learning_curves", "training"], ["confusion_matrix", "confusion"], [
      "roc",
      "roc",
    ]]
  ) {
    await Deno.copyFile(join(paths.plots, `${from}.png`), join(projectRoot, "docs", `${to}.png`));
  }
}

async function updateReadme(): Promise<void> {
  const path = join(projectRoot, "README.md");
  const text = await Deno.readTextFile(path);
  const table = /(<!-- config table[^>]*-->\n)[\s\S]*?(<!-- end of config table -->)/;
  await writeAtomic(
    path,
    text.replace(table, (_, start, end) => `${start}\n${configTable()}\n\n${end}`),
  );
}

if (import.meta.main) {
  await updateReadme();
  await makePictures();
}
