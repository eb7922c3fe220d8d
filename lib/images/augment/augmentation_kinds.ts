import type { Augmentation } from "../../config_schema.ts";
import type { Changes } from "./draw_changes.ts";

/** Fields of the config that are augmentations of their own. */
export type AugmentationName = Exclude<keyof Augmentation, "stains">;

/** What is known about one augmentation. */
export interface AugmentationKind {
  name: AugmentationName;
  /** Strengths up to this leave the diagnosis as it is. */
  safeUpTo: number;
  /** Strengths up to this are to be used with care; stronger ones not at all. */
  careUpTo: number;
  /** Why, for this tissue. */
  why: string;
  /** How strong a setting is; 0: off. */
  strength: (augmentation: Augmentation) => number;
  /** A setting in words. */
  setting: (augmentation: Augmentation) => string;
  /** The changes at full strength, in four variants (0 to 3) that differ in direction. */
  strongest: (augmentation: Augmentation, variant: number) => Partial<Changes>;
}

const percent = (fraction: number): string => `${Number((100 * fraction).toPrecision(3))} %`;
const within = (fraction: number): string => `± ${percent(fraction)}`;
const sign = (variant: number): number => variant % 2 === 0 ? 1 : -1;
const otherSign = (variant: number): number => variant < 2 ? 1 : -1;
const still = { rotation: 0, scale: 1, shift: [0, 0] } as const;

/**
 * Every augmentation, in the order in which they are applied. The limits are judgements: they follow
 * from what tells a globally sclerotic tuft from others, and were not measured.
 */
export const AUGMENTATION_KINDS: readonly AugmentationKind[] = [
  {
    name: "symmetries",
    safeUpTo: 1,
    careUpTo: 1,
    why: "A section has no top, and either face may lie up. Pixels are moved, not mixed.",
    strength: ({ symmetries }) => symmetries ? 1 : 0,
    setting: () => "flips and quarter turns",
    strongest: (_, variant) => ({ symmetry: [5, 3, 1, 6][variant] ?? 0 }),
  },
  {
    name: "rotation",
    safeUpTo: 15,
    careUpTo: 45,
    why: "Tissue has no top. But corners come in mirrored, and at 45° they are a sixth of the " +
      "picture; quarter turns (symmetries) cost nothing.",
    strength: ({ rotation }) => rotation,
    setting: ({ rotation }) => `± ${rotation}°`,
    strongest: ({ rotation }, variant) => ({
      placement: { ...still, rotation: sign(variant) * rotation },
    }),
  },
  {
    name: "scale",
    safeUpTo: 0.1,
    careUpTo: 0.3,
    why:
      "Crops are cut to the glomerulus, so its size in the picture says little. Enlarged much, " +
      "the rim of the tuft is outside, where one open loop can decide the label.",
    strength: ({ scale }) => scale,
    setting: ({ scale }) => within(scale),
    strongest: ({ scale }, variant) => ({
      placement: { ...still, scale: 1 + sign(variant) * scale },
    }),
  },
  {
    name: "shift",
    safeUpTo: 0.05,
    careUpTo: 0.1,
    why:
      "Crops are centred on the tuft, but many have little margin. Shifted further, part of it is " +
      "outside, and with it perhaps what decides the label.",
    strength: ({ shift }) => shift,
    setting: ({ shift }) => within(shift),
    strongest: ({ shift }, variant) => ({
      placement: { ...still, shift: [sign(variant) * shift, otherSign(variant) * shift] },
    }),
  },
  {
    name: "stain",
    safeUpTo: 0.2,
    careUpTo: 0.3,
    why:
      "Laboratories and days differ in how deep they stain. But a sclerotic tuft is itself rich " +
      "in PAS or eosin and poor in nuclei: a large change imitates or hides that.",
    strength: ({ stain }) => stain,
    setting: ({ stain, stains }) => `${within(stain)}, ${stainNames[stains]}`,
    strongest: ({ stain, stains }, variant) => ({
      stains,
      stainFactors: [1 + otherSign(variant) * stain, 1 + sign(variant) * stain],
    }),
  },
  {
    name: "blur",
    safeUpTo: 0,
    careUpTo: 1,
    why: "A sclerotic tuft is smooth, without loops and with few nuclei. Blur makes an open tuft " +
      "look like that; only as much as scanners are out of focus.",
    strength: ({ blur }) => blur,
    setting: ({ blur }) => `up to ${blur} px`,
    strongest: ({ blur }) => ({ blur }),
  },
  {
    name: "brightness",
    safeUpTo: 0.1,
    careUpTo: 0.2,
    why:
      "Lamps and cameras differ. Much brighter, pale capillary loops turn white like empty space; " +
      "much darker, nuclei drown.",
    strength: ({ brightness }) => brightness,
    setting: ({ brightness }) => within(brightness),
    strongest: ({ brightness }, variant) => ({ brightness: sign(variant) * brightness }),
  },
  {
    name: "contrast",
    safeUpTo: 0.2,
    careUpTo: 0.3,
    why:
      "Cameras differ. With little contrast, open loops and solid matrix become alike, which is " +
      "the difference to be learnt.",
    strength: ({ contrast }) => contrast,
    setting: ({ contrast }) => within(contrast),
    strongest: ({ contrast }, variant) => ({ contrast: 1 + sign(variant) * contrast }),
  },
  {
    name: "jpegQuality",
    safeUpTo: 0,
    careUpTo: 50,
    why: "Useful where centres compress differently. Strong compression smooths fine texture, as " +
      "sclerosis does, and draws blocks that no tissue has.",
    strength: ({ jpegQuality }) => 100 - jpegQuality,
    setting: ({ jpegQuality }) => `${jpegQuality} or better`,
    strongest: ({ jpegQuality }) => ({ jpegQuality }),
  },
  {
    name: "cutOut",
    safeUpTo: 0,
    careUpTo: 0.25,
    why:
      "Keeps the network from relying on one spot. But one open segment makes a glomerulus not " +
      "globally sclerotic, and the square can hide just that.",
    strength: ({ cutOut }) => cutOut,
    setting: ({ cutOut }) => `up to ${percent(cutOut)} of the side`,
    strongest: ({ cutOut }, variant) => ({
      hole: { side: cutOut, x: [0.3, 0.8, 0.5, 0.1][variant] ?? 0, y: variant % 2 ? 0.35 : 0.6 },
    }),
  },
];

const stainNames: Readonly<Record<Augmentation["stains"], string>> = {
  hematoxylin_eosin: "haematoxylin and eosin",
  pas_hematoxylin: "haematoxylin and PAS",
};
