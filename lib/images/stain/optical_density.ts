import type { Matrix3 } from "./matrix3.ts";

/**
 * Optical density of each 8-bit value: `−ln((value + 1) / 256)`, 0 for white. Stains add up in it
 * (Beer-Lambert), as they do not in colours; the 1 keeps black finite.
 */
export const OPTICAL_DENSITY = Float64Array.from(
  { length: 256 },
  (_, value) => -Math.log((value + 1) / 256),
);

const MOST = 6; // denser than black, which is 5.55
const STEPS = 2048; // a unit: at most 0.07 of a grey level wrong before rounding

/** The 8-bit value of each optical density from 0 to {@linkcode MOST}, in steps of 1 / STEPS. */
const VALUE = Uint8Array.from(
  { length: MOST * STEPS + 1 },
  (_, step) => Math.max(0, Math.round(256 * Math.exp(-step / STEPS) - 1)),
);

/**
 * Changes the optical densities of every pixel by a matrix. White stays white. Whatever scales or
 * exchanges stains is such a matrix: `separate · scale · combine`.
 *
 * @param pixels 8-bit RGB, [n, 3]; not changed.
 * @param matrix New densities of a pixel are its old ones, as a row vector, times this.
 * @returns New pixels, [n, 3].
 */
export function mapDensities(pixels: Uint8Array, matrix: Matrix3): Uint8Array {
  const [[rr, rg, rb], [gr, gg, gb], [br, bg, bb]] = matrix;
  const result = new Uint8Array(pixels.length);
  for (let i = 0; i < pixels.length; i += 3) {
    const red = OPTICAL_DENSITY[pixels[i]!]!;
    const green = OPTICAL_DENSITY[pixels[i + 1]!]!;
    const blue = OPTICAL_DENSITY[pixels[i + 2]!]!;
    result[i] = valueOf(red * rr + green * gr + blue * br);
    result[i + 1] = valueOf(red * rg + green * gg + blue * bg);
    result[i + 2] = valueOf(red * rb + green * gb + blue * bb);
  }
  return result;
}

/** The 8-bit value of an optical density; what is brighter than white is white. */
function valueOf(density: number): number {
  const step = density * STEPS + 0.5;
  if (!(step > 0)) return 255;
  return step < VALUE.length ? VALUE[step | 0]! : 0;
}
