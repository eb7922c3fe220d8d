import type { Random } from "../../random.ts";
import { addArtefacts } from "./artefacts.ts";
import { type Canvas, createCanvas, type Ink, Tissue } from "./canvas.ts";
import { createCapsule, createSpace } from "./capsule.ts";
import { drawGlomerulus, type Glomerulus, solidity } from "./glomerulus.ts";
import type { Noise } from "./noise.ts";
import { scatterNuclei } from "./nuclei.ts";
import type { CropPlan } from "./plan.ts";
import { mix, smoothstep } from "./shape.ts";
import { develop } from "./stain.ts";
import { createTubules } from "./tubules.ts";
import { createTuft } from "./tuft.ts";

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
