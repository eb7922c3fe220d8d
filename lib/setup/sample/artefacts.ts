import type { Random } from "../../random.ts";
import type { Canvas } from "./canvas.ts";
import type { Noise } from "./noise.ts";
import { smoothstep } from "./shape.ts";
import type { Stain } from "./stain.ts";

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
