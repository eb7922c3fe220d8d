import { invert, type Matrix3, multiply, type Vector3 } from "./matrix3.ts";
import { LEAST_DENSITY } from "./tissue.ts";
import { OPTICAL_DENSITY } from "./optical_density.ts";

/** Colours of a slide after Reinhard: of its tissue, in lαβ. */
export interface ReinhardColours {
  /** Lightness, yellow-blue, red-green. */
  mean: Vector3;
  /** Standard deviations, above 0. */
  deviation: Vector3;
}

/** Images with less tissue than this share have no colours to speak of. */
const LEAST_SHARE = 0.02;
/** Least standard deviation that can be stretched. */
const LEAST_DEVIATION = 1e-3;

/** RGB to LMS, as column vectors (Reinhard et al. 2001, equation 4). */
const LMS: Matrix3 = [
  [0.3811, 0.5783, 0.0402],
  [0.1967, 0.7244, 0.0782],
  [0.0241, 0.1288, 0.8444],
];
/** log LMS to lαβ (equation 6; Ruderman 1998). */
const LAB: Matrix3 = multiply(
  [[1 / Math.sqrt(3), 0, 0], [0, 1 / Math.sqrt(6), 0], [0, 0, 1 / Math.sqrt(2)]],
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
  const [sums, squares] = [[0, 0, 0], [0, 0, 0]];
  let n = 0;
  for (let i = 0; i < pixels.length; i += 3) {
    if (tissueWeight(pixels, i) < 1) continue;
    n++;
    toLab(pixels, i).forEach((value, channel) => {
      sums[channel]! += value;
      squares[channel]! += value * value;
    });
  }
  if (n < LEAST_SHARE * pixels.length / 3) return null;
  const mean = sums.map((sum) => sum / n) as unknown as Vector3;
  const deviation = squares.map((sum, channel) =>
    Math.sqrt(Math.max(0, sum / n - mean[channel]! ** 2))
  ) as unknown as Vector3;
  return deviation.every((value) => value > LEAST_DEVIATION) ? { mean, deviation } : null;
}

/**
 * Brings the colours of an image's tissue to the reference's mean and standard deviation. Glass
 * stays as it is, with a soft passage between.
 *
 * @param pixels 8-bit RGB, [n, 3]; not changed.
 * @returns New pixels; those of an image without tissue as they are.
 */
export function normaliseReinhard(pixels: Uint8Array, reference: ReinhardColours): Uint8Array {
  const own = reinhardColours(pixels);
  const result = new Uint8Array(pixels);
  if (!own) return result;
  for (let i = 0; i < pixels.length; i += 3) {
    const weight = tissueWeight(pixels, i);
    if (weight === 0) continue;
    const lab = toLab(pixels, i);
    const moved: Vector3 = [0, 1, 2].map((channel) =>
      (lab[channel]! - own.mean[channel]!) / own.deviation[channel]! *
        reference.deviation[channel]! + reference.mean[channel]!
    ) as unknown as Vector3;
    const rgb = fromLab(moved);
    for (let channel = 0; channel < 3; channel++) {
      const value = weight * rgb[channel]! + (1 - weight) * pixels[i + channel]!;
      result[i + channel] = Math.max(0, Math.min(255, Math.round(value)));
    }
  }
  return result;
}

/** 1 for tissue, 0 for glass, and between them in proportion. */
function tissueWeight(pixels: Uint8Array, i: number): number {
  const density = (OPTICAL_DENSITY[pixels[i]!]! + OPTICAL_DENSITY[pixels[i + 1]!]! +
    OPTICAL_DENSITY[pixels[i + 2]!]!) / 3;
  return Math.max(0, Math.min(1, (density / LEAST_DENSITY - 0.2) / 0.8)); // wide: no hard edges
}

function toLab(pixels: Uint8Array, i: number): Vector3 {
  // the 1 keeps black finite
  const lms = times(LMS, [
    (pixels[i]! + 1) / 256,
    (pixels[i + 1]! + 1) / 256,
    (pixels[i + 2]! + 1) / 256,
  ]);
  return times(LAB, [Math.log10(lms[0]), Math.log10(lms[1]), Math.log10(lms[2])]);
}

function fromLab(lab: Vector3): Vector3 {
  const log = times(FROM_LAB, lab);
  const rgb = times(FROM_LMS, [10 ** log[0], 10 ** log[1], 10 ** log[2]]);
  return [256 * rgb[0] - 1, 256 * rgb[1] - 1, 256 * rgb[2] - 1];
}

function times([a, b, c]: Matrix3, v: Vector3): Vector3 {
  const dot = (row: Vector3) => row[0] * v[0] + row[1] * v[1] + row[2] * v[2];
  return [dot(a), dot(b), dot(c)];
}
