import { extname, join } from "node:path";
import sharp from "sharp";
import type { Random } from "../../random.ts";
import { ODD_CROPS, type OddCrop } from "./odd_crops.ts";
import type { CropPlan } from "./plan.ts";

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
