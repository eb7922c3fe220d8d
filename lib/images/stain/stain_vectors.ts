import type { Augmentation } from "../../config_schema.ts";
import { cross, type Matrix3, unit, type Vector3 } from "./matrix3.ts";

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
export function withResidual(first: Vector3, second: Vector3): Matrix3 {
  return [unit(first), unit(second), unit(cross(first, second))];
}
