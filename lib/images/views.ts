import { createRandom, type Random } from "../core/random.ts";
import type { Augmentation } from "../core/settings.ts";
import { SYMMETRIES } from "../data/look.ts";

/** A change of place, size and angle. */
export interface Placement {
  /** Degrees, clockwise, about the centre. */
  rotation: number;
  /** Factor of size about the centre: above 1 things become larger. */
  scale: number;
  /** To the right and down, as fractions of the side; after rotation and scale. */
  shift: readonly [number, number];
}

/** A square inside a square image. */
export interface Hole {
  /** Its side, as a fraction of the image's. */
  side: number;
  /** Where it is, from the left (0) to the right (1) border. */
  x: number;
  /** Where it is, from the top (0) to the bottom (1) border. */
  y: number;
}

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

/** Fields of the config that are augmentations of their own. */
type AugmentationName = Exclude<keyof Augmentation, "stains">;

/** What is known about one augmentation. */
interface AugmentationKind {
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

/** Whether an augmentation leaves the diagnosis as it is. */
type Safety = "yes" | "with care" | "no";

/** One augmentation, for people. */
export interface AugmentationNote {
  augmentation: string;
  /** As configured, or "off" with the strength at which it is shown and judged. */
  setting: string;
  /** At that setting. */
  safe: Safety;
  why: string;
}

/**
 * Strengths at which an augmentation is shown where it is off. Those that are safe there can be
 * copied into the config; of the others, what is worth a trial.
 */
export const SHOWN_WHEN_OFF: Augmentation = {
  symmetries: true,
  rotation: 15,
  scale: 0.1,
  shift: 0.05,
  brightness: 0.1,
  contrast: 0.2,
  stain: 0.2,
  stains: "pas_hematoxylin",
  blur: 1,
  jpegQuality: 50,
  cutOut: 0.25,
};

/**
 * The settings at which an augmentation is shown and judged: the configured ones where it is on.
 */
export function shownSettings(
  { strength }: AugmentationKind,
  augmentation: Augmentation,
): Augmentation {
  return strength(augmentation) > 0
    ? augmentation
    : { ...SHOWN_WHEN_OFF, stains: augmentation.stains };
}

/** Whether an augmentation is safe for crops of glomeruli at a setting. */
function safetyOf(kind: AugmentationKind, augmentation: Augmentation): Safety {
  const strength = kind.strength(augmentation);
  if (strength <= kind.safeUpTo) return "yes";
  return strength <= kind.careUpTo ? "with care" : "no";
}

/** Every augmentation with its setting, and whether it is safe for this tissue and why. */
export function describeAugmentations(augmentation: Augmentation): AugmentationNote[] {
  return AUGMENTATION_KINDS.map((kind) => {
    const shown = shownSettings(kind, augmentation);
    const isOn = shown === augmentation;
    return {
      augmentation: kind.name,
      setting: isOn ? kind.setting(shown) : `off (shown: ${kind.setting(shown)})`,
      safe: safetyOf(kind, shown),
      why: kind.why,
    };
  });
}

/** Whether any augmentation is on. */
export function isAugmented(
  { symmetries, jpegQuality, stains: _, ...amounts }: Augmentation,
): boolean {
  return symmetries || jpegQuality < 100 || Object.values(amounts).some((amount) => amount > 0);
}
