import { parseConfig } from "../../config.ts";
import { createRandom, type Random } from "../../random.ts";
import { type Pattern, PATTERNS } from "./patterns.ts";
import { drawStain, type Stain } from "./stain.ts";

/** What all crops of one slide share. */
export interface Slide {
  /** For example `slide_03`. */
  name: string;
  /** Fraction of its glomeruli that are globally sclerotic. */
  share: number;
  /** Crops cut from it, relative to the other slides. */
  weight: number;
  stain: Stain;
  /** Edge of a pixel in µm: the scanner's. */
  pixelSize: number;
  /** Scarring and inflammation between the tubules, 0 to 1. */
  scarring: number;
}

/** One crop to draw. */
export interface CropPlan {
  /** File name with its extension; it starts with the slide's name. */
  name: string;
  /** Class folder name. */
  label: string;
  slide: Slide;
  pattern: Pattern;
  /** In `folder/new/`, not in a class folder. */
  isNew: boolean;
}

/** Shares of global sclerosis on the slides: a fifth on average, and far apart. */
const SHARES = [0.05, 0.45, 0.12, 0.22, 0.08, 0.34, 0.18, 0.05, 0.4, 0.15, 0.28, 0.1];
const NEW_SHARES = [0.08, 0.42, 0.18];
/** Fewer crops than this on a slide say little about it: tiny sets get fewer slides. */
const CROPS_PER_SLIDE = 8;
const QUIRKY_NAME = " – cortex n° 7, 40×.png";

/**
 * Which crops the sample set has. Class, format and name are fixed by quota, not by chance, so that
 * small sets keep the promised shares.
 */
export function planSampleSet(seed: number, trainCrops: number, newCrops: number): CropPlan[] {
  const slides = planSlides(seed, SHARES, trainCrops, 1);
  const newSlides = planSlides(seed, NEW_SHARES, newCrops, SHARES.length + 1);
  return [
    ...planCrops(slides, trainCrops, createRandom(`${seed}/crops`), false),
    ...planCrops(newSlides, newCrops, createRandom(`${seed}/new crops`), true),
  ];
}

function planSlides(
  seed: number,
  shares: readonly number[],
  crops: number,
  firstNumber: number,
): Slide[] {
  const count = Math.min(shares.length, Math.max(3, Math.floor(crops / CROPS_PER_SLIDE)));
  return shares.slice(0, count).map((share, i) => {
    const name = `slide_${String(firstNumber + i).padStart(2, "0")}`;
    const random = createRandom(`${seed}/slide/${name}`);
    return {
      name,
      share,
      weight: 0.6 + 0.8 * random.next(),
      stain: drawStain(random),
      pixelSize: 0.26 + 0.06 * random.next(),
      scarring: random.next() ** 1.5,
    };
  });
}

function planCrops(
  slides: readonly Slide[],
  count: number,
  random: Random,
  isNew: boolean,
): CropPlan[] {
  const total = slides.reduce((sum, slide) => sum + slide.weight, 0);
  const sizes = apportion(slides.map((slide) => slide.weight / total * count));
  const positives = apportion(slides.map((slide, i) => slide.share * sizes[i]!));
  const formats = random.shuffle(quotaOfFormats(count));
  const [negative, positive] = parseConfig({}).data.classes as [string, string];
  const crops = slides.flatMap((slide, i) => {
    const isSclerotic = random.shuffle(
      Array.from({ length: sizes[i]! }, (_, k) => k < positives[i]!),
    );
    return isSclerotic.map((sclerotic, k): CropPlan => ({
      name: `${slide.name}_${String(k + 1).padStart(3, "0")}`,
      label: sclerotic ? positive : negative,
      slide,
      pattern: pickPattern(random, sclerotic),
      isNew,
    }));
  });
  crops.forEach((crop, i) => crop.name += formats[i]!);
  const quirky = crops.find((crop) => !isNew && crop.name.endsWith(".png"));
  if (quirky) quirky.name = quirky.name.replace(/\.png$/, QUIRKY_NAME);
  return crops;
}

/** Whole numbers whose running sum stays within one half of the running sum of `parts`. */
function apportion(parts: readonly number[]): number[] {
  let exact = 0;
  let given = 0;
  return parts.map((part) => {
    exact += part;
    const whole = Math.round(exact) - given;
    given += whole;
    return whole;
  });
}

/** One in ten JPEG, one in twenty TIFF, at least one of each from six crops on; the rest PNG. */
function quotaOfFormats(count: number): string[] {
  const jpeg = count < 6 ? 0 : Math.max(1, Math.round(count / 10));
  const tiff = count < 6 ? 0 : Math.max(1, Math.round(count / 20));
  return Array.from(
    { length: count },
    (_, i) => i < jpeg ? ".jpg" : i < jpeg + tiff ? ".tif" : ".png",
  );
}

function pickPattern(random: Random, sclerotic: boolean): Pattern {
  const patterns = PATTERNS.filter((pattern) => pattern.sclerotic === sclerotic);
  let left = random.next() * patterns.reduce((sum, pattern) => sum + pattern.weight, 0);
  return (patterns.find((pattern) => (left -= pattern.weight) < 0) ?? patterns[0]!);
}
