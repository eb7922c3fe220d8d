import {
  cross,
  invert,
  type Matrix3,
  multiply,
  symmetricEigenvectors,
  unit,
  type Vector3,
} from "./matrix3.ts";
import { mapDensities } from "./optical_density.ts";
import { percentile } from "./percentile.ts";
import { withResidual } from "./stain_vectors.ts";
import { tissueDensities } from "./tissue.ts";

/** Colours of a slide after Macenko: two stains and how much of each there is. */
export interface MacenkoColours {
  /** Optical densities in red, green, blue of length 1; the one that absorbs more red is first. */
  stains: readonly [Vector3, Vector3];
  /** 99th percentile of each stain's amount among tissue pixels, above 0. */
  amounts: readonly [number, number];
}

/** Percentile of the angles that counts as the outermost (Macenko's α), in per cent. */
const ANGLE_PERCENTILE = 1;
const AMOUNT_PERCENTILE = 99;
/**
 * Stains whose vectors span less than this (the sine of their angle) cannot be told apart: it may be
 * the noise of one colour. Those of glomeruli in PAS span 0.25 and more.
 */
export const LEAST_SPAN = 0.15;

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
