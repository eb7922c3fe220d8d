import { OPTICAL_DENSITY } from "./optical_density.ts";

/** Least optical density of tissue, in every channel (Macenko's β). */
export const LEAST_DENSITY = 0.15;

/** Images with less tissue than this share have no colours to speak of. */
export const LEAST_SHARE = 0.02;

/**
 * The optical densities of an image's tissue: pixels that are not nearly transparent in any channel.
 *
 * @param pixels 8-bit RGB, [n, 3].
 * @returns [m, 3]; `null` when less than 2 % of the pixels are tissue.
 */
export function tissueDensities(pixels: Uint8Array): Float64Array | null {
  const densities = new Float64Array(pixels.length);
  let used = 0;
  for (let i = 0; i < pixels.length; i += 3) {
    const red = OPTICAL_DENSITY[pixels[i]!]!;
    const green = OPTICAL_DENSITY[pixels[i + 1]!]!;
    const blue = OPTICAL_DENSITY[pixels[i + 2]!]!;
    if (Math.min(red, green, blue) < LEAST_DENSITY) continue;
    densities[used++] = red;
    densities[used++] = green;
    densities[used++] = blue;
  }
  return used < LEAST_SHARE * pixels.length ? null : densities.subarray(0, used);
}
