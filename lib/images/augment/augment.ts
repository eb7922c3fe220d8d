import type { Augmentation } from "../../config_schema.ts";
import type { Random } from "../../random.ts";
import { applySymmetry } from "./apply_symmetry.ts";
import { changeLight } from "./change_light.ts";
import { cutOut } from "./cut_out.ts";
import { type Changes, drawChanges } from "./draw_changes.ts";
import { gaussianBlur } from "./gaussian_blur.ts";
import { recompress } from "./recompress.ts";
import { varyStain } from "./vary_stain.ts";
import { warp } from "./warp.ts";

/**
 * A randomly changed copy of a training image.
 *
 * @param pixels 8-bit sRGB, row-major [size, size, 3]; not changed.
 * @param augmentation What may change and by how much (`config.training.augmentation`).
 * @param random Source of this one image's changes.
 * @returns [size, size, 3]; the given array itself where nothing is to change.
 * @example
 * ```ts
 * const seen = await augment(pixels, 224, config.training.augmentation, viewRandom(seed, epoch, i));
 * ```
 */
export function augment(
  pixels: Uint8Array,
  size: number,
  augmentation: Augmentation,
  random: Random,
): Promise<Uint8Array> {
  return applyChanges(pixels, size, drawChanges(augmentation, random));
}

/**
 * Applies changes in the order in which they come about: the tissue on the slide, its stain, the
 * microscope's focus, the camera, the file; the blank square last, so that nothing shows through.
 *
 * @param pixels 8-bit sRGB, row-major [size, size, 3]; not changed.
 * @returns [size, size, 3]; the given array itself where nothing is to change.
 */
export async function applyChanges(
  pixels: Uint8Array,
  size: number,
  changes: Changes,
): Promise<Uint8Array> {
  const { symmetry, placement, stainFactors, blur, brightness, contrast, hole } = changes;
  const { rotation, scale, shift } = placement;
  let result = pixels;
  if (symmetry !== 0) result = applySymmetry(result, size, symmetry);
  if (rotation !== 0 || scale !== 1 || shift.some((part) => part !== 0)) {
    result = warp(result, size, placement);
  }
  if (stainFactors.some((factor) => factor !== 1)) {
    result = varyStain(result, changes.stains, stainFactors);
  }
  if (blur > 0) result = gaussianBlur(result, size, blur);
  if (brightness !== 0 || contrast !== 1) result = changeLight(result, brightness, contrast);
  if (changes.jpegQuality < 100) result = await recompress(result, size, changes.jpegQuality);
  if (hole.side > 0) result = cutOut(result, size, hole);
  return result;
}
