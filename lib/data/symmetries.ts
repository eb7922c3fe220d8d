/** The eight symmetries of the square: the identity, three quarter turns, and the mirror images. */
export const SYMMETRIES = [
  "as it is",
  "turned by 90°",
  "turned by 180°",
  "turned by 270°",
  "mirrored",
  "mirrored and turned by 90°",
  "mirrored and turned by 180°",
  "mirrored and turned by 270°",
] as const;

/** Name of a symmetry. */
export type Symmetry = (typeof SYMMETRIES)[number];

/**
 * Each symmetry as a permutation of the pixels of a square image.
 *
 * @returns In the order of {@linkcode SYMMETRIES}: for every place of the changed image, row-major
 *   [side, side], the place in the original that its pixel comes from. "Mirrored" swaps left and
 *   right; turns are clockwise and come after it.
 * @example
 * ```ts
 * const turned = pixels.map((_, i) => pixels[symmetryIndices(side)[1][i]]);
 * ```
 */
export function symmetryIndices(side: number): Int32Array[] {
  return SYMMETRIES.map((_, symmetry) => {
    const indices = new Int32Array(side * side);
    for (let y = 0; y < side; y++) {
      for (let x = 0; x < side; x++) {
        let [fromX, fromY] = [x, y];
        for (let turn = 0; turn < symmetry % 4; turn++) [fromX, fromY] = [fromY, side - 1 - fromX];
        if (symmetry >= 4) fromX = side - 1 - fromX;
        indices[y * side + x] = fromY * side + fromX;
      }
    }
    return indices;
  });
}
