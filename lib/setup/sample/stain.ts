import type { Random } from "../../random.ts";
import type { Canvas } from "./canvas.ts";

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
