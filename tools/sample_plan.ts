import { cumsum, sum } from "d3-array";
import { parseConfig } from "../lib/core/config.ts";
import { createRandom, type Random } from "../lib/core/random.ts";

/** Shares of global sclerosis on the slides: a fifth on average, and far apart. */
const SHARES = [0.05, 0.45, 0.12, 0.22, 0.08, 0.34, 0.18, 0.05, 0.4, 0.15, 0.28, 0.1];

const NEW_SHARES = [0.08, 0.42, 0.18];

/** One crop to draw. */
export type CropPlan = ReturnType<typeof planPart>[number];

/**
 * Which crops the sample set has. Class, format and name are fixed by quota, not by chance, so that
 * small sets keep the promised shares.
 */
export function planSampleSet(seed: number, trainCrops: number, newCrops: number): CropPlan[] {
  return [
    ...planPart(seed, SHARES, 1, trainCrops, false),
    ...planPart(seed, NEW_SHARES, SHARES.length + 1, newCrops, true),
  ];
}

function planPart(seed: number, shares: number[], first: number, count: number, isNew: boolean) {
  const random = createRandom(`${seed}/${isNew ? "new crops" : "crops"}`);
  // Fewer crops than eight on a slide say little about it: tiny sets get fewer slides.
  const slides = shares.slice(0, Math.max(3, Math.floor(count / 8)))
    .map((share, i) => planSlide(seed, first + i, share));
  const total = sum(slides, (slide) => slide.weight);
  const sizes = apportion(slides.map((slide) => slide.weight / total * count));
  const positives = apportion(slides.map((slide, i) => slide.share * sizes[i]!));
  // One in ten JPEG, one in twenty TIFF, at least one of each from six crops on; the rest PNG.
  const quota = (every: number) => count < 6 ? 0 : Math.max(1, Math.round(count / every));
  const [jpeg, tiff] = [quota(10), quota(20)];
  const format = (i: number) => i < jpeg ? ".jpg" : i < jpeg + tiff ? ".tif" : ".png";
  const formats = random.shuffle(Array.from({ length: count }, (_, i) => format(i)));
  const [negative, positive] = parseConfig({}).data.classes as [string, string];
  const crops = slides.flatMap((slide, i) => {
    const isPositive = Array.from({ length: sizes[i]! }, (_, k) => k < positives[i]!);
    return random.shuffle(isPositive).map((sclerotic, k) => ({
      name: `${slide.name}_${String(k + 1).padStart(3, "0")}`, // of the file
      label: sclerotic ? positive : negative, // name of the class folder
      slide,
      sclerotic,
      ranges: pickRanges(random, sclerotic),
      isNew, // in `folder/new/`, not in a class folder
    }));
  });
  crops.forEach((crop, i) => crop.name += formats[i]!);
  // One file name has a space, a comma and signs beyond ASCII, as people's files do.
  const quirky = crops.find((crop) => !isNew && crop.name.endsWith(".png"));
  if (quirky) quirky.name = quirky.name.replace(/\.png$/, " – cortex n° 7, 40×.png");
  return crops;
}

/** What all crops of one slide share. */
function planSlide(seed: number, number: number, share: number) {
  const name = `slide_${String(number).padStart(2, "0")}`;
  const random = createRandom(`${seed}/slide/${name}`);
  return {
    name,
    share, // of its glomeruli, that are globally sclerotic
    weight: 0.6 + 0.8 * random.next(), // crops cut from it, relative to the other slides
    stain: drawStain(random),
    pixelSize: 0.26 + 0.06 * random.next(), // the scanner's, edge in µm
    scarring: random.next() ** 1.5, // and inflammation between the tubules, 0 to 1
  };
}

/** Whole numbers whose running sum stays within one half of the running sum of `parts`. */
function apportion(parts: readonly number[]): number[] {
  const sums = [0, ...cumsum(parts)].map(Math.round);
  return parts.map((_, i) => sums[i + 1]! - sums[i]!);
}

function pickRanges(random: Random, sclerotic: boolean): Ranges {
  const patterns = PATTERNS.filter((pattern) => pattern[0] === sclerotic);
  let left = random.next() * sum(patterns, ([, weight]) => weight);
  return patterns.find(([, weight]) => (left -= weight) < 0)?.[2] ?? NORMAL;
}

/** How one slide took its stain. */
export type Stain = ReturnType<typeof drawStain>;

/** Draws a slide's stain: from thin and pink to thick and purple, as laboratories differ. */
function drawStain(random: Random) {
  const between = (low: number, high: number) => low + (high - low) * random.next();
  const strength = between(0.62, 1.35);
  const red = between(0.05, 0.2); // little: magenta-red; much: purple
  const counterstain = between(0.75, 1.3);
  const white = between(238, 252);
  // Optical density in red, green and blue of one unit of stain.
  const scaled = (scale: number, ...vector: number[]) => vector.map((density) => scale * density);
  return {
    // Periodic acid-Schiff: basement membranes, mesangium, sclerosis.
    pas: scaled(strength, red, between(0.72, 0.86), between(0.27, 0.46)),
    // Nuclei.
    haematoxylin: scaled(
      counterstain,
      between(0.5, 0.62),
      between(0.52, 0.62),
      between(0.28, 0.42),
    ),
    // Haematoxylin everywhere in the tissue, from an overlong counterstain.
    haze: random.next() < 0.25 ? between(0.08, 0.28) : between(0, 0.05),
    // Colour of the empty slide, 0 to 255.
    white: [white, white - between(0, 5), white - between(-2, 4)],
  };
}

/** Lowest and highest value. */
export type Range = readonly [number, number];

/** What is drawn anew for each glomerulus, from these ranges: those of a normal one. */
const NORMAL = {
  radius: [62, 100], // of Bowman's capsule, µm
  fill: [0.84, 0.95], // radius of the tuft over that of the capsule
  solid: [0, 0], // fraction of the tuft's width that is solid
  open: [0.72, 0.97], // fraction of the other capillaries that are open
  mesangium: [0.8, 1.2], // and walls, 1: normal
  cells: [0.85, 1.15], // nuclei in the tuft, 1: normal
  capsule: [1.2, 2.4], // its thickness, µm
  collagen: [0, 0.03], // in Bowman's space, 0: empty
  scar: [0, 5], // its width around the capsule, µm
  density: [0.65, 1], // how strongly solid parts stain
} satisfies Record<string, Range>;

/** The measures of one glomerulus. */
export type Measures = Record<keyof typeof NORMAL, number>;

type Ranges = Record<keyof Measures, Range>;

const SHRUNKEN: Ranges = { ...NORMAL, radius: [54, 86], capsule: [2, 5], scar: [2, 15] };

const SOLIDIFIED: Ranges = {
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

/**
 * The ways a glomerulus can look. Those of one class overlap with the other's in colour, size and
 * cellularity.
 */
const PATTERNS: readonly [isGloballySclerotic: boolean, weightInItsClass: number, Ranges][] = [
  [false, 38, NORMAL],
  // Hypercellular.
  [false, 14, { ...NORMAL, open: [0.1, 0.4], mesangium: [1.1, 1.6], cells: [1.3, 1.9] }],
  // Mesangial expansion.
  [false, 12, { ...NORMAL, open: [0.3, 0.6], mesangium: [1.8, 3], cells: [0.9, 1.3] }],
  // Segmental sclerosis.
  [false, 16, { ...NORMAL, solid: [0.2, 0.5], open: [0.5, 0.85], capsule: [1.5, 3.5] }],
  // Ischaemic.
  [false, 12, { ...SHRUNKEN, fill: [0.6, 0.78], open: [0.15, 0.45], collagen: [0, 0.12] }],
  // Mostly sclerotic.
  [false, 10, { ...SHRUNKEN, solid: [0.6, 0.85], open: [0.35, 0.7], collagen: [0, 0.25] }],
  [true, 38, SOLIDIFIED],
  // Obsolescent in a collar of collagen.
  [true, 24, { ...SOLIDIFIED, fill: [0.55, 0.8], collagen: [0.35, 0.8], density: [0.75, 1.1] }],
  // Hyaline.
  [true, 16, { ...SOLIDIFIED, density: [0.24, 0.45], cells: [0.1, 0.4], collagen: [0.1, 0.4] }],
  // With remnants of open loops.
  [true, 22, { ...SOLIDIFIED, solid: [0.82, 0.92], cells: [0.5, 1], collagen: [0, 0.2] }],
];
