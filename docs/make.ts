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

/** docs/settings.md: every field of the config with its default and meaning, by section. */
export function settingsPage(): string {
  const fields = describeConfig();
  const sections = Map.groupBy(
    fields,
    ({ field }) => field.includes(".") ? field.split(".")[0]! : "",
  );
  const lists = [...sections].map(([section, own]) => {
    const lines = own.map(({ field, default: value, meaning }) =>
      `- \`${field}\` = \`${JSON.stringify(value)}\`\\\n  ${meaning}.`
    );
    return `## ${section === "" ? "The run" : `\`${section}\``}\n\n${lines.join("\n")}`;
  });
  return `# Settings\n\nEvery field, its default and its meaning. In a notebook's cell of settings as ` +
    "`training: { epochs: 10 }`, on the command line as `--set training.epochs=10`.\n\n" +
    `${lists.join("\n\n")}\n`;
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
      "score_histogram",
      "scores",
    ]]
  ) {
    await Deno.copyFile(join(paths.plots, `${from}.png`), join(projectRoot, "docs", `${to}.png`));
  }
}

/** The house as it is drawn: rows from the top, each with its rooms and what they are for. */
export const HOUSE: readonly (readonly (readonly [room: string, purpose: string])[])[] = [
  [["notebooks/", "01 to 07: prose, one cell of settings, short calls"]],
  [["lib/mod.ts", "what notebooks import"]],
  [["verbs", "configure scan split build train test evaluate: one a notebook"]],
  [["show", "charts, pictures, tables, progress, the report: data in, figure out"]],
  [["evaluation", "a saved model on a folder of new images"]],
  [
    ["training", "epochs, callbacks, cached features, checkpoints"],
    ["metrics", "scores, intervals, calibration, threshold, Grad-CAM"],
  ],
  [["model", "architectures, weights, forward pass, prediction, saving, Keras files"]],
  [
    ["split", "by patient or slide, verified"],
    ["images", "decode, augment, stain: what becomes a batch"],
  ],
  [["data", "list, label, read and audit a folder of images"]],
  [["run", "Run, Predictions, and the format of every file of a run"]],
  [["core", "settings, files, statistics, words, terminal, Python, TensorFlow"]],
];

/** docs/house.svg: the rows of {@linkcode HOUSE}; a room imports from those below it alone. */
export function housePicture(): string {
  const [width, height, gap, left] = [760, 50, 8, 20];
  const rows = HOUSE.map((rooms, row) => {
    const each = (width - gap * (rooms.length - 1)) / rooms.length;
    return rooms.map(([room, purpose], i) => {
      const [x, y] = [left + i * (each + gap), 20 + row * (height + gap)];
      const fill = row < 2 ? "#f4f4f4" : "#eef4fa";
      const text = `<text x="${x + 14}" y="${y + 21}" font-weight="bold">${room}</text>` +
        `<text x="${x + 14}" y="${y + 39}" font-size="13" fill="#444">${purpose}</text>`;
      return `<rect x="${x}" y="${y}" width="${each}" height="${height}" rx="6" fill="${fill}" ` +
        `stroke="#0072b2"/>${text}`;
    }).join("\n");
  });
  const [w, h] = [width + 2 * left, 34 + HOUSE.length * (height + gap)];
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${w} ${h}" width="${w}" ` +
    `height="${h}" font-family="Helvetica, Arial, sans-serif" font-size="15">\n` +
    `<rect width="${w}" height="${h}" fill="#ffffff"/>\n${rows.join("\n")}\n</svg>\n`;
}

async function writeSettings(): Promise<void> {
  const path = join(projectRoot, "docs", "settings.md");
  await writeAtomic(path, settingsPage());
}

if (import.meta.main) {
  await writeSettings();
  await writeAtomic(join(projectRoot, "docs", "house.svg"), housePicture());
  await new Deno.Command(Deno.execPath(), { args: ["fmt", "--quiet", "docs"] }).output();
  if (!Deno.args.includes("--no-pictures")) await makePictures();
}
