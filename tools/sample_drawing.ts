import { extname } from "node:path";
import sharp from "sharp";
import { parseConfig } from "../lib/core/config.ts";
import { createRandom, type Random } from "../lib/core/random.ts";

/** A drawn crop: RGBA, row by row. */
export interface Drawing {
  width: number;
  height: number;
  pixels: Uint8ClampedArray;
  /** Standard deviation of a blur still to be applied, pixels; 0: in focus. */
  blur: number;
}

const MIN_SIDE = 480;

const MAX_SIDE = 900;

/** Draws a planned crop. The same plan and random source give the same pixels. */
export function drawCrop(plan: CropPlan, random: Random, noise: Noise): Drawing {
  const { slide } = plan;
  const glomerulus = drawGlomerulus(plan.pattern, random);
  const side = () => {
    const margin = 1.08 + 0.3 * random.next();
    const pixels = Math.round(2 * glomerulus.radius * margin / slide.pixelSize);
    return Math.min(MAX_SIDE, Math.max(MIN_SIDE, pixels));
  };
  const canvas = createCanvas(side(), side());
  const { width, height } = canvas;
  // One in fifteen is cut off by the edge of its crop.
  const shift = random.next() < 0.07 ? 0.32 : 0.035;
  const frame: Frame = {
    centreX: width * (0.5 + shift * (2 * random.next() - 1)),
    centreY: height * (0.5 + shift * (2 * random.next() - 1)),
    pixelSize: slide.pixelSize,
  };
  paint(canvas, frame, glomerulus, random, noise, slide.scarring);
  scatterNuclei(canvas, random, noise, {
    ...frame,
    tuftCells: glomerulus.cells,
    inflammation: slide.scarring * random.next(),
  });
  const { stain, blur } = addArtefacts(canvas, slide.stain, random, noise);
  return { width, height, pixels: develop(canvas, stain, random), blur };
}

interface Frame {
  centreX: number;
  centreY: number;
  pixelSize: number;
}

function paint(
  canvas: Canvas,
  frame: Frame,
  glomerulus: Glomerulus,
  random: Random,
  noise: Noise,
  scarring: number,
): void {
  const { width, height } = canvas;
  const { centreX, centreY, pixelSize } = frame;
  const toCapsule = tabulate(canvas, frame, glomerulus.capsuleDistance);
  const toTuft = tabulate(canvas, frame, glomerulus.tuftDistance);
  const toSolid = tabulate(canvas, frame, glomerulus.solidDistance);
  const compose = createComposer(glomerulus, random, noise, scarring, pixelSize);
  const ink: Ink = { pas: 0, haematoxylin: 0, tissue: Tissue.none };
  for (let j = 0; j < height; j++) {
    for (let i = 0; i < width; i++) {
      const x = (i - centreX) * pixelSize;
      const y = (j - centreY) * pixelSize;
      compose(x, y, toCapsule(i, j), toTuft(i, j), toSolid(i, j), ink);
      const index = j * width + i;
      canvas.pas[index] = ink.pas;
      canvas.haematoxylin[index] = ink.haematoxylin;
      canvas.tissue[index] = ink.tissue;
    }
  }
}

/** Puts the structures of one place over each other, with soft borders a pixel wide. */
function createComposer(
  glomerulus: Glomerulus,
  random: Random,
  noise: Noise,
  scarring: number,
  pixelSize: number,
) {
  const tubules = createTubules(random, noise, scarring, glomerulus.scar);
  const space = createSpace(random, noise, glomerulus);
  const tuft = createTuft(random, noise, glomerulus);
  const capsule = createCapsule(random, noise, glomerulus);
  const over: Ink = { pas: 0, haematoxylin: 0, tissue: Tissue.none };
  const edge = 1.2 * pixelSize;
  const scallop = (glomerulus.sclerotic ? 0.35 : 0.55) * glomerulus.loop;
  return (x: number, y: number, toCapsule: number, toTuft: number, toSolid: number, ink: Ink) => {
    if (toCapsule > 0) tubules(x, y, toCapsule, 0, ink);
    else {
      // The outline of the tuft follows its loops.
      const outline = toTuft + (noise(x / 9 + 11, y / 9 + 5) - 0.5) * scallop;
      if (outline > -edge) space(x, y, toCapsule, 0, ink);
      if (outline > edge && outline < 4 && !glomerulus.sclerotic) {
        const cell = noise(x / 5, y / 5 + 9) * smoothstep(4, 0, outline);
        ink.pas += 0.13 * cell;
        ink.haematoxylin += 0.16 * cell;
        if (cell > 0.35) ink.tissue = Tissue.podocyte;
      }
      if (outline < edge) {
        const border = toSolid + 14 * (noise(x / 20 + 17, y / 20 + 3) - 0.5);
        tuft(x, y, outline, solidity(border), over);
        const cover = smoothstep(edge, -edge, outline);
        ink.pas = mix(ink.pas, over.pas, cover);
        ink.haematoxylin = mix(ink.haematoxylin, over.haematoxylin, cover);
        if (cover > 0.5) ink.tissue = over.tissue;
      }
    }
    const wall = capsule(x, y, toCapsule);
    ink.pas = Math.max(ink.pas, wall);
    if (wall > 0.2) ink.tissue = Tissue.none;
  };
}

/** A distance computed at every eighth pixel and interpolated between: it is smooth and costly. */
function tabulate(
  canvas: Canvas,
  frame: Frame,
  distance: (x: number, y: number) => number,
): (i: number, j: number) => number {
  const step = 8;
  const columns = Math.ceil(canvas.width / step) + 1;
  const rows = Math.ceil(canvas.height / step) + 1;
  const table = new Float32Array(columns * rows);
  for (let j = 0; j < rows; j++) {
    for (let i = 0; i < columns; i++) {
      table[j * columns + i] = distance(
        (i * step - frame.centreX) * frame.pixelSize,
        (j * step - frame.centreY) * frame.pixelSize,
      );
    }
  }
  return (i, j) => {
    const base = (j >> 3) * columns + (i >> 3);
    const fx = (i & 7) / step;
    const fy = (j & 7) / step;
    const upper = table[base]! * (1 - fx) + table[base + 1]! * fx;
    const lower = table[base + columns]! * (1 - fx) + table[base + columns + 1]! * fx;
    return upper * (1 - fy) + lower * fy;
  };
}

/**
 * What goes wrong between the patient and the picture: an uneven section on every crop; a fold, the
 * edge of the tissue, bad stain or bad focus on a few.
 *
 * @returns The stain of this crop, and the blur still to be applied (standard deviation, pixels).
 */
export function addArtefacts(
  canvas: Canvas,
  stain: Stain,
  random: Random,
  noise: Noise,
): { stain: Stain; blur: number } {
  const fold = random.next() < 0.05 ? drawLine(canvas, random, 0.35) : null;
  const edge = random.next() < 0.07 ? drawLine(canvas, random, 0.75) : null;
  const thickness = 1 + 0.12 * random.normal();
  const [ox, oy] = [random.next() * 32, random.next() * 32];
  const { width, height, pas, haematoxylin } = canvas;
  for (let j = 0; j < height; j++) {
    for (let i = 0; i < width; i++) {
      const cloud = noise(i / 420 + ox, j / 420 + oy);
      let amount = Math.max(0.5, thickness) * (0.82 + 0.36 * cloud);
      if (fold) amount *= 1 + 1.1 * smoothstep(26, 20, Math.abs(fold(i, j) + 40 * (cloud - 0.5)));
      if (edge) {
        const torn = edge(i, j) + 60 * (noise(i / 120 + oy, j / 120 + ox) - 0.5);
        amount *= smoothstep(2, -2, torn);
      }
      const index = j * width + i;
      pas[index]! *= amount;
      haematoxylin[index]! *= amount;
    }
  }
  const focus = random.next();
  const blur = focus < 0.05 ? 2 + 1.8 * random.next() : focus < 0.25 ? 1.3 : 0.8;
  return { stain: varyStain(stain, random), blur };
}

/** Signed distance, in pixels, from a random line; `reach` is how far from the centre it passes. */
function drawLine(canvas: Canvas, random: Random, reach: number): (i: number, j: number) => number {
  const angle = random.next() * 2 * Math.PI;
  const offset = reach * Math.min(canvas.width, canvas.height) / 2 * (0.8 + 0.3 * random.next());
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  return (i, j) => (i - canvas.width / 2) * cos + (j - canvas.height / 2) * sin - offset;
}

/** A crop differs a little from its slide; one in twelve is far too pale or far too dark. */
function varyStain(stain: Stain, random: Random): Stain {
  const bad = random.next() < 0.08 ? (random.next() < 0.5 ? 0.5 : 1.5) : 1;
  const pas = bad * Math.max(0.5, 1 + 0.2 * random.normal());
  const haematoxylin = bad * (1 + 0.1 * random.normal());
  return {
    ...stain,
    pas: [stain.pas[0] * pas, stain.pas[1] * pas, stain.pas[2] * pas],
    haematoxylin: [
      stain.haematoxylin[0] * haematoxylin,
      stain.haematoxylin[1] * haematoxylin,
      stain.haematoxylin[2] * haematoxylin,
    ],
  };
}

/** Amounts of stain per pixel: what the drawing routines fill in. */
export interface Canvas {
  readonly width: number;
  readonly height: number;
  /** Amount of PAS, row by row. */
  readonly pas: Float32Array;
  /** Amount of haematoxylin, row by row. */
  readonly haematoxylin: Float32Array;
  /** What kind of tissue a pixel is, one of {@linkcode Tissue}. */
  readonly tissue: Uint8Array;
}

/** Kinds of tissue, which decide where nuclei may lie. */
export const Tissue = {
  none: 0,
  tubule: 1,
  interstitium: 2,
  fibrosis: 3,
  capsuleLining: 4,
  loop: 5,
  sclerosis: 6,
  podocyte: 7,
  vessel: 8,
} as const;

/** An empty canvas. */
export function createCanvas(width: number, height: number): Canvas {
  const size = width * height;
  return {
    width,
    height,
    pas: new Float32Array(size),
    haematoxylin: new Float32Array(size),
    tissue: new Uint8Array(size),
  };
}

/** Amounts of stain at one place, and its tissue. */
export interface Ink {
  pas: number;
  haematoxylin: number;
  tissue: number;
}

/**
 * Leaves in `ink` what one structure looks like at a place (µm from the glomerulus' centre).
 *
 * @param distance From the border that bounds the structure, µm.
 * @param solidity How sclerotic the place is, 0 to 1.
 */
export type Painter = (x: number, y: number, distance: number, solidity: number, ink: Ink) => void;

/** Bowman's space: empty, or filled with pale collagen in layers. `distance` is the capsule's. */
export function createSpace(random: Random, noise: Noise, glomerulus: Glomerulus): Painter {
  const [ox, oy] = [random.next() * 64, random.next() * 64];
  const { collagen } = glomerulus;
  const filled = smoothstep(0.02, 0.12, collagen);
  return (x, y, distance, _solidity, ink) => {
    const layer = noise(distance / 3.5 + 4 * noise(x / 22 + ox, y / 22 + oy), (x - y) / 70);
    const debris = smoothstep(0.7, 1.05, noise(x / 6 + ox, y / 6 + oy));
    ink.pas = 0.012 + 0.04 * debris + filled * (0.1 + 0.35 * collagen) * (0.65 + 0.7 * layer);
    ink.haematoxylin = 0.004 + 0.04 * debris + filled * (0.03 + 0.07 * layer);
    const lining = distance > -4 && distance < -1.5;
    ink.tissue = lining ? Tissue.capsuleLining : filled > 0.5 ? Tissue.fibrosis : Tissue.none;
  };
}

/** Amount of PAS in Bowman's capsule, at a distance from its middle; split into layers if thick. */
export function createCapsule(random: Random, noise: Noise, glomerulus: Glomerulus) {
  const [ox, oy] = [random.next() * 64, random.next() * 64];
  const strength = glomerulus.sclerotic ? 0.55 + 0.4 * random.next() : 1;
  return (x: number, y: number, distance: number): number => {
    if (Math.abs(distance) > glomerulus.capsule + 2) return 0;
    const uneven = noise(x / 30 + ox, y / 30 + oy);
    const half = glomerulus.capsule * (0.35 + 0.4 * uneven) + 0.3;
    const cover = smoothstep(half + 0.8, half - 0.4, Math.abs(distance));
    if (cover === 0) return 0;
    const layer = noise(distance / 1.6 + 2 * noise(x / 12, y / 12 + ox), (x + y) / 50);
    return cover * strength * (0.45 + 0.55 * (glomerulus.capsule > 2.5 ? layer : 0.6));
  };
}

/** The two nearest of irregularly spread points, one a unit of area (Worley noise). */
export interface Cells {
  /** Looks up the point (x, y) and leaves the answer in the fields below. */
  find(x: number, y: number): void;
  /** Distance to the nearest point. */
  first: number;
  /** Distance to the second nearest; half the difference is about the distance to the border. */
  second: number;
  /** A number in [0, 1) that belongs to the nearest point. */
  value: number;
}

const SIDE = 64;

// the pattern repeats after so many units
const MASK = SIDE - 1;

/** @param jitter 0: a square grid; 1: points anywhere in their square. */
export function createCells(random: Random, jitter: number): Cells {
  const count = SIDE * SIDE;
  const start = (1 - jitter) / 2;
  const draw = () => Float32Array.from({ length: count }, () => start + jitter * random.next());
  const offsetX = draw();
  const offsetY = draw();
  const values = Float32Array.from({ length: count }, () => random.next());
  const cells: Cells = {
    first: 0,
    second: 0,
    value: 0,
    find(x, y) {
      const column = Math.floor(x);
      const row = Math.floor(y);
      let first = Infinity;
      let second = Infinity;
      let nearest = 0;
      for (let j = row - 1; j <= row + 1; j++) {
        const base = (j & MASK) * SIDE;
        for (let i = column - 1; i <= column + 1; i++) {
          const index = base + (i & MASK);
          const dx = i + offsetX[index]! - x;
          const dy = j + offsetY[index]! - y;
          const squared = dx * dx + dy * dy;
          if (squared < first) {
            second = first;
            first = squared;
            nearest = index;
          } else if (squared < second) second = squared;
        }
      }
      cells.first = Math.sqrt(first);
      cells.second = Math.sqrt(second);
      cells.value = values[nearest]!;
    },
  };
  return cells;
}

/** Share of the PNG crops that reach over the end of the scan, where nothing is: alpha 0. */
const OVER_THE_END = 0.06;

/**
 * A drawing as the bytes of a file: RGBA PNG, RGB JPEG or RGB TIFF, as the name's extension says.
 * sharp of one version gives the same bytes for the same drawing.
 */
export async function encodeCrop(
  drawing: Drawing,
  name: string,
  random: Random,
): Promise<Uint8Array> {
  const { width, height, pixels, blur } = drawing;
  const extension = extname(name);
  const cut = random.next() < OVER_THE_END && extension === ".png";
  if (cut) clearStrip(drawing, Math.round(width * (0.04 + 0.14 * random.next())));
  const image = sharp(pixels, { raw: { width, height, channels: 4 } }).blur(blur);
  switch (extension) {
    case ".jpg":
      return await image.removeAlpha().jpeg({ quality: 88 }).toBuffer();
    case ".tif":
      return await image.removeAlpha().tiff({ compression: "lzw", predictor: "horizontal" })
        .toBuffer();
    default:
      return await image.png({ compressionLevel: 5, adaptiveFiltering: true }).toBuffer();
  }
}

/** Makes a strip at the right transparent black, as scanners export what they did not scan. */
function clearStrip({ width, height, pixels }: Drawing, strip: number): void {
  for (let row = 0; row < height; row++) {
    pixels.fill(0, (row * width + width - strip) * 4, (row + 1) * width * 4);
  }
}

interface Lobule {
  x: number;
  y: number;
  radius: number;
  solid: boolean;
}

/** One glomerulus: measures in µm, from its centre. */
export interface Glomerulus {
  radius: number;
  /** Direction of the vascular pole, radians. */
  pole: number;
  open: number;
  mesangium: number;
  cells: number;
  capsule: number;
  collagen: number;
  scar: number;
  density: number;
  sclerotic: boolean;
  /** Size of a capillary loop. */
  loop: number;
  /** Distance from the capsule, negative inside. */
  capsuleDistance(x: number, y: number): number;
  /** Distance from the outline of the tuft, negative inside. */
  tuftDistance(x: number, y: number): number;
  /** Distance from the border of the solid part, negative inside it. */
  solidDistance(x: number, y: number): number;
}

/** Draws one glomerulus of a pattern. */
export function drawGlomerulus(pattern: Pattern, random: Random): Glomerulus {
  const from = ([low, high]: Range) => low + (high - low) * random.next();
  const radius = from(pattern.radius);
  const pole = random.next() * 2 * Math.PI;
  const fill = from(pattern.fill);
  const lobules = drawLobules(random, radius * fill, pole, from(pattern.solid));
  const capsuleDistance = drawOutline(random, radius, pattern.sclerotic ? 0.045 : 0.026);
  // A solid tuft is one mass; an open one shows clefts between its lobules.
  const round = pattern.sclerotic ? radius * 0.3 : radius * 0.06;
  const capsule = from(pattern.capsule);
  const tuft = lobules.concat(drawStalk(radius, pole));
  const solidOnes = lobules.filter((lobule) => lobule.solid);
  const openOnes = lobules.filter((lobule) => !lobule.solid);
  return {
    radius,
    pole,
    open: from(pattern.open),
    mesangium: from(pattern.mesangium),
    cells: from(pattern.cells),
    capsule,
    collagen: from(pattern.collagen),
    scar: from(pattern.scar),
    density: from(pattern.density),
    sclerotic: pattern.sclerotic,
    loop: from([10, 16]),
    capsuleDistance,
    tuftDistance: (x, y) =>
      Math.max(unionDistance(tuft, round, x, y), capsuleDistance(x, y) + capsule / 2),
    solidDistance: (x, y) => {
      const solid = unionDistance(solidOnes, radius * 0.1, x, y);
      const open = unionDistance(openOnes, radius * 0.1, x, y);
      return Math.max(-radius, Math.min(radius, (solid - open) / 2));
    },
  };
}

/** A circle made uneven by a few waves around it; `wrinkle` is their height over the radius. */
function drawOutline(random: Random, radius: number, wrinkle: number) {
  const waves = [2, 3, 4, 5, 7, 9].map((k) => ({
    k,
    height: radius * wrinkle * random.normal() * (k === 2 ? 1.6 : 2.2 / k),
    phase: random.next() * 2 * Math.PI,
  }));
  return (x: number, y: number): number => {
    const angle = Math.atan2(y, x);
    let edge = radius;
    for (const { k, height, phase } of waves) edge += height * Math.cos(k * angle + phase);
    return Math.sqrt(x * x + y * y) - edge;
  };
}

/** Lobules around a middle one; the solid ones are neighbours, as segments are. */
function drawLobules(random: Random, radius: number, pole: number, solid: number): Lobule[] {
  const count = 6 + random.integer(4);
  const start = pole + (random.next() - 0.5) * 4;
  const around = Array.from({ length: count }, (_, i): Lobule => {
    const angle = start + (i + 0.5 * (random.next() - 0.5)) / count * 2 * Math.PI;
    const size = radius * (0.36 + 0.1 * random.next());
    const reach = radius - size;
    return {
      x: reach * Math.cos(angle),
      y: reach * Math.sin(angle),
      radius: size,
      solid: i < Math.round(solid * count),
    };
  });
  const middle: Lobule = { x: 0, y: 0, radius: radius * 0.5, solid: solid > 0.55 };
  return [middle, ...around];
}

/** Where the tuft hangs on the vascular pole. */
function drawStalk(radius: number, pole: number): Lobule[] {
  return [0.72, 0.86, 1].map((reach) => ({
    x: radius * reach * Math.cos(pole),
    y: radius * reach * Math.sin(pole),
    radius: radius * 0.15,
    solid: false,
  }));
}

function unionDistance(lobules: readonly Lobule[], round: number, x: number, y: number): number {
  let distance = 1e3;
  for (const lobule of lobules) {
    const own = Math.sqrt((x - lobule.x) ** 2 + (y - lobule.y) ** 2) - lobule.radius;
    distance = smoothMinimum(distance, own, round);
  }
  return distance;
}

/** How solid a place is, 0 to 1, from its distance to the border of the solid part. */
export function solidity(distance: number): number {
  return smoothstep(4, -4, distance);
}

/** Smooth noise in [0, 1] with a mean near 0.5; features are about one unit wide. */
export type Noise = (x: number, y: number) => number;

const SIZE = 512;

// texels along a side, a power of two so that wrapping is a mask
const UNIT = 16;

// texels per unit of length
const OCTAVES = [
  { cell: 16, weight: 0.5 },
  { cell: 8, weight: 0.27 },
  { cell: 4, weight: 0.15 },
  { cell: 2, weight: 0.08 },
];

/**
 * Value noise of four octaves, tabulated once so that a look-up costs a few nanoseconds. It repeats
 * every 32 units: give every use an offset of its own.
 */
export function createNoise(random: Random): Noise {
  const table = stretch(sumOctaves(random));
  const mask = SIZE - 1;
  return (x, y) => {
    // Turned, so that the lattice underneath does not show as level and upright lines.
    const u = (0.8 * x - 0.6 * y) * UNIT;
    const v = (0.6 * x + 0.8 * y) * UNIT;
    const left = Math.floor(u);
    const top = Math.floor(v);
    const fx = u - left;
    const fy = v - top;
    const row = (top & mask) * SIZE;
    const next = ((top + 1) & mask) * SIZE;
    const a = table[row + (left & mask)]!;
    const b = table[row + ((left + 1) & mask)]!;
    const c = table[next + (left & mask)]!;
    const d = table[next + ((left + 1) & mask)]!;
    const upper = a + (b - a) * fx;
    return upper + (c + (d - c) * fx - upper) * fy;
  };
}

function sumOctaves(random: Random): Float32Array {
  const table = new Float32Array(SIZE * SIZE);
  for (const { cell, weight } of OCTAVES) {
    const count = SIZE / cell;
    const lattice = Float32Array.from({ length: count * count }, () => random.next());
    for (let y = 0; y < SIZE; y++) {
      const top = Math.floor(y / cell);
      const fy = fade((y % cell) / cell);
      const row = top * count;
      const next = ((top + 1) % count) * count;
      for (let x = 0; x < SIZE; x++) {
        const left = Math.floor(x / cell);
        const right = (left + 1) % count;
        const fx = fade((x % cell) / cell);
        const upper = lattice[row + left]! * (1 - fx) + lattice[row + right]! * fx;
        const lower = lattice[next + left]! * (1 - fx) + lattice[next + right]! * fx;
        table[y * SIZE + x]! += weight * (upper * (1 - fy) + lower * fy);
      }
    }
  }
  return table;
}

/** Sums of uniform values crowd around 0.5; this spreads them over [0, 1] again. */
function stretch(table: Float32Array): Float32Array {
  return table.map((value) => Math.min(1, Math.max(0, 0.5 + (value - 0.5) * 1.7)));
}

function fade(t: number): number {
  return t * t * (3 - 2 * t);
}

/** How the nuclei of a kind of tissue look. Lengths in µm. */
interface Kind {
  /** Nuclei tried per 100 µm². */
  density: number;
  length: number;
  /** Width over length. */
  roundness: number;
  /** Amount of haematoxylin. */
  darkness: number;
  /** Lies along the capsule rather than any way. */
  along: boolean;
}

const KINDS: Partial<Record<number, Kind>> = {
  [Tissue.tubule]: { density: 0.95, length: 6.6, roundness: 0.9, darkness: 0.62, along: false },
  [Tissue.interstitium]: {
    density: 0.55,
    length: 7.5,
    roundness: 0.5,
    darkness: 0.95,
    along: false,
  },
  [Tissue.fibrosis]: { density: 0.3, length: 10, roundness: 0.28, darkness: 0.85, along: true },
  [Tissue.capsuleLining]: {
    density: 0.7,
    length: 8.5,
    roundness: 0.32,
    darkness: 0.8,
    along: true,
  },
  [Tissue.loop]: { density: 1.5, length: 6.8, roundness: 0.72, darkness: 0.85, along: false },
  [Tissue.sclerosis]: { density: 0.5, length: 6, roundness: 0.6, darkness: 0.85, along: false },
  [Tissue.podocyte]: { density: 1.1, length: 8, roundness: 0.75, darkness: 0.6, along: false },
  [Tissue.vessel]: { density: 0.6, length: 9, roundness: 0.3, darkness: 0.8, along: false },
};

interface Site {
  pixelSize: number;
  /** Centre of the glomerulus, pixels. */
  centreX: number;
  centreY: number;
  /** Cellularity of the tuft, 1: normal. */
  tuftCells: number;
  /** Lymphocytes between the tubules, 0 to 1. */
  inflammation: number;
}

/** Scatters nuclei over a painted canvas where its tissue allows them, without overlaps. */
export function scatterNuclei(canvas: Canvas, random: Random, noise: Noise, site: Site): void {
  const { width, height } = canvas;
  const area = width * height * site.pixelSize ** 2;
  const tries = Math.round(area / 100 * 3);
  const taken = createOccupancy(width, height);
  for (let n = 0; n < tries; n++) {
    const x = random.integer(width);
    const y = random.integer(height);
    const tissue = canvas.tissue[y * width + x]!;
    const kind = KINDS[tissue];
    const chance = random.next() * 3;
    if (!kind) continue;
    const lymphocyte = tissue === Tissue.interstitium && random.next() < site.inflammation;
    const inTuft = tissue === Tissue.loop || tissue === Tissue.sclerosis;
    const crowd = inTuft ? site.tuftCells : lymphocyte ? 3 : 1;
    if (chance > kind.density * crowd) continue;
    const size = lymphocyte ? 5.5 : kind.length * (0.82 + 0.36 * random.next());
    const roundness = lymphocyte ? 0.92 : Math.min(1, kind.roundness * (0.8 + 0.4 * random.next()));
    const long = size / 2 / site.pixelSize;
    const short = long * roundness;
    if (!taken.claim(x, y, (long + short) / 2 * (tissue === Tissue.loop ? 0.95 : 1.15))) continue;
    const radial = Math.atan2(y - site.centreY, x - site.centreX);
    const angle = kind.along ? radial + Math.PI / 2 : random.next() * Math.PI;
    const darkness = (lymphocyte ? 1.15 : kind.darkness) * (0.75 + 0.5 * random.next());
    stampNucleus(canvas, noise, {
      x,
      y,
      long,
      short,
      angle,
      darkness,
      phase: random.next() * 32,
    });
  }
}

interface Nucleus {
  x: number;
  y: number;
  long: number;
  short: number;
  angle: number;
  darkness: number;
  phase: number;
}

function stampNucleus(canvas: Canvas, noise: Noise, nucleus: Nucleus): void {
  const { x, y, long, short, angle, darkness, phase } = nucleus;
  const reach = Math.ceil(long * 1.35);
  const cos = Math.cos(angle);
  const sin = Math.sin(angle);
  const soft = 1.2 / short;
  for (let j = Math.max(0, y - reach); j <= Math.min(canvas.height - 1, y + reach); j++) {
    for (let i = Math.max(0, x - reach); i <= Math.min(canvas.width - 1, x + reach); i++) {
      const a = ((i - x) * cos + (j - y) * sin) / long;
      const b = ((j - y) * cos - (i - x) * sin) / short;
      const r = Math.sqrt(a * a + b * b) + 0.35 * (noise(a / 1.6 + phase, b / 1.6) - 0.5);
      const cover = smoothstep(1 + soft, 1 - soft, r);
      if (cover === 0) continue;
      const chromatin = 0.55 + 0.7 * noise(a * 1.6 + phase, b * 1.6 + phase);
      const rim = 0.25 * smoothstep(0.55, 0.95, r);
      const index = j * canvas.width + i;
      canvas.haematoxylin[index] = mix(
        canvas.haematoxylin[index]!,
        darkness * (chromatin * 0.85 + rim),
        cover,
      );
      canvas.pas[index] = mix(canvas.pas[index]!, 0.12, cover * 0.85);
    }
  }
}

/** Remembers which places are taken, on a grid of 3 pixels. */
function createOccupancy(width: number, height: number) {
  const step = 3;
  const columns = Math.ceil(width / step) + 1;
  const rows = Math.ceil(height / step) + 1;
  const taken = new Uint8Array(columns * rows);
  const eachCell = (x: number, y: number, radius: number, visit: (cell: number) => boolean) => {
    const reach = radius / step;
    const [cx, cy] = [x / step, y / step];
    for (let j = Math.max(0, Math.ceil(cy - reach)); j <= Math.min(rows - 1, cy + reach); j++) {
      for (
        let i = Math.max(0, Math.ceil(cx - reach));
        i <= Math.min(columns - 1, cx + reach);
        i++
      ) {
        if ((i - cx) ** 2 + (j - cy) ** 2 > reach * reach) continue;
        if (!visit(j * columns + i)) return false;
      }
    }
    return true;
  };
  return {
    /** Takes a disc (pixels) and says so, unless part of it was taken. */
    claim(x: number, y: number, radius: number): boolean {
      if (!eachCell(x, y, radius, (cell) => taken[cell] === 0)) return false;
      eachCell(x, y, radius, (cell) => (taken[cell] = 1) === 1);
      return true;
    },
  };
}

/** Lowest and highest value. */
export type Range = readonly [number, number];

/** A way a glomerulus can look. Every range is drawn from anew for each crop. */
export interface Pattern {
  name: string;
  /** Whether a pathologist would call it globally sclerotic. */
  sclerotic: boolean;
  /** How common it is in its class. */
  weight: number;
  /** Radius of Bowman's capsule, µm. */
  radius: Range;
  /** Radius of the tuft over that of the capsule. */
  fill: Range;
  /** Fraction of the lobules that are solid. */
  solid: Range;
  /** Fraction of the capillaries in the other lobules that are open. */
  open: Range;
  /** Mesangium and walls, 1: normal. */
  mesangium: Range;
  /** Nuclei in the tuft, 1: normal. */
  cells: Range;
  /** Thickness of the capsule, µm. */
  capsule: Range;
  /** Collagen in Bowman's space, 0: empty. */
  collagen: Range;
  /** Width of the scar around the capsule, µm. */
  scar: Range;
  /** How strongly solid parts stain. */
  density: Range;
}

const OPEN: Omit<Pattern, "name" | "weight"> = {
  sclerotic: false,
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

const SOLID: Omit<Pattern, "name" | "weight"> = {
  sclerotic: true,
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
export const PATTERNS: readonly Pattern[] = [
  { ...OPEN, name: "normal", weight: 38 },
  {
    ...OPEN,
    name: "hypercellular",
    weight: 14,
    open: [0.1, 0.4],
    mesangium: [1.1, 1.6],
    cells: [1.3, 1.9],
  },
  {
    ...OPEN,
    name: "mesangial expansion",
    weight: 12,
    open: [0.3, 0.6],
    mesangium: [1.8, 3],
    cells: [0.9, 1.3],
  },
  {
    ...OPEN,
    name: "segmental sclerosis",
    weight: 16,
    solid: [0.2, 0.5],
    open: [0.5, 0.85],
    capsule: [1.5, 3.5],
  },
  {
    ...OPEN,
    name: "ischaemic",
    weight: 12,
    radius: [54, 86],
    fill: [0.6, 0.78],
    open: [0.15, 0.45],
    mesangium: [1.1, 1.6],
    capsule: [2, 5],
    collagen: [0, 0.12],
    scar: [2, 14],
  },
  {
    ...OPEN,
    name: "mostly sclerotic",
    weight: 10,
    radius: [54, 86],
    solid: [0.6, 0.85],
    open: [0.35, 0.7],
    mesangium: [1.2, 1.8],
    cells: [0.6, 1.1],
    capsule: [2, 4.5],
    collagen: [0, 0.25],
    scar: [2, 16],
  },
  { ...SOLID, name: "solidified", weight: 38 },
  {
    ...SOLID,
    name: "obsolescent in a collagen collar",
    weight: 24,
    fill: [0.55, 0.8],
    collagen: [0.35, 0.8],
    density: [0.75, 1.1],
  },
  {
    ...SOLID,
    name: "hyaline",
    weight: 16,
    density: [0.24, 0.45],
    cells: [0.1, 0.4],
    collagen: [0.1, 0.4],
  },
  {
    ...SOLID,
    name: "with remnants",
    weight: 22,
    solid: [0.86, 0.95],
    fill: [0.8, 0.96],
    cells: [0.5, 1],
    collagen: [0, 0.2],
  },
];

/** 0 below `low`, 1 above `high`, smooth between; with `low` > `high` it falls instead. */
export function smoothstep(low: number, high: number, value: number): number {
  const t = clamp((value - low) / (high - low));
  return t * t * (3 - 2 * t);
}

/** Into [0, 1]. */
export function clamp(value: number): number {
  return value < 0 ? 0 : value > 1 ? 1 : value;
}

/** From `a` (share 0) to `b` (share 1). */
export function mix(a: number, b: number, share: number): number {
  return a + (b - a) * share;
}

/** The smaller of two distances, with the corner between them rounded over `round`. */
export function smoothMinimum(a: number, b: number, round: number): number {
  const h = Math.max(round - Math.abs(a - b), 0) / round;
  return Math.min(a, b) - h * h * round / 4;
}

/** A soft line: 1 on it, falling off over `width` on both sides. */
export function line(distance: number, width: number): number {
  const t = distance / width;
  return 1 / (1 + t * t * t * t);
}

/** Optical density in red, green and blue of one unit of stain. */
export type StainVector = readonly [number, number, number];

/** How one slide took its stain. */
export interface Stain {
  /** Periodic acid-Schiff: basement membranes, mesangium, sclerosis. */
  pas: StainVector;
  /** Haematoxylin: nuclei. */
  haematoxylin: StainVector;
  /** Haematoxylin everywhere in the tissue, from an overlong counterstain. */
  haze: number;
  /** Colour of the empty slide, 0 to 255. */
  white: readonly [number, number, number];
}

/** Draws a slide's stain: from thin and pink to thick and purple, as laboratories differ. */
export function drawStain(random: Random): Stain {
  const between = (low: number, high: number) => low + (high - low) * random.next();
  const strength = between(0.62, 1.35);
  const red = between(0.05, 0.2); // little: magenta-red; much: purple
  const counterstain = between(0.75, 1.3);
  const white = between(238, 252);
  return {
    pas: [red * strength, between(0.72, 0.86) * strength, between(0.27, 0.46) * strength],
    haematoxylin: [
      between(0.5, 0.62) * counterstain,
      between(0.52, 0.62) * counterstain,
      between(0.28, 0.42) * counterstain,
    ],
    haze: random.next() < 0.25 ? between(0.08, 0.28) : between(0, 0.05),
    white: [white, white - between(0, 5), white - between(-2, 4)],
  };
}

const STEPS = 2048;

const MAX_DENSITY = 4;

/** 10 to the minus density, tabulated. */
const TRANSMISSION = Float32Array.from(
  { length: STEPS + 1 },
  (_, i) => 10 ** (-i / STEPS * MAX_DENSITY),
);

/**
 * The picture a camera sees through the stained section: light falls off with the sum of the
 * stains' optical densities (Beer-Lambert).
 *
 * @returns RGBA, row by row, opaque.
 */
export function develop(canvas: Canvas, stain: Stain, random: Random): Uint8ClampedArray {
  const { pas, haematoxylin } = canvas;
  const pixels = new Uint8ClampedArray(pas.length * 4);
  const scale = STEPS / MAX_DENSITY;
  for (let i = 0; i < pas.length; i++) {
    const p = pas[i]!;
    const h = haematoxylin[i]! + stain.haze * Math.min(1, 2 * p);
    const grain = (random.next() - 0.5) * 4;
    for (let c = 0; c < 3; c++) {
      const density = p * stain.pas[c]! + h * stain.haematoxylin[c]!;
      const step = Math.min(STEPS, Math.floor(density * scale));
      pixels[i * 4 + c] = stain.white[c]! * TRANSMISSION[step]! + grain;
    }
    pixels[i * 4 + 3] = 255;
  }
  return pixels;
}

/**
 * Everything outside the capsule: cross-sections of tubules with their basement membranes, the
 * interstitium between them, and the scar around the glomerulus.
 *
 * @param scarring 0: back to back tubules; 1: small, thick-walled ones in a wide interstitium.
 * @param scar Width of the scar around the capsule, µm.
 */
export function createTubules(
  random: Random,
  noise: Noise,
  scarring: number,
  scar: number,
): Painter {
  const cells = createCells(random, 0.72);
  const spacing = 44 + 14 * random.next();
  const gap = 1.5 + 9 * scarring;
  const membrane = 0.65 + 0.9 * scarring;
  const [ox, oy] = [random.next() * 64, random.next() * 64];
  return (x, y, distance, _solidity, ink) => {
    const bend = 9;
    const wx = x + bend * (noise(x / 34 + ox, y / 34 + oy) - 0.5);
    const wy = y + bend * (noise(x / 34 + oy, y / 34 + ox) - 0.5);
    cells.find(wx / spacing + ox, wy / spacing + oy);
    const kind = cells.value;
    const border = Math.min(
      (cells.second - cells.first) * spacing / 2,
      (0.62 - cells.first) * spacing,
    );
    const scarEdge = distance - 2 - scar * (0.4 + 1.2 * noise(x / 40 + oy, y / 40));
    const depth = smoothMinimum(border - gap / 2 - 1.2, scarEdge, 8);
    const grain = noise(x / 3.2 + ox, y / 3.2 + oy);
    if (depth < 0) {
      paintInterstitium(ink, x, y, distance, scarEdge < 3, noise, grain);
    } else paintEpithelium(ink, depth, kind, grain, noise(x / 9 + ox, y / 9));
    ink.pas += (0.62 + 0.3 * grain) * line(depth, membrane * (0.8 + 0.4 * kind));
  };
}

function paintInterstitium(
  ink: Ink,
  x: number,
  y: number,
  distance: number,
  inScar: boolean,
  noise: Noise,
  grain: number,
): void {
  // Fibres run around the glomerulus in the scar, and this way and that elsewhere.
  const fibre = inScar
    ? noise(distance / 3 + noise(x / 25, y / 25) * 5, (x + y) / 60)
    : noise(x / 5 + y / 14, y / 5 - x / 14);
  ink.pas = 0.07 + (inScar ? 0.36 : 0.22) * fibre + (inScar ? 0.12 : 0.03) * grain;
  ink.haematoxylin = 0.03 + 0.06 * grain;
  // Capillaries between the tubules and gaps where the section tore.
  const gap = inScar ? 0 : smoothstep(0.7, 0.78, noise(x / 11 + 3, y / 11 + 5));
  ink.pas *= 1 - 0.85 * gap;
  ink.haematoxylin *= 1 - 0.9 * gap;
  ink.tissue = gap > 0.4 ? Tissue.none : inScar ? Tissue.fibrosis : Tissue.interstitium;
}

function paintEpithelium(
  ink: Ink,
  depth: number,
  kind: number,
  grain: number,
  patch: number,
): void {
  const proximal = kind < 0.62;
  const height = (proximal ? 13 : 7.5) * (0.8 + 0.5 * patch);
  const cast = kind > 0.95;
  const lumen = smoothstep(height - 1, height + (proximal ? 2.5 : 1), depth);
  const cytoplasm = (proximal ? 0.13 : 0.07) + (proximal ? 0.16 : 0.08) * (grain - 0.5);
  const brush = proximal ? 0.22 * line(depth - height, 1.6) : 0;
  ink.pas = mix(cytoplasm + 0.05 * patch, cast ? 0.6 : 0.012 + 0.05 * clamp(patch - 0.5), lumen) +
    brush;
  ink.haematoxylin = mix(0.04 + 0.08 * grain, cast ? 0.05 : 0.004, lumen);
  // Nuclei lie in the outer two thirds of the cells.
  ink.tissue = depth > 2.2 && depth < height * 0.72 ? Tissue.tubule : Tissue.none;
}

/** The capillary tuft: open loops around a mesangium where it is healthy, one mass where it is not. */
export function createTuft(random: Random, noise: Noise, glomerulus: Glomerulus): Painter {
  const loops = createCells(random, 0.9);
  const [ox, oy] = [random.next() * 64, random.next() * 64];
  const { loop, open, mesangium, density } = glomerulus;
  const solid: Ink = { pas: 0, haematoxylin: 0, tissue: 0 };
  return (x, y, distance, solidity, ink) => {
    const grain = noise(x / 2.6 + ox, y / 2.6 + oy);
    // Fine ripples crumple the loops; they grow where the tuft has collapsed.
    const bend = mix(5, 11, solidity);
    const wx = x + bend * (noise(x / 11 + ox, y / 11) - 0.5);
    const wy = y + bend * (noise(x / 11, y / 11 + oy) - 0.5);
    loops.find(wx / loop + ox, wy / loop + oy);
    const value = loops.value;
    // Near the outline of the tuft a loop ends at its own wall.
    const rim = Math.max(0, -distance);
    const border = Math.min((loops.second - loops.first) * loop / 2, rim * 0.8);
    if (solidity < 1) {
      const stalk = noise(x / 26 + oy, y / 26 + ox);
      paintLoop(ink, border, value, stalk, { grain, open, mesangium, rim, loop });
    }
    if (solidity > 0) {
      paintSolid(solid, x, y, border, density, grain, noise, ox);
      ink.pas = mix(ink.pas, solid.pas, solidity);
      ink.haematoxylin = mix(ink.haematoxylin, solid.haematoxylin, solidity);
      if (solidity > 0.5) ink.tissue = solid.tissue;
    }
  };
}

function paintLoop(
  ink: Ink,
  border: number,
  value: number,
  stalk: number,
  at: { grain: number; open: number; mesangium: number; rim: number; loop: number },
): void {
  // Mesangium lies in the axes of the lobules; at the rim the walls are thin and the loops wide.
  const axis = smoothstep(0.4, 0.8, stalk) * smoothstep(2, 14, at.rim);
  const wall = at.loop * (0.07 + 0.13 * axis * at.mesangium) * (0.7 + 0.6 * at.grain);
  const opening = value < at.open * (1 - 0.6 * axis) ? 1 : 0;
  const lumen = opening * smoothstep(wall, wall + 0.9, border);
  const blood = value < at.open * 0.08 ? 0.2 : 0.02; // a few loops hold red cells
  const matrix = (0.13 + 0.36 * axis + 0.16 * (at.mesangium - 1)) * (0.5 + at.grain);
  const membrane = (opening * 0.45 + 0.12) * line(border - wall, 0.55) + 0.16 * line(border, 0.7);
  ink.pas = mix(Math.max(0.06, matrix), blood, lumen) + membrane;
  ink.haematoxylin = mix(0.04 + 0.13 * at.grain, blood * 0.4, lumen);
  ink.tissue = lumen > 0.5 && border > wall + 2.2 ? Tissue.none : Tissue.loop;
}

function paintSolid(
  ink: Ink,
  x: number,
  y: number,
  border: number,
  density: number,
  grain: number,
  noise: Noise,
  offset: number,
): void {
  // The walls of collapsed loops show as wrinkled cords in the mass.
  const swirl = 6 * noise(x / 30 + offset, y / 30);
  const cord = 1 - Math.abs(2 * noise(x / 12 + swirl, y / 12 + offset) - 1);
  const fibre = noise(x / 5 + swirl, y / 16 - swirl);
  const patch = noise(x / 38, y / 38 + offset);
  const slit = smoothstep(0.84, 0.96, noise(x / 9 + 7, y / 9 + offset)) *
    smoothstep(0.3, 0.6, patch);
  const body = density *
    (0.52 + 0.34 * patch + 0.26 * (cord * cord - 0.4) + 0.26 * (fibre - 0.5) +
      0.22 * (grain - 0.5));
  ink.pas = mix(body + 0.2 * density * line(border, 0.8), 0.05, slit);
  ink.haematoxylin = 0.03 + 0.06 * patch * (1 - slit) + 0.04 * grain;
  ink.tissue = slit > 0.3 ? Tissue.none : Tissue.sclerosis;
}

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
