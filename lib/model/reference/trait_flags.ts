import type { ImageTraits } from "../../images/image_traits.ts";

/** The measures that are compared with those of the training images. */
export const TRAITS = [
  "size",
  "shape",
  "stain",
  "redness",
  "blueness",
  "blur",
  "dark",
  "bright",
] as const satisfies (keyof ImageTraits)[];

/** Everything that can be unusual about an image, in the order in which it is named. */
export const FLAGS = [
  "unusual_size",
  "unusual_shape",
  "unusual_colour",
  "blurred",
  "too_dark",
  "too_bright",
  "unfamiliar",
] as const;

/** A reason to look at an image. */
export type Flag = (typeof FLAGS)[number];

/** What a measure tells. */
export interface TraitRule {
  flag: Flag;
  /** Which direction is unusual. */
  side: "below" | "above" | "both";
  /** Least spread: see `usualRange`. */
  least: number;
}

/** Least spreads are a third of what an eye would call another size, colour or sharpness. */
export const TRAIT_RULES: Readonly<Record<keyof ImageTraits, TraitRule>> = {
  size: { flag: "unusual_size", side: "both", least: 0.2 },
  shape: { flag: "unusual_shape", side: "both", least: 0.15 },
  stain: { flag: "unusual_colour", side: "both", least: 0.15 },
  redness: { flag: "unusual_colour", side: "both", least: 0.05 },
  blueness: { flag: "unusual_colour", side: "both", least: 0.05 },
  blur: { flag: "blurred", side: "above", least: 0.02 },
  dark: { flag: "too_bright", side: "above", least: 10 },
  bright: { flag: "too_dark", side: "below", least: 10 },
};
