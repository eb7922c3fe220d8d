import { symmetryIndices } from "../../data/symmetries.ts";

const indicesOfSize = new Map<number, Int32Array[]>();

/**
 * Turns or mirrors a square image. Pixels are moved, never mixed.
 *
 * @param pixels [size, size, 3]; not changed.
 * @param symmetry Place in `SYMMETRIES`, 0 to 7; 0 leaves everything where it is.
 */
export function applySymmetry(pixels: Uint8Array, size: number, symmetry: number): Uint8Array {
  let indices = indicesOfSize.get(size);
  if (!indices) indicesOfSize.set(size, indices = symmetryIndices(size));
  const from = indices[symmetry]!; // [size, size]
  const result = new Uint8Array(pixels.length);
  for (let i = 0; i < from.length; i++) {
    const source = 3 * from[i]!;
    result[3 * i] = pixels[source]!;
    result[3 * i + 1] = pixels[source + 1]!;
    result[3 * i + 2] = pixels[source + 2]!;
  }
  return result;
}
