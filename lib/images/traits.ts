import { blurEffect, quantile } from "../data/look.ts";
import { OPTICAL_DENSITY } from "./stain.ts";

/** What can be said of an image by itself that tells whether it is an unusual one. */
export interface ImageTraits {
  /** Natural logarithm of the side, in pixels, of a square of the file's area. */
  size: number;
  /** Natural logarithm of width by height. */
  shape: number;
  /** Natural logarithm of the mean optical density: how much stain there is. */
  stain: number;
  /** Natural logarithm of the density of red by that of green: which stain it is. */
  redness: number;
  /** Natural logarithm of the density of blue by that of green. */
  blueness: number;
  /** Blur effect, 0 (sharp) to 1; of a picture without any edge 1. */
  blur: number;
  /** Luma, 0 to 255: 5 % of the pixels are darker than this, and 5 % brighter than `bright`. */
  dark: number;
  bright: number;
}

/** Rows and columns between those along which sharpness is measured: the value moves by 0.01. */
const EVERY = 4;

/** What a camera's noise amounts to on empty glass; keeps ratios of nothing by nothing at 1. */
const LEAST_DENSITY = 0.01;

/**
 * Measures an image at the size that a model sees. Glass has no optical density, so the means over
 * all pixels are those of the tissue, as far as their ratios go.
 *
 * @param pixels RGB, before stains were normalised, row-major [size, size, 3].
 * @param file `width` and `height` of the file, in pixels, as displayed.
 */
export function imageTraits(
  pixels: Uint8Array,
  size: number,
  { width, height }: { width: number; height: number },
): ImageTraits {
  const luma = new Float32Array(size * size); // [size, size]
  const greys = new Uint32Array(256);
  let [red, green, blue] = [0, 0, 0]; // sums of optical densities
  for (let i = 0, at = 0; i < luma.length; i++, at += 3) {
    const [r, g, b] = [pixels[at]!, pixels[at + 1]!, pixels[at + 2]!];
    const grey = 0.299 * r + 0.587 * g + 0.114 * b; // ITU-R BT.601
    luma[i] = grey;
    greys[(grey + 0.5) | 0]!++;
    red += OPTICAL_DENSITY[r]!;
    green += OPTICAL_DENSITY[g]!;
    blue += OPTICAL_DENSITY[b]!;
  }
  const density = (sum: number) => Math.log(sum / luma.length + LEAST_DENSITY);
  return {
    size: Math.log(width * height) / 2,
    shape: Math.log(width / height),
    stain: density((red + green + blue) / 3),
    redness: density(red) - density(green),
    blueness: density(blue) - density(green),
    blur: blurEffect(luma, size, size, EVERY) ?? 1,
    dark: quantile(greys, 0.05),
    bright: quantile(greys, 0.95),
  };
}
