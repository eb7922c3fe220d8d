import type { Augmentation } from "../core/settings.ts";
import { percentile } from "../core/stats.ts";
import { LEAST_SPAN, type StainReference } from "../run/model_card.ts";

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
  const separate = invert(withResidual(...stains));
  const amount = (stain: 0 | 1) =>
    percentile(
      along([separate[0][stain], separate[1][stain], separate[2][stain]], densities),
      AMOUNT_PERCENTILE,
    );
  const amounts = [amount(0), amount(1)] as const;
  return amounts.every((amount) => amount > 0) ? { stains, amounts } : null;
}

/**
 * Exchanges an image's stains for those of the reference, in the same amounts relative to the most.
 * What neither stain explains stays; white stays white. Glass that is not quite white is scaled like
 * everything else.
 *
 * @param pixels 8-bit RGB, [n, 3]; not changed.
 * @returns New pixels; those of an image without two stains as they are.
 */
export function normaliseMacenko(pixels: Uint8Array, reference: MacenkoColours): Uint8Array {
  const own = macenkoColours(pixels);
  if (!own) return new Uint8Array(pixels);
  const scale: Matrix3 = [
    [reference.amounts[0] / own.amounts[0], 0, 0],
    [0, reference.amounts[1] / own.amounts[1], 0],
    [0, 0, 1],
  ];
  const separate = invert(withResidual(...own.stains));
  return mapDensities(
    pixels,
    multiply(multiply(separate, scale), withResidual(...reference.stains)),
  );
}

/** The outermost directions of optical densities [m, 3], the one with more red first. */
function outermost(densities: Float64Array): readonly [Vector3, Vector3] {
  const [first, second] = symmetricEigenvectors(covariance(densities));
  // Densities are positive: the main direction should be, too, or angles would wrap around.
  const main = first[0] + first[1] + first[2] < 0 ? negative(first) : first;
  const angles = along(second, densities); // [m]
  const x = along(main, densities);
  for (let i = 0; i < angles.length; i++) angles[i] = Math.atan2(angles[i]!, x[i]!);
  const at = (percent: number): Vector3 => {
    const angle = percentile(angles, percent);
    const [c, s] = [Math.cos(angle), Math.sin(angle)];
    return unit([
      c * main[0] + s * second[0],
      c * main[1] + s * second[1],
      c * main[2] + s * second[2],
    ]);
  };
  const [a, b] = [at(ANGLE_PERCENTILE), at(100 - ANGLE_PERCENTILE)];
  return a[0] > b[0] ? [a, b] : [b, a];
}

const negative = (v: Vector3): Vector3 => [-v[0], -v[1], -v[2]];

/** The dot product of a vector with each row of [m, 3]: [m]. */
function along([x, y, z]: Vector3, rows: Float64Array): Float64Array {
  const products = new Float64Array(rows.length / 3);
  for (let i = 0, j = 0; i < products.length; i++, j += 3) {
    products[i] = x * rows[j]! + y * rows[j + 1]! + z * rows[j + 2]!;
  }
  return products;
}

/** Of the columns of [m, 3]. */
function covariance(rows: Float64Array): Matrix3 {
  const n = rows.length / 3;
  let [x, y, z] = [0, 0, 0];
  for (let i = 0; i < rows.length; i += 3) {
    x += rows[i]!;
    y += rows[i + 1]!;
    z += rows[i + 2]!;
  }
  [x, y, z] = [x / n, y / n, z / n];
  let [xx, xy, xz, yy, yz, zz] = [0, 0, 0, 0, 0, 0];
  for (let i = 0; i < rows.length; i += 3) {
    const [a, b, c] = [rows[i]! - x, rows[i + 1]! - y, rows[i + 2]! - z];
    xx += a * a;
    xy += a * b;
    xz += a * c;
    yy += b * b;
    yz += b * c;
    zz += c * c;
  }
  return [[xx / n, xy / n, xz / n], [xy / n, yy / n, yz / n], [xz / n, yz / n, zz / n]];
}

/** A 3×3 matrix, row by row. */
export type Matrix3 = readonly [Vector3, Vector3, Vector3];

/** Three numbers: for colours in the order red, green, blue. */
export type Vector3 = readonly [number, number, number];

/** The vector at right angles to two others (right-handed). */
function cross(a: Vector3, b: Vector3): Vector3 {
  return [
    a[1] * b[2] - a[2] * b[1],
    a[2] * b[0] - a[0] * b[2],
    a[0] * b[1] - a[1] * b[0],
  ];
}

/** A vector of length 1 in the same direction; the zero vector has none and gives NaN. */
export function unit(vector: Vector3): Vector3 {
  const length = Math.hypot(...vector);
  return [vector[0] / length, vector[1] / length, vector[2] / length];
}

/** `a · b`: what `a` does to a row vector, and then `b`. */
export function multiply(a: Matrix3, b: Matrix3): Matrix3 {
  const row = (values: Vector3): Vector3 => {
    const column = (c: 0 | 1 | 2) =>
      values[0] * b[0][c] + values[1] * b[1][c] + values[2] * b[2][c];
    return [column(0), column(1), column(2)];
  };
  return [row(a[0]), row(a[1]), row(a[2])];
}

/** The inverse, by cofactors; of a matrix that has none, not finite. */
export function invert([a, b, c]: Matrix3): Matrix3 {
  const [bc, ca, ab] = [cross(b, c), cross(c, a), cross(a, b)];
  const determinant = a[0] * bc[0] + a[1] * bc[1] + a[2] * bc[2];
  const row = (i: 0 | 1 | 2): Vector3 => [
    bc[i] / determinant,
    ca[i] / determinant,
    ab[i] / determinant,
  ];
  return [row(0), row(1), row(2)];
}

/**
 * Eigenvectors of a symmetric matrix, of length 1, the one with the largest eigenvalue first (cyclic
 * Jacobi rotations; Golub & Van Loan, Matrix Computations, 8.5).
 */
export function symmetricEigenvectors(matrix: Matrix3): Matrix3 {
  const a = matrix.map((row) => [...row]);
  const v = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]; // columns become the vectors
  const pairs = [[0, 1], [0, 2], [1, 2]] as const;
  for (let sweep = 0; sweep < 30; sweep++) {
    for (const [p, q] of pairs) {
      const off = a[p]![q]!;
      if (off === 0) continue;
      const theta = (a[q]![q]! - a[p]![p]!) / (2 * off);
      const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.hypot(theta, 1));
      const c = 1 / Math.hypot(t, 1);
      const s = t * c;
      const turn = (row: number[]) => {
        const [first, second] = [row[p]!, row[q]!];
        row[p] = c * first - s * second;
        row[q] = s * first + c * second;
      };
      a.forEach(turn);
      for (let k = 0; k < 3; k++) {
        const [first, second] = [a[p]![k]!, a[q]![k]!];
        a[p]![k] = c * first - s * second;
        a[q]![k] = s * first + c * second;
      }
      v.forEach(turn);
    }
  }
  const order = [0, 1, 2].sort((i, j) => a[j]![j]! - a[i]![i]!);
  const column = (i: number): Vector3 => [v[0]![i]!, v[1]![i]!, v[2]![i]!];
  return [column(order[0]!), column(order[1]!), column(order[2]!)];
}

/**
 * Optical density of each 8-bit value: `−ln((value + 1) / 256)`, 0 for white. Stains add up in it
 * (Beer-Lambert), as they do not in colours; the 1 keeps black finite.
 */
export const OPTICAL_DENSITY = Float64Array.from(
  { length: 256 },
  (_, value) => -Math.log((value + 1) / 256),
);

const MOST = 6;

// denser than black, which is 5.55
const STEPS = 2048;

// a unit: at most 0.07 of a grey level wrong before rounding

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

/**
 * The colour of each stain as optical densities in red, green and blue, of length 1.
 *
 * Values: measured by G. Landini for the ImageJ plugin "Colour Deconvolution", which follows
 * A. C. Ruifrok and D. A. Johnston, "Quantification of histochemical staining by color
 * deconvolution", Anal. Quant. Cytol. Histol. 23, 291-299 (2001).
 */
const colours = {
  haematoxylin: [0.644211, 0.716556, 0.266844],
  eosin: [0.092789, 0.954111, 0.283111],
  pas: [0.175411, 0.972178, 0.154589],
} satisfies Record<string, Vector3>;

/**
 * The stains of a slide, a row each: two stains of length 1, and what neither of them explains, at
 * right angles to both (Ruifrok and Johnston's third stain of a two-stain slide).
 */
export const stainVectors: Readonly<Record<Augmentation["stains"], Matrix3>> = {
  hematoxylin_eosin: withResidual(colours.haematoxylin, colours.eosin),
  pas_hematoxylin: withResidual(colours.haematoxylin, colours.pas),
};

/** Two stains and, at right angles to both, the residual, all of length 1. */
function withResidual(first: Vector3, second: Vector3): Matrix3 {
  return [unit(first), unit(second), unit(cross(first, second))];
}

/**
 * Brings an image's colours to the reference.
 *
 * @param pixels 8-bit RGB, [n, 3]; not changed.
 */
export function normaliseStain(pixels: Uint8Array, reference: StainReference): Uint8Array {
  return reference.method === "reinhard"
    ? normaliseReinhard(pixels, reference)
    : normaliseMacenko(pixels, reference);
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

/** Colours of a slide after Reinhard: of its tissue, in lαβ. */
interface ReinhardColours {
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
