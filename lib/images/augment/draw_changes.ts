import type { Augmentation } from "../../config_schema.ts";
import { SYMMETRIES } from "../../data/symmetries.ts";
import { createRandom, type Random } from "../../random.ts";
import type { Hole } from "./cut_out.ts";
import type { Placement } from "./warp.ts";

/** What is done to one image. */
export interface Changes {
  /** Place in `SYMMETRIES`. */
  symmetry: number;
  placement: Placement;
  stains: Augmentation["stains"];
  /** Factors of the amount of haematoxylin and of the other stain. */
  stainFactors: readonly [number, number];
  /** Standard deviation in pixels. */
  blur: number;
  /** Added to every value, as a fraction of the range. */
  brightness: number;
  /** Factor of every value's distance from the mean. */
  contrast: number;
  /** 100: not recompressed. */
  jpegQuality: number;
  hole: Hole;
}

/** The changes that leave an image as it is. */
export const NO_CHANGES: Changes = {
  symmetry: 0,
  placement: { rotation: 0, scale: 1, shift: [0, 0] },
  stains: "pas_hematoxylin",
  stainFactors: [1, 1],
  blur: 0,
  brightness: 0,
  contrast: 1,
  jpegQuality: 100,
  hole: { side: 0, x: 0, y: 0 },
};

/**
 * Draws an image's changes, each uniformly between its limits. Every one takes its random numbers
 * whether it is on or off, so that switching one on changes nothing about the others.
 */
export function drawChanges(augmentation: Augmentation, random: Random): Changes {
  const upTo = (most: number): number => most * random.next();
  const within = (most: number): number => most * (2 * random.next() - 1);
  const symmetry = random.integer(SYMMETRIES.length);
  return {
    symmetry: augmentation.symmetries ? symmetry : 0,
    placement: {
      rotation: within(augmentation.rotation),
      scale: 1 + within(augmentation.scale),
      shift: [within(augmentation.shift), within(augmentation.shift)],
    },
    stains: augmentation.stains,
    stainFactors: [1 + within(augmentation.stain), 1 + within(augmentation.stain)],
    blur: upTo(augmentation.blur),
    brightness: within(augmentation.brightness),
    contrast: 1 + within(augmentation.contrast),
    jpegQuality: augmentation.jpegQuality + random.integer(101 - augmentation.jpegQuality),
    hole: { side: upTo(augmentation.cutOut), x: random.next(), y: random.next() },
  };
}

/**
 * The random source of one view of one image: the same on any machine, whatever was drawn before.
 *
 * @param view Number of the view: in training, how often the image has been seen, from 1.
 * @param index Place of the image in its subset.
 */
export function viewRandom(seed: number, view: number, index: number): Random {
  return createRandom(`${seed}/augmentation/${view}/${index}`);
}
