import { invert, type Matrix3, multiply, type Vector3 } from "./matrix3.ts";
import { LEAST_DENSITY, LEAST_SHARE } from "./tissue.ts";
import { OPTICAL_DENSITY } from "./optical_density.ts";

/** Colours of a slide after Reinhard: of its tissue, in lαβ. */
export interface ReinhardColours {
  /** Lightness, yellow-blue, red-green. */
  mean: Vector3;
  /** Standard deviations, above 0. */
  deviation: Vector3;
}

/**
 * Least standard deviations that are structure. Below them is the noise of a plain surface, which
 * stretching would make patterns of; real glomeruli have more than twice as much.
 */
const LEAST_DEVIATION: Vector3 = [0.05, 0.005, 0.002];
/** Where the passage from glass to tissue begins, as a share of tissue's least density: about 245. */
const LEAST_WEIGHED = 0.3;
/** Far brighter than white, and yet finite once it is no logarithm any more. */
const MOST_LOG = 300;

/** RGB to LMS, as column vectors (Reinhard et al. 2001, equation 4). */
const LMS: Matrix3 = [
  [0.3811, 0.5783, 0.0402],
  [0.1967, 0.7244, 0.0782],
  [0.0241, 0.1288, 0.8444],
];
/** Natural logarithms of LMS to lαβ, which is of decimal ones (equation 6; Ruderman 1998). */
const LAB: Matrix3 = multiply(
  diagonal([3, 6, 2].map((n) => 1 / Math.sqrt(n) / Math.LN10)),
  [[1, 1, 1], [1, 1, -2], [1, -1, 0]],
);
const [FROM_LMS, FROM_LAB] = [invert(LMS), invert(LAB)];

/**
 * The colours of an image's tissue: E. Reinhard et al., "Color transfer between images", IEEE
 * Computer Graphics and Applications 21 (2001).
 *
 * @param pixels 8-bit RGB, [n, 3].
 * @returns `null` for images with less than 2 % of tissue, or of one colour.
 */
export function reinhardColours(pixels: Uint8Array): ReinhardColours | null {
  return coloursOf(logarithms(pixels), pixels);
}

/**
 * Brings the colours of an image's tissue to the reference's mean and standard deviation. Glass
 * stays as it is, with a soft passage between.
 *
 * @param pixels 8-bit RGB, [n, 3]; not changed.
 * @returns New pixels; those of an image without tissue as they are.
 */
export function normaliseReinhard(pixels: Uint8Array, reference: ReinhardColours): Uint8Array {
  const logs = logarithms(pixels);
  const own = coloursOf(logs, pixels);
  if (!own) return new Uint8Array(pixels);
  // In lαβ a gain and a shift for each channel; between logarithms of LMS, one matrix and a shift.
  const gain = own.deviation.map((value, channel) => reference.deviation[channel]! / value);
  const change = multiply(multiply(FROM_LAB, diagonal(gain)), LAB);
  const [from, to] = [
    times(FROM_LAB, reference.mean),
    times(multiply(FROM_LAB, diagonal(gain)), own.mean),
  ];
  return moveTissue(pixels, logs, change, [from[0] - to[0], from[1] - to[1], from[2] - to[2]]);
}

/** Applies `change` and `shift` to the logarithms of LMS, and makes colours of them again. */
function moveTissue(
  pixels: Uint8Array,
  logs: Float64Array,
  [[ll, lm, ls], [ml, mm, ms], [sl, sm, ss]]: Matrix3,
  shift: Vector3,
): Uint8Array {
  const [[rl, rm, rs], [gl, gm, gs], [bl, bm, bs]] = FROM_LMS;
  const result = new Uint8Array(pixels);
  for (let i = 0; i < pixels.length; i += 3) {
    const weight = tissueWeight(pixels, i);
    if (weight === 0) continue;
    const x = logs[i]!;
    const y = logs[i + 1]!;
    const z = logs[i + 2]!;
    const l = Math.exp(Math.min(MOST_LOG, ll * x + lm * y + ls * z + shift[0]));
    const m = Math.exp(Math.min(MOST_LOG, ml * x + mm * y + ms * z + shift[1]));
    const s = Math.exp(Math.min(MOST_LOG, sl * x + sm * y + ss * z + shift[2]));
    result[i] = blend(pixels[i]!, 256 * (rl * l + rm * m + rs * s) - 1, weight);
    result[i + 1] = blend(pixels[i + 1]!, 256 * (gl * l + gm * m + gs * s) - 1, weight);
    result[i + 2] = blend(pixels[i + 2]!, 256 * (bl * l + bm * m + bs * s) - 1, weight);
  }
  return result;
}

/** So much of the new value as `weight` says, 0 to 255. */
function blend(before: number, after: number, weight: number): number {
  const value = weight * after + (1 - weight) * before;
  return value > 0 ? Math.min(255, value + 0.5) | 0 : 0;
}

/** Natural logarithms of the cone responses LMS: [n, 3]. */
function logarithms(pixels: Uint8Array): Float64Array {
  const [[lr, lg, lb], [mr, mg, mb], [sr, sg, sb]] = LMS;
  const logs = new Float64Array(pixels.length);
  for (let i = 0; i < pixels.length; i += 3) {
    // the 1 keeps black finite
    const r = (pixels[i]! + 1) / 256;
    const g = (pixels[i + 1]! + 1) / 256;
    const b = (pixels[i + 2]! + 1) / 256;
    logs[i] = Math.log(lr * r + lg * g + lb * b);
    logs[i + 1] = Math.log(mr * r + mg * g + mb * b);
    logs[i + 2] = Math.log(sr * r + sg * g + sb * b);
  }
  return logs;
}

function coloursOf(logs: Float64Array, pixels: Uint8Array): ReinhardColours | null {
  const sums: [number, number, number] = [0, 0, 0];
  const squares: [number, number, number] = [0, 0, 0];
  let n = 0;
  for (let i = 0; i < logs.length; i += 3) {
    if (tissueWeight(pixels, i) < 1) continue;
    n++;
    for (let channel = 0; channel < 3; channel++) {
      const row = LAB[channel]!;
      const value = row[0] * logs[i]! + row[1] * logs[i + 1]! + row[2] * logs[i + 2]!;
      sums[channel]! += value;
      squares[channel]! += value * value;
    }
  }
  if (n < LEAST_SHARE * pixels.length / 3) return null;
  const mean: Vector3 = [sums[0]! / n, sums[1]! / n, sums[2]! / n];
  const spread = (channel: 0 | 1 | 2) =>
    Math.sqrt(Math.max(0, squares[channel]! / n - mean[channel] ** 2));
  const deviation = [spread(0), spread(1), spread(2)] as const;
  return deviation.every((value, channel) => value > LEAST_DEVIATION[channel]!)
    ? { mean, deviation }
    : null;
}

/** 1 for tissue, 0 for glass, and a smooth rise between them, so that tissue gets no rim. */
function tissueWeight(pixels: Uint8Array, i: number): number {
  const density = (OPTICAL_DENSITY[pixels[i]!]! + OPTICAL_DENSITY[pixels[i + 1]!]! +
    OPTICAL_DENSITY[pixels[i + 2]!]!) / 3;
  if (density >= LEAST_DENSITY) return 1;
  const way = Math.max(0, (density / LEAST_DENSITY - LEAST_WEIGHED) / (1 - LEAST_WEIGHED));
  return way * way * (3 - 2 * way);
}

function diagonal(values: readonly number[]): Matrix3 {
  return [[values[0]!, 0, 0], [0, values[1]!, 0], [0, 0, values[2]!]];
}

function times([a, b, c]: Matrix3, v: Vector3): Vector3 {
  const dot = (row: Vector3) => row[0] * v[0] + row[1] * v[1] + row[2] * v[2];
  return [dot(a), dot(b), dot(c)];
}
