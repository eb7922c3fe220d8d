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
/** Stains whose vectors span less than this (the sine of their angle) cannot be told apart. */
const LEAST_SPAN = 0.05;

/**
 * The stains of an image: M. Macenko et al., "A method for normalizing histology slides for
 * quantitative analysis", ISBI 2009. In the plane of the two main directions of the tissue's optical
 * densities, the outermost angles are the stains.
 *
 * @param pixels 8-bit RGB, [n, 3].
 * @returns `null` for images without two stains: blank, or of one colour.
 */
export function macenkoColours(pixels: Uint8Array): MacenkoColours | null {
  const densities = tissueDensities(pixels);
  if (!densities) return null;
  const [first, second] = symmetricEigenvectors(covariance(densities));
  const angles = new Float64Array(densities.length / 3);
  const along = (v: Vector3, i: number) =>
    v[0] * densities[i]! + v[1] * densities[i + 1]! + v[2] * densities[i + 2]!;
  // Densities are positive: the main direction should be, too, or angles would wrap around.
  const main = first[0] + first[1] + first[2] < 0 ? negative(first) : first;
  for (let i = 0; i < densities.length; i += 3) {
    angles[i / 3] = Math.atan2(along(second, i), along(main, i));
  }
  angles.sort();
  const at = (angle: number): Vector3 => {
    const [c, s] = [Math.cos(angle), Math.sin(angle)];
    return unit([
      c * main[0] + s * second[0],
      c * main[1] + s * second[1],
      c * main[2] + s * second[2],
    ]);
  };
  const outer = [at(percentile(angles, ANGLE_PERCENTILE)), at(percentile(angles, 99))] as const;
  const stains = outer[0][0] > outer[1][0] ? outer : [outer[1], outer[0]] as const;
  if (!(Math.hypot(...cross(...stains)) > LEAST_SPAN)) return null;
  const separate = invert(withResidual(...stains));
  const amounts = [0, 1].map((stain) => {
    const values = new Float64Array(densities.length / 3);
    for (let i = 0; i < densities.length; i += 3) {
      values[i / 3] = densities[i]! * separate[0][stain]! +
        densities[i + 1]! * separate[1][stain]! +
        densities[i + 2]! * separate[2][stain]!;
    }
    return percentile(values.sort(), AMOUNT_PERCENTILE);
  }) as [number, number];
  return amounts.every((amount) => amount > 0) ? { stains, amounts } : null;
}

/**
 * Exchanges an image's stains for those of the reference, in the same amounts relative to the most.
 * What neither stain explains stays; white stays white.
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

const negative = (v: Vector3): Vector3 => [-v[0], -v[1], -v[2]];

function covariance(densities: Float64Array): Matrix3 {
  const n = densities.length / 3;
  const mean = [0, 0, 0];
  for (let i = 0; i < densities.length; i++) mean[i % 3]! += densities[i]! / n;
  const sums = [[0, 0, 0], [0, 0, 0], [0, 0, 0]];
  for (let i = 0; i < densities.length; i += 3) {
    for (let a = 0; a < 3; a++) {
      for (let b = 0; b < 3; b++) {
        sums[a]![b]! += (densities[i + a]! - mean[a]!) * (densities[i + b]! - mean[b]!) / n;
      }
    }
  }
  return sums as unknown as Matrix3;
}

/** Percentile of rising values, linear between neighbours as `numpy.percentile`. */
function percentile(sorted: Float64Array, percent: number): number {
  const place = percent / 100 * (sorted.length - 1);
  const low = Math.floor(place);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low]! + (place - low) * (sorted[high]! - sorted[low]!);
}
