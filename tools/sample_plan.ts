import { parseConfig } from "../lib/core/config.ts";
import { createRandom, type Random } from "../lib/core/random.ts";

/** One crop to draw. */
export interface CropPlan {
  name: string; // of the file, with its extension; it starts with the slide's name
  label: string; // name of the class folder
  slide: Slide;
  pattern: Pattern;
  isNew: boolean; // in `folder/new/`, not in a class folder
}

/** What all crops of one slide share. */
export interface Slide {
  name: string; // for example `slide_03`
  share: number; // fraction of its glomeruli that are globally sclerotic
  weight: number; // crops cut from it, relative to the other slides
  stain: Stain;
  pixelSize: number; // the scanner's, edge in µm
  scarring: number; // and inflammation between the tubules, 0 to 1
}

/** Shares of global sclerosis on the slides: a fifth on average, and far apart. */
const SHARES = [0.05, 0.45, 0.12, 0.22, 0.08, 0.34, 0.18, 0.05, 0.4, 0.15, 0.28, 0.1];

const NEW_SHARES = [0.08, 0.42, 0.18];

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

/** Fewer crops than this on a slide say little about it: tiny sets get fewer slides. */
const CROPS_PER_SLIDE = 8;

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

/** One file name has a space, a comma and signs beyond ASCII, as people's files do. */
const QUIRKY_NAME = " – cortex n° 7, 40×.png";

function planCrops(
  slides: readonly Slide[],
  count: number,
  random: Random,
  isNew: boolean,
): CropPlan[] {
  const total = sumOf(slides);
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
  let left = random.next() * sumOf(patterns);
  return (patterns.find((pattern) => (left -= pattern.weight) < 0) ?? patterns[0]!);
}

function sumOf(parts: readonly { weight: number }[]): number {
  return parts.reduce((sum, { weight }) => sum + weight, 0);
}

/** Optical density in red, green and blue of one unit of stain. */
type StainVector = readonly [number, number, number];

/** How one slide took its stain. */
export interface Stain {
  pas: StainVector; // periodic acid-Schiff: basement membranes, mesangium, sclerosis
  haematoxylin: StainVector; // nuclei
  haze: number; // haematoxylin everywhere in the tissue, from an overlong counterstain
  white: StainVector; // colour of the empty slide, 0 to 255
}

/** Draws a slide's stain: from thin and pink to thick and purple, as laboratories differ. */
function drawStain(random: Random): Stain {
  const between = (low: number, high: number) => low + (high - low) * random.next();
  const strength = between(0.62, 1.35);
  const red = between(0.05, 0.2); // little: magenta-red; much: purple
  const counterstain = between(0.75, 1.3);
  const white = between(238, 252);
  const scaled = (scale: number, vector: StainVector) =>
    vector.map((density) => scale * density) as unknown as StainVector;
  return {
    pas: scaled(strength, [red, between(0.72, 0.86), between(0.27, 0.46)]),
    haematoxylin: scaled(
      counterstain,
      [between(0.5, 0.62), between(0.52, 0.62), between(0.28, 0.42)],
    ),
    haze: random.next() < 0.25 ? between(0.08, 0.28) : between(0, 0.05),
    white: [white, white - between(0, 5), white - between(-2, 4)],
  };
}

/** Lowest and highest value. */
export type Range = readonly [number, number];

/** What is drawn anew for each glomerulus, from the ranges of its pattern. */
export interface Measures<T> {
  radius: T; // of Bowman's capsule, µm
  fill: T; // radius of the tuft over that of the capsule
  solid: T; // fraction of the tuft's width that is solid
  open: T; // fraction of the other capillaries that are open
  mesangium: T; // and walls, 1: normal
  cells: T; // nuclei in the tuft, 1: normal
  capsule: T; // its thickness, µm
  collagen: T; // in Bowman's space, 0: empty
  scar: T; // its width around the capsule, µm
  density: T; // how strongly solid parts stain
}

/** A way a glomerulus can look. */
export interface Pattern extends Measures<Range> {
  sclerotic: boolean; // whether a pathologist would call it globally sclerotic
  weight: number; // how common it is in its class
}

const NORMAL: Pattern = {
  sclerotic: false,
  weight: 38,
  radius: [62, 100],
  fill: [0.84, 0.95],
  solid: [0, 0],
  open: [0.72, 0.97],
  mesangium: [0.8, 1.2],
  cells: [0.85, 1.15],
  capsule: [1.2, 2.4],
  collagen: [0, 0.03],
  scar: [0, 5],
  density: [0.65, 1],
};

const SHRUNKEN: Pattern = { ...NORMAL, radius: [54, 86], capsule: [2, 5], scar: [2, 15] };

const SOLIDIFIED: Pattern = {
  sclerotic: true,
  weight: 38,
  radius: [52, 92],
  fill: [0.9, 1.02],
  solid: [1, 1],
  open: [0.2, 0.4],
  mesangium: [1.2, 1.8],
  cells: [0.35, 1.1],
  capsule: [2, 6],
  collagen: [0.05, 0.5],
  scar: [3, 22],
  density: [0.42, 0.9],
};

/** All patterns. Those of one class overlap with the other's in colour, size and cellularity. */
const PATTERNS: readonly Pattern[] = [
  NORMAL,
  // Hypercellular.
  { ...NORMAL, weight: 14, open: [0.1, 0.4], mesangium: [1.1, 1.6], cells: [1.3, 1.9] },
  // Mesangial expansion.
  { ...NORMAL, weight: 12, open: [0.3, 0.6], mesangium: [1.8, 3], cells: [0.9, 1.3] },
  // Segmental sclerosis.
  { ...NORMAL, weight: 16, solid: [0.2, 0.5], open: [0.5, 0.85], capsule: [1.5, 3.5] },
  // Ischaemic.
  { ...SHRUNKEN, weight: 12, fill: [0.6, 0.78], open: [0.15, 0.45], collagen: [0, 0.12] },
  // Mostly sclerotic.
  { ...SHRUNKEN, weight: 10, solid: [0.6, 0.85], open: [0.35, 0.7], collagen: [0, 0.25] },
  SOLIDIFIED,
  // Obsolescent in a collar of collagen.
  { ...SOLIDIFIED, weight: 24, fill: [0.55, 0.8], collagen: [0.35, 0.8], density: [0.75, 1.1] },
  // Hyaline.
  { ...SOLIDIFIED, weight: 16, density: [0.24, 0.45], cells: [0.1, 0.4], collagen: [0.1, 0.4] },
  // With remnants of open loops.
  { ...SOLIDIFIED, weight: 22, solid: [0.82, 0.92], cells: [0.5, 1], collagen: [0, 0.2] },
];
