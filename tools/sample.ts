import { basename, dirname, extname, join, resolve } from "node:path";
import process from "node:process";
import sharp, { type Sharp } from "sharp";
import { parseConfig } from "../lib/core/config.ts";
import { writeCsv } from "../lib/core/csv.ts";
import { DataError } from "../lib/core/errors.ts";
import { exists } from "../lib/core/files.ts";
import { hasMarker, MARKER } from "../lib/core/paths.ts";
import { createRandom, type Random } from "../lib/core/random.ts";
import type { OnProgress } from "../lib/core/stop.ts";
import {
  createNoise,
  type CropPlan,
  drawCrop,
  encodeCrop,
  planSampleSet,
} from "./sample_drawing.ts";

/**
 * What can be wrong with a picture or unusual about its file, each so strong that a person sees it.
 * Each is made of a crop of its own: of a crop that is in the set too it would be a near-duplicate.
 */
export const ODD_CROPS: readonly OddCrop[] = [
  {
    fault: "blurred",
    extension: ".png",
    make: (source) => opaque(source).blur(14).png().toBuffer(),
  },
  { fault: "blurred", extension: ".jpg", make: blurredByScaling },
  { fault: "too_dark", extension: ".png", make: (source) => withContrast(source, 7, 20) },
  { fault: "too_bright", extension: ".png", make: (source) => withContrast(source, 7, 240) },
  { fault: "nearly_uniform", extension: ".png", make: (source) => withContrast(source, 2, 190) },
  { fault: "empty_margin", extension: ".png", make: besideTheTissue },
  { fault: "empty_margin", extension: ".jpg", make: withBars },
  {
    fault: "grey",
    extension: ".png",
    make: (source) => opaque(source).greyscale().toColourspace("b-w").png().toBuffer(),
  },
  {
    fault: "grey", // in a file with three equal channels
    extension: ".jpg",
    make: (source) => opaque(source).greyscale().jpeg({ quality: 90 }).toBuffer(),
  },
  {
    fault: "sixteen_bit",
    extension: ".png",
    make: (source) => opaque(source).toColourspace("rgb16").png().toBuffer(),
  },
  {
    fault: "cmyk",
    extension: ".jpg",
    make: (source) => opaque(source).toColourspace("cmyk").jpeg({ quality: 90 }).toBuffer(),
  },
  { fault: "hidden_by_transparency", extension: ".png", make: partlyHidden },
  {
    fault: "size_outlier",
    extension: ".png",
    make: (source) => opaque(source).resize(150).png().toBuffer(),
  },
  { fault: "aspect_outlier", extension: ".png", make: middleStrip },
  {
    fault: "wrong_extension",
    extension: ".png",
    make: (source) => opaque(source).jpeg({ quality: 88 }).toBuffer(),
  },
];

/**
 * Makes the synthetic sample set: `folder`/CLASS/ for both classes of the default config,
 * `folder`/new/ (crops of other slides, no class in path or name), new_truth.csv (name,label),
 * faults.csv (path,fault,other_path: what was planted on purpose) and SYNTHETIC.md, which says what
 * the pictures are. The same seed gives the same bytes.
 *
 * Everything is made in a folder beside and renamed into place, so that an interruption leaves no
 * half of it. A sample set that is there already is left as it is.
 *
 * @param options `seed`; `trainCrops` in the class folders (default 360); `newCrops` (default 60).
 *   The planted faults come on top.
 * @throws {DataError} When `folder` holds anything else.
 */
export async function makeSampleSet(
  folder: string,
  options: { seed?: number; trainCrops?: number; newCrops?: number; onProgress?: OnProgress } = {},
): Promise<void> {
  const { seed = 42, trainCrops = 360, newCrops = 60, onProgress } = options;
  const target = resolve(folder);
  if (await hasMarker(target)) return;
  await refuseForeign(target);
  await removeLeftovers(target);
  const making = join(dirname(target), `.${basename(target)}.${Deno.pid}.making`);
  try {
    const crops = planSampleSet(seed, trainCrops, newCrops);
    for (const name of [...parseConfig({}).data.classes, "new"]) {
      await Deno.mkdir(join(making, name), { recursive: true });
    }
    const draw = createDraw(seed);
    await writeCrops(making, crops, draw, onProgress);
    const random = createRandom(`${seed}/faults`);
    const faults = await plantFaults(making, crops, random, (crop) => draw(crop)());
    await writeTables(making, crops, faults);
    await Deno.writeTextFile(join(making, MARKER), describeSet(seed, crops, faults));
    await moveIntoPlace(making, target);
  } catch (error) {
    await Deno.remove(making, { recursive: true }).catch(() => {});
    throw error;
  }
}

async function writeCrops(
  folder: string,
  crops: readonly CropPlan[],
  draw: (crop: CropPlan) => () => Promise<Uint8Array>,
  onProgress: OnProgress | undefined,
): Promise<void> {
  const write = async (crop: CropPlan, encode: () => Promise<Uint8Array>) =>
    await Deno.writeFile(join(folder, cropPath(crop)), await encode());
  // One crop is encoded on another core while the next is drawn.
  let writing = Promise.resolve();
  for (const [i, crop] of crops.entries()) {
    const encode = draw(crop);
    await writing;
    onProgress?.(i, crops.length, crop.name);
    writing = write(crop, encode);
  }
  await writing;
  onProgress?.(crops.length, crops.length);
}

/** Draws a planned crop at once; the bytes of its file are made when they are asked for. */
function createDraw(seed: number): (crop: CropPlan) => () => Promise<Uint8Array> {
  const noise = createNoise(createRandom(`${seed}/noise`));
  return (crop) => {
    const drawing = drawCrop(crop, createRandom(`${seed}/crop/${crop.name}`), noise);
    return () => encodeCrop(drawing, crop.name, createRandom(`${seed}/file/${crop.name}`));
  };
}

async function writeTables(
  folder: string,
  crops: readonly CropPlan[],
  faults: readonly Fault[],
): Promise<void> {
  const truth = new Map(crops.filter((c) => c.isNew).map((c) => [cropPath(c), c.label]));
  for (const { path, fault, other_path } of faults) {
    const label = truth.get(other_path);
    if (label && fault === "exact_duplicate") truth.set(path, label);
  }
  const rows = [...truth].map(([path, label]) => ({ name: path.slice("new/".length), label }));
  rows.sort((a, b) => a.name < b.name ? -1 : 1);
  await writeCsv(join(folder, "new_truth.csv"), ["name", "label"], rows);
  await writeCsv(
    join(folder, "faults.csv"),
    ["path", "fault", "other_path"],
    faults.map((fault) => ({ ...fault })),
  );
}

/** A person's files are never touched: only an absent folder, or an empty one, will do. */
async function refuseForeign(target: string): Promise<void> {
  if (!await exists(target)) return;
  if ((await Deno.stat(target)).isDirectory) {
    let isEmpty = true;
    for await (const _ of Deno.readDir(target)) isEmpty = false;
    if (isEmpty) return;
  }
  throw new DataError(
    `${target} exists and is not a synthetic sample set (it has no ${MARKER}); nothing in it was ` +
      "changed.",
    "Move it away, or choose another folder for the sample set.",
  );
}

/** Removes what a killed process left half made; another that is still at work keeps its own. */
async function removeLeftovers(target: string): Promise<void> {
  await Deno.mkdir(dirname(target), { recursive: true });
  const prefix = `.${basename(target)}.`;
  for await (const { name } of Deno.readDir(dirname(target))) {
    if (!name.startsWith(prefix) || !name.endsWith(".making")) continue;
    const pid = Number(name.slice(prefix.length, -".making".length));
    if (!Number.isInteger(pid) || pid <= 0) continue;
    if (pid !== Deno.pid && isRunning(pid)) continue;
    await Deno.remove(join(dirname(target), name), { recursive: true });
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0); // signal 0 only asks
    return true;
  } catch (error) {
    return (error as { code?: string }).code === "EPERM";
  }
}

async function moveIntoPlace(making: string, target: string): Promise<void> {
  // Fails, as it should, if something has been put there meanwhile.
  if (await exists(target)) await Deno.remove(target);
  await Deno.rename(making, target);
}

function describeSet(
  seed: number,
  crops: readonly CropPlan[],
  faults: readonly Fault[],
): string {
  const slides = new Set(crops.filter((crop) => !crop.isNew).map((crop) => crop.slide.name)).size;
  const old = crops.filter((crop) => !crop.isNew).length;
  return `# Synthetic sample set

These pictures are **synthetic**: a program drew them (seed ${seed}). They show no tissue of any
person or animal. They are here so that everything can be tried before there are images of one's
own, and **they prove nothing about tissue**: a score reached on them says nothing about how well
glomeruli are told apart on real slides.

- ${old} crops from ${slides} pretended slides in the two class folders. The slide is the start of
  the file name, for example \`slide_03\` (\`data.groupPattern\` = \`(slide_\\d+)\`).
- new/: ${crops.length - old} crops from other slides. new_truth.csv holds their classes.
- faults.csv: ${faults.length} files planted on purpose on top of these: damaged files, files that
  are no images, duplicates and near-duplicates, and pictures that are blurred, nearly black, white
  or uniform, half empty, of an odd size or stored in an unusual way.

The look is modelled on periodic acid-Schiff (PAS) stain. Stain, thickness and size differ from slide
to slide; some crops are out of focus, folded, torn, cut off or badly stained. Segmental sclerosis is
not global sclerosis and lies in the folder of the others.

Delete this whole folder when it is no longer wanted. While this file is here, every page that shows a
result of these pictures says that they are synthetic.
`;
}

/** A file planted on purpose, so that there is something to find. */
export interface Fault {
  /** Path in the sample set, `/` between folders. */
  path: string;
  /** What is wrong with it. */
  fault:
    | "truncated"
    | "zero_byte"
    | "not_an_image"
    | "exact_duplicate"
    | "exact_duplicate_other_class"
    | "near_duplicate_reencoded"
    | "near_duplicate_rescaled"
    | "near_duplicate_flipped"
    | OddCrop["fault"];
  /** The good file it was made from; empty where there is none. */
  other_path: string;
}

/** A fault to make from the bytes of a good crop. */
interface Recipe {
  fault: Fault["fault"];
  extension: string;
  make: (source: Uint8Array) => Promise<Uint8Array> | Uint8Array;
  /** Put beside the crops of another slide or class than the source's. */
  place?: "other slide" | "other class";
  /** Made of a new crop like the source, which is not in the set itself. */
  isDrawn?: boolean;
}

const half = (bytes: Uint8Array) => bytes.slice(0, Math.floor(bytes.length * 0.55));

const asPng = (source: Uint8Array) => sharp(source).png();

const NOTE = "Slide scanned again on Tuesday, see the other folder.\n";

const TRUNCATED_PNG: Recipe = {
  fault: "truncated",
  extension: ".png",
  make: async (source) => half(await asPng(source).toBuffer()),
};

const TRUNCATED_JPEG: Recipe = {
  fault: "truncated",
  extension: ".jpg",
  make: async (source) => half(await sharp(source).removeAlpha().jpeg().toBuffer()),
};

const ZERO_BYTE: Recipe = { fault: "zero_byte", extension: ".png", make: () => new Uint8Array() };

const NOT_AN_IMAGE: Recipe = {
  fault: "not_an_image",
  extension: ".png",
  make: () => new TextEncoder().encode(NOTE),
};

const DUPLICATE: Recipe = { fault: "exact_duplicate", extension: "", make: (source) => source };

const IN_CLASS_FOLDERS: readonly Recipe[] = [
  TRUNCATED_PNG,
  TRUNCATED_PNG,
  TRUNCATED_JPEG,
  ZERO_BYTE,
  NOT_AN_IMAGE,
  DUPLICATE,
  { ...DUPLICATE, place: "other slide" },
  { ...DUPLICATE, fault: "exact_duplicate_other_class", place: "other class" },
  {
    fault: "near_duplicate_reencoded",
    extension: ".jpg",
    // Over white, as every program saves it: without alpha, what transparency hides would show.
    make: (source) =>
      sharp(source).flatten({ background: "#ffffff" }).jpeg({ quality: 75 }).toBuffer(),
  },
  {
    fault: "near_duplicate_rescaled",
    extension: ".png",
    make: async (source) => {
      const { width } = await sharp(source).metadata();
      return await asPng(source).resize(Math.round(width * 0.8)).toBuffer();
    },
    place: "other slide",
  },
  {
    fault: "near_duplicate_flipped",
    extension: ".png",
    make: (source) => asPng(source).flop().toBuffer(),
  },
  ...ODD_CROPS.map((odd) => ({ ...odd, isDrawn: true })),
];

const IN_NEW: readonly Recipe[] = [
  TRUNCATED_PNG,
  TRUNCATED_JPEG,
  ZERO_BYTE,
  NOT_AN_IMAGE,
  DUPLICATE,
];

/** Path of a planned crop in the sample set. */
export function cropPath(crop: CropPlan): string {
  return `${crop.isNew ? "new" : crop.label}/${crop.name}`;
}

/**
 * Plants the faults among the crops already written under `folder`; their names go on from the
 * slide's last number.
 *
 * @param draw Draws a planned crop: the bytes of its file.
 * @returns What was planted where, in the order it was planted.
 */
export async function plantFaults(
  folder: string,
  crops: readonly CropPlan[],
  random: Random,
  draw: (crop: CropPlan) => Promise<Uint8Array>,
): Promise<Fault[]> {
  const faults: Fault[] = [];
  const numbers = new Map<string, number>();
  for (const { name } of crops) numbers.set(slideOf(name), (numbers.get(slideOf(name)) ?? 0) + 1);
  const labels = [...new Set(crops.map((crop) => crop.label))];
  for (const [isNew, recipes] of [[false, IN_CLASS_FOLDERS], [true, IN_NEW]] as const) {
    const sources = random.shuffle(crops.filter((crop) => crop.isNew === isNew));
    for (const [i, recipe] of recipes.entries()) {
      const source = sources[i % sources.length];
      // Among fewer crops than odd ones nothing would be odd.
      if (!source || (recipe.isDrawn && sources.length < ODD_CROPS.length)) continue;
      const slide = recipe.place === "other slide"
        ? sources.find((crop) => crop.slide !== source.slide)?.slide ?? source.slide
        : source.slide;
      const label = recipe.place === "other class"
        ? labels.find((other) => other !== source.label) ?? source.label
        : source.label;
      const number = (numbers.get(slide.name) ?? 0) + 1;
      numbers.set(slide.name, number);
      const stem = `${slide.name}_${String(number).padStart(3, "0")}`;
      const name = stem + (recipe.extension || extname(source.name));
      const path = `${isNew ? "new" : label}/${name}`;
      const bytes = recipe.isDrawn
        ? await draw({ ...source, name: `${stem}.png` })
        : await Deno.readFile(join(folder, cropPath(source)));
      await Deno.writeFile(join(folder, path), await recipe.make(bytes));
      const isAlone = recipe === ZERO_BYTE || recipe === NOT_AN_IMAGE || recipe.isDrawn;
      faults.push({ path, fault: recipe.fault, other_path: isAlone ? "" : cropPath(source) });
    }
  }
  return faults;
}

function slideOf(name: string): string {
  return name.slice(0, "slide_00".length);
}

/** A way to spoil a crop or to store it oddly. */
export interface OddCrop {
  fault:
    | "blurred"
    | "too_dark"
    | "too_bright"
    | "nearly_uniform"
    | "empty_margin"
    | "grey"
    | "sixteen_bit"
    | "cmyk"
    | "hidden_by_transparency"
    | "size_outlier"
    | "aspect_outlier"
    | "wrong_extension";
  extension: string;
  /** From the bytes of a good crop, RGBA PNG. */
  make: (source: Uint8Array) => Promise<Uint8Array>;
}

const WHITE = "#f4f2f5";

const opaque = (source: Uint8Array): Sharp => sharp(source).flatten({ background: WHITE });

/** As if enlarged from a thirtieth of its size. */
async function blurredByScaling(source: Uint8Array): Promise<Uint8Array> {
  const { width, height } = await sharp(source).metadata();
  const small = await opaque(source).resize(Math.round(width / 30)).png().toBuffer();
  return await sharp(small).resize(width, height, { fit: "fill", kernel: "cubic" })
    .jpeg({ quality: 90 }).toBuffer();
}

/** With so much contrast (standard deviation) around a mean, both in grey levels. */
async function withContrast(
  source: Uint8Array,
  contrast: number,
  mean: number,
): Promise<Uint8Array> {
  const { data, info } = await opaque(source).raw().toBuffer({ resolveWithObject: true });
  const { channels } = await sharp(data, { raw: info }).stats();
  const own = channels.reduce((sum, { mean }) => sum + mean, 0) / channels.length;
  const deviation = channels.reduce((sum, { stdev }) => sum + stdev, 0) / channels.length;
  const slope = contrast / deviation;
  return await sharp(data, { raw: info }).linear(slope, mean - slope * own).png().toBuffer();
}

/** Nearly half as much glass beside it. */
async function besideTheTissue(source: Uint8Array): Promise<Uint8Array> {
  const { width } = await sharp(source).metadata();
  const left = Math.round(0.45 * width);
  return await opaque(source).extend({ left, background: WHITE }).png().toBuffer();
}

/** Black bars above and below. */
async function withBars(source: Uint8Array): Promise<Uint8Array> {
  const { height } = await sharp(source).metadata();
  const bar = Math.round(0.25 * height);
  return await opaque(source).extend({ top: bar, bottom: bar, background: "#000000" })
    .jpeg({ quality: 88 }).toBuffer();
}

/** The left fifth fully transparent, its colours still in the file. */
async function partlyHidden(source: Uint8Array): Promise<Uint8Array> {
  const { data, info } = await opaque(source).ensureAlpha().raw()
    .toBuffer({ resolveWithObject: true }); // [height, width, 4]
  for (let i = 0; i < data.length; i += 4) {
    if (i / 4 % info.width < info.width / 5) data[i + 3] = 0;
  }
  return await sharp(data, { raw: info }).png().toBuffer();
}

/** A third of its height. */
async function middleStrip(source: Uint8Array): Promise<Uint8Array> {
  const { width, height } = await sharp(source).metadata();
  const third = Math.round(height / 3);
  return await opaque(source).extract({ left: 0, top: third, width, height: third }).png()
    .toBuffer();
}
