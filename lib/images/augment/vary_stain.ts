import type { Augmentation } from "../../config_schema.ts";
import { invert, type Matrix3, multiply } from "../stain/matrix3.ts";
import { mapDensities } from "../stain/optical_density.ts";
import { stainVectors } from "../stain/stain_vectors.ts";

/**
 * Changes how much of each stain the section took, as thicker sections and longer baths do: the
 * stains are separated in optical density (Ruifrok and Johnston, 2001), scaled, and put together
 * again. As the H&E colour augmentation of D. Tellez et al., "Whole-slide mitosis detection in H&E
 * breast histology using PHH3 as a reference to train distilled stain-invariant convolutional
 * networks", IEEE Trans. Med. Imaging 37 (2018), without its offsets: those would tint the empty
 * slide. What neither stain explains is left as it is.
 *
 * @param pixels 8-bit RGB, [n, 3]; not changed.
 * @param stains Which two stains.
 * @param factors Of the amount of haematoxylin and of the other stain.
 */
export function varyStain(
  pixels: Uint8Array,
  stains: Augmentation["stains"],
  factors: readonly [number, number],
): Uint8Array {
  const vectors = stainVectors[stains];
  const scaled: Matrix3 = [[factors[0], 0, 0], [0, factors[1], 0], [0, 0, 1]];
  return mapDensities(pixels, multiply(multiply(invert(vectors), scaled), vectors));
}
