import { EigenvalueDecomposition, inverse, Matrix } from "ml-matrix";
import type { Augmentation } from "../core/settings.ts";
import { percentile } from "../core/stats.ts";
import { LEAST_SPAN, type StainReference } from "../run/model_card.ts";

/** Three numbers: for colours in the order red, green, blue. */
export type Vector3 = readonly [number, number, number];

/**
 * Brings an image's colours to the reference. White stays white.
 *
 * @param pixels 8-bit RGB, [n, 3]; not changed.
 * @returns New pixels; those of an image without stained tissue as they are.
 */
export function normaliseStain(pixels: Uint8Array, reference: StainReference): Uint8Array {
  return reference.method === "reinhard"
    ? normaliseReinhard(pixels, reference)
    : normaliseMacenko(pixels, reference);
}

/** Colours of a slide after Macenko: two stains and how much of each there is. */
interface MacenkoColours {
  /** Optical densities in red, green, blue of length 1; the one that absorbs more red is first. */
  stains: readonly [Vector3, Vector3];
  /** 99th percentile of each stain's amount among tissue pixels, above 0. */
  amounts: readonly [number, number];
}

/** Percentile of the angles that counts as the outermost (Macenko's α), in per cent. */
const ANGLE_PERCENTILE = 1;

const AMOUNT_PERCENTILE = 99;

/**
 * The stains of an image: M. Macenko et al., "A method for normalizing histology slides for
 * quantitative analysis", ISBI 2009. In the plane of the two main directions of the tissue's optical
 * densities, the outermost angles are the stains.
 *
 * @param pixels 8-bit RGB, [n, 3].
 * @returns `null` for images without two stains: blank, or of one colour.
 */
export function macenkoColours(pixels: Uint8Array): MacenkoColours | null {
  const densities = tissueDensities(pixels); // [m, 3]
  if (!densities) return null;
  const stains = outermost(densities);
  if (!(Math.hypot(...cross(...stains)) > LEAST_SPAN)) return null;
  const separate = inverse(withResidual(...stains)); // columns: how much there is of each stain
  const [first = 0, second = 0] = [0, 1].map((stain) =>
    percentile(along(separate.getColumn(stain), densities), AMOUNT_PERCENTILE)
  );
  return first > 0 && second > 0 ? { stains, amounts: [first, second] } : null;
}

/**
 * Exchanges an image's stains for those of the reference, in the same amounts relative to the most.
 * What neither stain explains stays. Glass that is not quite white is scaled like everything else.
 */
export function normaliseMacenko(pixels: Uint8Array, reference: MacenkoColours): Uint8Array {
  const own = macenkoColours(pixels);
  if (!own) return new Uint8Array(pixels);
  const scale = own.amounts.map((amount, stain) => reference.amounts[stain]! / amount);
  const change = rescaling(withResidual(...own.stains), scale, withResidual(...reference.stains));
  return mapDensities(pixels, change);
}

/** The outermost directions of optical densities [m, 3], the one with more red first. */
function outermost(densities: Float64Array): [Vector3, Vector3] {
  const { eigenvectorMatrix } = new EigenvalueDecomposition(covariance(densities), {
    assumeSymmetric: true,
  }); // [3, 3]: columns, that of the largest eigenvalue last
  const [second, first] = [1, 2].map((column) => eigenvectorMatrix.getColumn(column));
  // Densities are positive: the main direction should be, too, or angles would wrap around.
  const main = first!.reduce((sum, x) => sum + x) < 0 ? first!.map((x) => -x) : first!;
  const angles = along(second!, densities); // [m]
  const x = along(main, densities);
  for (let i = 0; i < angles.length; i++) angles[i] = Math.atan2(angles[i]!, x[i]!);
  const [a, b] = [ANGLE_PERCENTILE, 100 - ANGLE_PERCENTILE].map((percent) => {
    const angle = percentile(angles, percent);
    return unit(main.map((m, c) => Math.cos(angle) * m + Math.sin(angle) * second![c]!));
  }) as [Vector3, Vector3];
  return a[0] > b[0] ? [a, b] : [b, a];
}

/** The dot product of a vector with each row of [m, 3]: [m]. */
function along([x = 0, y = 0, z = 0]: readonly number[], rows: Float64Array): Float64Array {
  const products = new Float64Array(rows.length / 3);
  for (let i = 0, j = 0; i < products.length; i++, j += 3) {
    products[i] = x * rows[j]! + y * rows[j + 1]! + z * rows[j + 2]!;
  }
  return products;
}

function covariance(rows: Float64Array): Matrix {
  const n = rows.length / 3;
  const sums = [0, 0, 0];
  for (let i = 0; i < rows.length; i++) sums[i % 3]! += rows[i]!;
  const [red, green, blue] = sums.map((sum) => sum / n) as unknown as Vector3;
  let [xx, xy, xz, yy, yz, zz] = [0, 0, 0, 0, 0, 0];
  for (let i = 0; i < rows.length; i += 3) {
    const x = rows[i]! - red;
    const y = rows[i + 1]! - green;
    const z = rows[i + 2]! - blue;
    xx += x * x;
    xy += x * y;
    xz += x * z;
    yy += y * y;
    yz += y * z;
    zz += z * z;
  }
  return new Matrix([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]).div(n);
}

/** The vector at right angles to two others (right-handed). */
function cross([a, b, c]: Vector3, [x, y, z]: Vector3): Vector3 {
  return [b * z - c * y, c * x - a * z, a * y - b * x];
}

/** The vector of length 1 in the direction of three numbers; of zeros NaN. */
export function unit([x = 0, y = 0, z = 0]: readonly number[]): Vector3 {
  const length = Math.hypot(x, y, z);
  return [x / length, y / length, z / length];
}

/** Two stains and, at right angles to both, the residual, all of length 1: rows of [3, 3]. */
function withResidual(first: Vector3, second: Vector3): Matrix {
  return new Matrix([first, second, cross(first, second)].map((row) => [...unit(row)]));
}

/**
 * What {@linkcode mapDensities} needs to change the amounts of two stains, and the stains themselves.
 *
 * @param from Stains and residual as rows, [3, 3].
 * @param factors Of the amount of each stain.
 * @param to Stains and residual that take their place.
 */
export function rescaling(from: Matrix, factors: readonly number[], to: Matrix = from): Matrix {
  return inverse(from).mmul(Matrix.diag([...factors, 1])).mmul(to);
}

/**
 * The colour of each stain as optical densities in red, green and blue, of length 1.
 *
 * Values: measured by G. Landini for the ImageJ plugin "Colour Deconvolution", which follows
 * A. C. Ruifrok and D. A. Johnston, "Quantification of histochemical staining by color
 * deconvolution", Anal. Quant. Cytol. Histol. 23, 291-299 (2001).
 */
const HAEMATOXYLIN: Vector3 = [0.644211, 0.716556, 0.266844];

/**
 * The stains of a slide, a row each: two stains of length 1, and what neither of them explains, at
 * right angles to both (Ruifrok and Johnston's third stain of a two-stain slide).
 */
export const stainVectors: Readonly<Record<Augmentation["stains"], Matrix>> = {
  hematoxylin_eosin: withResidual(HAEMATOXYLIN, [0.092789, 0.954111, 0.283111]),
  pas_hematoxylin: withResidual(HAEMATOXYLIN, [0.175411, 0.972178, 0.154589]),
};

/**
 * Optical density of each 8-bit value: `−ln((value + 1) / 256)`, 0 for white. Stains add up in it
 * (Beer-Lambert), as they do not in colours; the 1 keeps black finite.
 */
export const OPTICAL_DENSITY = Float64Array.from(
  { length: 256 },
  (_, value) => -Math.log((value + 1) / 256),
);

/** Denser than black, which is 5.55. */
const MOST = 6;

/** Of a unit of density: at most 0.07 of a grey level wrong before rounding. */
const STEPS = 2048;

/** The 8-bit value of each optical density from 0 to {@linkcode MOST}, in steps of 1 / STEPS. */
const VALUE = Uint8Array.from(
  { length: MOST * STEPS + 1 },
  (_, step) => Math.max(0, Math.round(256 * Math.exp(-step / STEPS) - 1)),
);

/**
 * Changes the optical densities of every pixel by a matrix. White stays white. Whatever scales or
 * exchanges stains is such a matrix: see {@linkcode rescaling}.
 *
 * @param pixels 8-bit RGB, [n, 3]; not changed.
 * @param matrix [3, 3]: new densities of a pixel are its old ones, as a row vector, times this.
 * @returns New pixels, [n, 3].
 */
export function mapDensities(pixels: Uint8Array, matrix: Matrix): Uint8Array {
  const [rr, rg, rb, gr, gg, gb, br, bg, bb] = entries(matrix);
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

type Nine = [number, number, number, number, number, number, number, number, number];

/** Of a matrix [3, 3], row by row: numbers of their own, for loops over pixels. */
const entries = (matrix: Matrix): Nine => matrix.to1DArray() as Nine;

/** The 8-bit value of an optical density; what is brighter than white is white. */
function valueOf(density: number): number {
  const step = density * STEPS + 0.5;
  if (!(step > 0)) return 255;
  return step < VALUE.length ? VALUE[step | 0]! : 0;
}

/** Least optical density of tissue, in every channel (Macenko's β). */
const LEAST_DENSITY = 0.15;

/** Images with less tissue than this share have no colours to speak of. */
const LEAST_SHARE = 0.02;

/**
 * The optical densities of an image's tissue: pixels that are not nearly transparent in any channel.
 *
 * @param pixels 8-bit RGB, [n, 3].
 * @returns [m, 3]; `null` when less than 2 % of the pixels are tissue.
 */
function tissueDensities(pixels: Uint8Array): Float64Array | null {
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

/**
 * Colours of a slide after Reinhard: mean and standard deviations (above 0) of its tissue, in lαβ
 * (lightness, yellow-blue, red-green).
 */
type ReinhardColours = { mean: Vector3; deviation: Vector3 };

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
const LMS = new Matrix([
  [0.3811, 0.5783, 0.0402],
  [0.1967, 0.7244, 0.0782],
  [0.0241, 0.1288, 0.8444],
]);

/** Natural logarithms of LMS to lαβ, which is of decimal ones (equation 6; Ruderman 1998). */
const LAB = Matrix.diag([3, 6, 2].map((n) => 1 / Math.sqrt(n) / Math.LN10))
  .mmul(new Matrix([[1, 1, 1], [1, 1, -2], [1, -1, 0]]));

const [FROM_LMS, FROM_LAB] = [entries(inverse(LMS)), inverse(LAB)];

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
 */
export function normaliseReinhard(pixels: Uint8Array, reference: ReinhardColours): Uint8Array {
  const logs = logarithms(pixels);
  const own = coloursOf(logs, pixels);
  if (!own) return new Uint8Array(pixels);
  // In lαβ a gain and a shift for each channel; between logarithms of LMS, one matrix and a shift.
  const gain = FROM_LAB.mmul(Matrix.diag(own.deviation.map((d, c) => reference.deviation[c]! / d)));
  const column = (vector: Vector3) => Matrix.columnVector([...vector]);
  const shift = FROM_LAB.mmul(column(reference.mean)).sub(gain.mmul(column(own.mean)));
  return moveTissue(pixels, logs, entries(gain.mmul(LAB)), shift.to1DArray());
}

/** Applies `change` and `shift` to the logarithms of LMS, and makes colours of them again. */
function moveTissue(
  pixels: Uint8Array,
  logs: Float64Array,
  [ll, lm, ls, ml, mm, ms, sl, sm, ss]: Nine,
  [lShift = 0, mShift = 0, sShift = 0]: readonly number[],
): Uint8Array {
  const [rl, rm, rs, gl, gm, gs, bl, bm, bs] = FROM_LMS;
  const result = new Uint8Array(pixels);
  for (let i = 0; i < pixels.length; i += 3) {
    const weight = tissueWeight(pixels, i);
    if (weight === 0) continue;
    const x = logs[i]!;
    const y = logs[i + 1]!;
    const z = logs[i + 2]!;
    const l = Math.exp(Math.min(MOST_LOG, ll * x + lm * y + ls * z + lShift));
    const m = Math.exp(Math.min(MOST_LOG, ml * x + mm * y + ms * z + mShift));
    const s = Math.exp(Math.min(MOST_LOG, sl * x + sm * y + ss * z + sShift));
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
  const [lr, lg, lb, mr, mg, mb, sr, sg, sb] = entries(LMS);
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
  const lab = entries(LAB);
  const sums: [number, number, number] = [0, 0, 0];
  const squares: [number, number, number] = [0, 0, 0];
  let n = 0;
  for (let i = 0; i < logs.length; i += 3) {
    if (tissueWeight(pixels, i) < 1) continue;
    n++;
    for (let c = 0; c < 3; c++) {
      const value = lab[3 * c]! * logs[i]! + lab[3 * c + 1]! * logs[i + 1]! +
        lab[3 * c + 2]! * logs[i + 2]!;
      sums[c]! += value;
      squares[c]! += value * value;
    }
  }
  if (n < LEAST_SHARE * pixels.length / 3) return null;
  const mean = sums.map((sum) => sum / n) as unknown as Vector3;
  const deviation = squares.map((square, c) =>
    Math.sqrt(Math.max(0, square / n - mean[c]! ** 2))
  ) as unknown as Vector3;
  return deviation.every((value, c) => value > LEAST_DEVIATION[c]!) ? { mean, deviation } : null;
}

/** 1 for tissue, 0 for glass, and a smooth rise between them, so that tissue gets no rim. */
function tissueWeight(pixels: Uint8Array, i: number): number {
  const density = (OPTICAL_DENSITY[pixels[i]!]! + OPTICAL_DENSITY[pixels[i + 1]!]! +
    OPTICAL_DENSITY[pixels[i + 2]!]!) / 3;
  if (density >= LEAST_DENSITY) return 1;
  const way = Math.max(0, (density / LEAST_DENSITY - LEAST_WEIGHED) / (1 - LEAST_WEIGHED));
  return way * way * (3 - 2 * way);
}
