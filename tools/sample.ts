import { mean as average } from "d3-array";
import { basename, dirname, extname, join, resolve } from "node:path";
import { pMapIterable } from "p-map";
import sharp, { type Sharp } from "sharp";
import { parseConfig } from "../lib/core/config.ts";
import { writeCsv } from "../lib/core/csv.ts";
import { DataError } from "../lib/core/errors.ts";
import { exists } from "../lib/core/files.ts";
import type { OnProgress } from "../lib/core/long_work.ts";
import { hasMarker, MARKER } from "../lib/core/paths.ts";
import { createRandom, type Random } from "../lib/core/random.ts";
import { createDraw } from "./sample_drawing.ts";
import { type CropPlan, planSampleSet } from "./sample_plan.ts";

/**
 * Makes the synthetic sample set: `folder`/CLASS/ for both classes of the default config,
 * `folder`/new/ (crops of other slides, no class in path or name), new_truth.csv (name,label),
 * faults.csv (path,fault,other_path: what was planted on purpose, on top of the crops) and
 * SYNTHETIC.md, which says what the pictures are. The same seed gives the same bytes.
 *
 * It is made in a folder beside and renamed, so that an interruption leaves no half of it. A sample
 * set that is there already is left as it is. Two programs must not make the same one at once.
 *
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
  const making = join(dirname(target), `.${basename(target)}.making`);
  const clearUp = () => Deno.remove(making, { recursive: true }).catch(() => {});
  await clearUp(); // what a killed process left
  try {
    for (const name of [...parseConfig({}).data.classes, "new"]) {
      await Deno.mkdir(join(making, name), { recursive: true });
    }
    const crops = planSampleSet(seed, trainCrops, newCrops);
    const draw = createDraw(seed);
    let done = 0;
    // Three are encoded while the next one is painted.
    for await (const bytes of pMapIterable(crops, draw, { concurrency: 4 })) {
      const crop = crops[done++]!;
      await Deno.writeFile(join(making, cropPath(crop)), bytes);
      onProgress?.(done, crops.length, crop.name);
    }
    const faults = await plantFaults(making, crops, draw, createRandom(`${seed}/faults`));
    await writeTables(making, crops, faults);
    await Deno.writeTextFile(join(making, MARKER), describeSet(seed, crops, faults));
    await Deno.rename(making, target);
  } finally {
    await clearUp();
  }
}

/** A person's files are never touched: only an absent folder, or an empty one, will do. */
async function refuseForeign(target: string): Promise<void> {
  if (!await exists(target)) return;
  const isFolder = (await Deno.stat(target)).isDirectory;
  if (isFolder && (await Array.fromAsync(Deno.readDir(target))).length === 0) return;
  throw new DataError(
    `${target} exists and is not a synthetic sample set (it has no ${MARKER}); nothing in it was ` +
      "changed.",
    "Move it away, or choose another folder for the sample set.",
  );
}

/** Path of a crop in the sample set. */
const cropPath = (crop: CropPlan) => `${crop.isNew ? "new" : crop.label}/${crop.name}`;

/** A file planted on purpose, so that there is something to find. */
type Fault = Record<"path" | "fault" | "other_path", string>;

async function writeTables(folder: string, crops: readonly CropPlan[], faults: readonly Fault[]) {
  const truth = new Map(crops.filter((c) => c.isNew).map((c) => [cropPath(c), c.label]));
  for (const { path, fault, other_path } of faults) {
    const label = truth.get(other_path);
    if (label && fault === "exact_duplicate") truth.set(path, label);
  }
  const rows = [...truth].map(([path, label]) => ({ name: path.slice("new/".length), label }));
  rows.sort((a, b) => a.name < b.name ? -1 : 1);
  await writeCsv(join(folder, "new_truth.csv"), ["name", "label"], rows);
  await writeCsv(join(folder, "faults.csv"), ["path", "fault", "other_path"], faults);
}

function describeSet(seed: number, crops: readonly CropPlan[], faults: readonly Fault[]): string {
  const old = crops.filter((crop) => !crop.isNew);
  const slides = new Set(old.map((crop) => crop.slide.name)).size;
  return `# Synthetic sample set

These pictures are **synthetic**: a program drew them (seed ${seed}). They show no tissue of any
person or animal. They are here so that everything can be tried before there are images of one's
own, and **they prove nothing about tissue**: a score reached on them says nothing about how well
glomeruli are told apart on real slides.

- ${old.length} crops from ${slides} pretended slides in the two class folders. The slide is the start of
  the file name, for example \`slide_03\` (\`data.groupPattern\` = \`(slide_\\d+)\`).
- new/: ${crops.length - old.length} crops from other slides. new_truth.csv holds their classes.
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

/** A file to make from the bytes of a good crop; `extension`: its own by default. */
type Recipe = readonly [
  fault: string,
  extension: string | null,
  make: (source: Uint8Array) => Promise<Uint8Array> | Uint8Array,
  place?: "other slide" | "other class", // beside which crops, by default those of the source
];

/** Plants the faults among the crops under `folder`; their numbers go on from each slide's last. */
async function plantFaults(
  folder: string,
  crops: readonly CropPlan[],
  draw: (crop: CropPlan) => Promise<Uint8Array>,
  random: Random,
): Promise<Fault[]> {
  const faults: Fault[] = [];
  const numbers: Record<string, number> = {};
  for (const { slide } of crops) numbers[slide.name] = (numbers[slide.name] ?? 0) + 1;
  const labels = [...new Set(crops.map((crop) => crop.label))];
  for (const isNew of [false, true]) {
    const sources = random.shuffle(crops.filter((crop) => crop.isNew === isNew));
    // Among fewer crops than odd ones nothing would be odd.
    const odd = isNew || sources.length < ODD_CROPS.length ? [] : ODD_CROPS;
    const copies = isNew ? COPIES.slice(0, 1) : COPIES;
    for (const [i, recipe] of [...DAMAGED_FILES, ...copies, ...odd].entries()) {
      const source = sources[i % sources.length];
      if (!source) continue;
      const [fault, otherExtension, make, place] = recipe;
      const extension = otherExtension ?? extname(source.name);
      const other = place === "other slide" && sources.find((crop) => crop.slide !== source.slide);
      const slide = (other || source).slide.name;
      const number = ++numbers[slide]!;
      const label = labels.find((name) => (name !== source.label) === (place === "other class"));
      const name = `${slide}_${String(number).padStart(3, "0")}${extension}`;
      const path = `${isNew ? "new" : label ?? source.label}/${name}`;
      // A spoilt crop is one of its own: of one in the set it would be a near-duplicate.
      const bytes = odd.includes(recipe)
        ? await draw({ ...source, name: name.replace(extension, ".png") })
        : await Deno.readFile(join(folder, cropPath(source)));
      await Deno.writeFile(join(folder, path), await make(bytes));
      const isAlone = odd.includes(recipe) || ["zero_byte", "not_an_image"].includes(fault);
      faults.push({ path, fault, other_path: isAlone ? "" : cropPath(source) });
    }
  }
  return faults;
}

const asPng = (source: Uint8Array): Sharp => sharp(source).png();

/** Over white, as every program saves it: without alpha, what transparency hides would show. */
const asJpeg = (source: Uint8Array): Sharp => sharp(source).flatten({ background: "#fff" }).jpeg();

const half = (bytes: Uint8Array) => bytes.slice(0, Math.floor(bytes.length * 0.55));

const DAMAGED_FILES: readonly Recipe[] = [
  ["truncated", ".png", async (source) => half(await asPng(source).toBuffer())],
  ["truncated", ".jpg", async (source) => half(await asJpeg(source).toBuffer())],
  ["zero_byte", ".png", () => new Uint8Array()],
  ["not_an_image", ".png", () => new TextEncoder().encode("Scanned again on Tuesday.\n")],
];

const COPIES: readonly Recipe[] = [
  ["exact_duplicate", null, (source) => source],
  ["exact_duplicate", null, (source) => source, "other slide"],
  ["exact_duplicate_other_class", null, (source) => source, "other class"],
  ["near_duplicate_reencoded", ".jpg", (source) => asJpeg(source).toBuffer()],
  ["near_duplicate_rescaled", ".png", async (source) => {
    const { width } = await sharp(source).metadata();
    return await asPng(source).resize(Math.round(width * 0.8)).toBuffer();
  }, "other slide"],
  ["near_duplicate_flipped", ".png", (source) => asPng(source).flop().toBuffer()],
];

const WHITE = "#f4f2f5";

type Change = (image: Sharp, width: number, height: number) => Sharp | Promise<Sharp>;

/** A picture that is spoilt, or stored oddly, so much that a person sees it; from an RGBA PNG. */
function odd(fault: string, extension: string, change: Change): Recipe {
  return [fault, extension, async (source) => {
    const { width, height } = await sharp(source).metadata();
    const changed = await change(sharp(source).flatten({ background: WHITE }), width, height);
    return await (extension === ".jpg" ? changed.jpeg({ quality: 90 }) : changed.png()).toBuffer();
  }];
}

const ODD_CROPS: readonly Recipe[] = [
  odd("blurred", ".png", (image) => image.blur(14)),
  // As if enlarged from a thirtieth of its size.
  odd("blurred", ".jpg", async (image, width, height) => {
    const small = await image.resize(Math.round(width / 30)).png().toBuffer();
    return sharp(small).resize(width, height, { fit: "fill", kernel: "cubic" });
  }),
  odd("too_dark", ".png", (image) => withContrast(image, 7, 20)),
  odd("too_bright", ".png", (image) => withContrast(image, 7, 240)),
  odd("nearly_uniform", ".png", (image) => withContrast(image, 2, 190)),
  // Nearly half as much glass beside it; black bars above and below.
  odd("empty_margin", ".png", (image, width) => {
    return image.extend({ left: Math.round(0.45 * width), background: WHITE });
  }),
  odd("empty_margin", ".jpg", (image, _, height) => {
    const bar = Math.round(0.25 * height);
    return image.extend({ top: bar, bottom: bar, background: "#000" });
  }),
  odd("grey", ".png", (image) => image.greyscale().toColourspace("b-w")),
  odd("grey", ".jpg", (image) => image.greyscale()), // in a file with three equal channels
  odd("sixteen_bit", ".png", (image) => image.toColourspace("rgb16")),
  odd("cmyk", ".jpg", (image) => image.toColourspace("cmyk")),
  // The left fifth fully transparent, its colours still in the file.
  odd("hidden_by_transparency", ".png", async (image, width) => {
    const { data, info } = await image.ensureAlpha().raw().toBuffer({ resolveWithObject: true });
    for (let i = 3; i < data.length; i += 4) if ((i >> 2) % width < width / 5) data[i] = 0;
    return sharp(data, { raw: info }); // [height, width, 4]
  }),
  odd("size_outlier", ".png", (image) => image.resize(150)),
  odd("aspect_outlier", ".png", (image, width, height) => {
    const third = Math.round(height / 3);
    return image.extract({ left: 0, top: third, width, height: third });
  }),
  ["wrong_extension", ".png", (source) => asJpeg(source).toBuffer()],
];

/** With so much contrast (standard deviation) around a mean, both in grey levels. */
async function withContrast(image: Sharp, contrast: number, mean: number): Promise<Sharp> {
  const { data, info } = await image.raw().toBuffer({ resolveWithObject: true });
  const { channels } = await sharp(data, { raw: info }).stats();
  const slope = contrast / average(channels, ({ stdev }) => stdev)!;
  const own = average(channels, (channel) => channel.mean)!;
  return sharp(data, { raw: info }).linear(slope, mean - slope * own);
}
