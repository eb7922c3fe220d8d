import { basename, dirname, join, resolve } from "node:path";
import process from "node:process";
import { parseConfig } from "../config.ts";
import { writeCsv } from "../csv.ts";
import { DataError } from "../errors.ts";
import { exists } from "../files.ts";
import type { OnProgress } from "../progress.ts";
import { createRandom } from "../random.ts";
import { drawCrop } from "./sample/draw_crop.ts";
import { encodeCrop } from "./sample/encode_crop.ts";
import { cropPath, type Fault, plantFaults } from "./sample/faults.ts";
import { createNoise } from "./sample/noise.ts";
import { type CropPlan, planSampleSet } from "./sample/plan.ts";

const MARKER = "SYNTHETIC.md";
const PARENTS = 3;

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

/** Whether a folder, or one of the three above it, is a synthetic sample set. */
export async function isSynthetic(folder: string): Promise<boolean> {
  let place = resolve(folder);
  for (let level = 0; level <= PARENTS; level++) {
    if (await hasMarker(place)) return true;
    place = dirname(place);
  }
  return false;
}

async function hasMarker(folder: string): Promise<boolean> {
  try {
    return await exists(join(folder, MARKER));
  } catch (error) {
    if (error instanceof Deno.errors.NotADirectory) return false; // a file was named
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
