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

/**
 * A square inside a square image: its side as a fraction of the image's, and where it is, from the
 * left (0) to the right (1) and from the top (0) to the bottom (1) border.
 */
export type Hole = Record<"side" | "x" | "y", number>;

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
 * @param image SHA-256 of its content, so that its views are the same in any list of images; where it
 *   has none, its place in the list.
 */
export function viewRandom(seed: number, view: number, image: string | number): Random {
  return createRandom(`${seed}/augmentation/${view}/${image}`);
}

/** Fields of the config that are augmentations of their own. */
type AugmentationName = Exclude<keyof Augmentation, "stains">;

type AugmentationKind = (typeof AUGMENTATION_KINDS)[number];

/**
 * Every augmentation, in the order in which they are applied. Strengths up to `safeUpTo` leave the
 * diagnosis as it is, those up to `careUpTo` need care, stronger ones are not to be used. The limits
 * are judgements: they follow from what tells a globally sclerotic tuft from others, and were not
 * measured.
 */
export const AUGMENTATION_KINDS: readonly {
  name: AugmentationName;
  safeUpTo: number;
  careUpTo: number;
  why: string;
}[] = [
  {
    name: "symmetries",
    safeUpTo: 1,
    careUpTo: 1,
    why: "A section has no top, and either face may lie up. Pixels are moved, not mixed.",
  },
  {
    name: "rotation",
    safeUpTo: 15,
    careUpTo: 45,
    why: "Tissue has no top. But corners come in mirrored, and at 45° they are a sixth of the " +
      "picture; quarter turns (symmetries) cost nothing.",
  },
  {
    name: "scale",
    safeUpTo: 0.1,
    careUpTo: 0.3,
    why:
      "Crops are cut to the glomerulus, so its size in the picture says little. Enlarged much, " +
      "the rim of the tuft is outside, where one open loop can decide the label.",
  },
  {
    name: "shift",
    safeUpTo: 0.05,
    careUpTo: 0.1,
    why:
      "Crops are centred on the tuft, but many have little margin. Shifted further, part of it is " +
      "outside, and with it perhaps what decides the label.",
  },
  {
    name: "stain",
    safeUpTo: 0.2,
    careUpTo: 0.3,
    why:
      "Laboratories and days differ in how deep they stain. But a sclerotic tuft is itself rich " +
      "in PAS or eosin and poor in nuclei: a large change imitates or hides that.",
  },
  {
    name: "blur",
    safeUpTo: 0,
    careUpTo: 1,
    why: "A sclerotic tuft is smooth, without loops and with few nuclei. Blur makes an open tuft " +
      "look like that; only as much as scanners are out of focus.",
  },
  {
    name: "brightness",
    safeUpTo: 0.1,
    careUpTo: 0.2,
    why:
      "Lamps and cameras differ. Much brighter, pale capillary loops turn white like empty space; " +
      "much darker, nuclei drown.",
  },
  {
    name: "contrast",
    safeUpTo: 0.2,
    careUpTo: 0.3,
    why:
      "Cameras differ. With little contrast, open loops and solid matrix become alike, which is " +
      "the difference to be learnt.",
  },
  {
    name: "jpegQuality",
    safeUpTo: 0,
    careUpTo: 50,
    why: "Useful where centres compress differently. Strong compression smooths fine texture, as " +
      "sclerosis does, and draws blocks that no tissue has.",
  },
  {
    name: "cutOut",
    safeUpTo: 0,
    careUpTo: 0.25,
    why:
      "Keeps the network from relying on one spot. But one open segment makes a glomerulus not " +
      "globally sclerotic, and the square can hide just that.",
  },
];

/** How strong a setting is; 0: off. */
function strengthOf(name: AugmentationName, augmentation: Augmentation): number {
  return name === "jpegQuality" ? 100 - augmentation.jpegQuality : Number(augmentation[name]);
}

function settingOf(name: AugmentationName, augmentation: Augmentation): string {
  const percent = (fraction: number): string => `${Number((100 * fraction).toPrecision(3))} %`;
  switch (name) {
    case "symmetries":
      return "flips and quarter turns";
    case "rotation":
      return `± ${augmentation.rotation}°`;
    case "stain":
      return `± ${percent(augmentation.stain)}, ${STAIN_NAMES[augmentation.stains]}`;
    case "blur":
      return `up to ${augmentation.blur} px`;
    case "jpegQuality":
      return `${augmentation.jpegQuality} or better`;
    case "cutOut":
      return `up to ${percent(augmentation.cutOut)} of the side`;
    default:
      return `± ${percent(augmentation[name])}`;
  }
}

const STAIN_NAMES: Readonly<Record<Augmentation["stains"], string>> = {
  hematoxylin_eosin: "haematoxylin and eosin",
  pas_hematoxylin: "haematoxylin and PAS",
};

/** The changes at full strength, in four variants (0 to 3) that differ in direction. */
export function strongestChanges(
  name: AugmentationName,
  { scale, shift, stain, stains, ...augmentation }: Augmentation,
  variant: number,
): Changes {
  const sign = variant % 2 === 0 ? 1 : -1;
  const otherSign = variant < 2 ? 1 : -1;
  const { placement } = NO_CHANGES;
  const changes: Record<AugmentationName, Partial<Changes>> = {
    symmetries: { symmetry: [5, 3, 1, 6][variant]! },
    rotation: { placement: { ...placement, rotation: sign * augmentation.rotation } },
    scale: { placement: { ...placement, scale: 1 + sign * scale } },
    shift: { placement: { ...placement, shift: [sign * shift, otherSign * shift] } },
    stain: { stains, stainFactors: [1 + otherSign * stain, 1 + sign * stain] },
    blur: { blur: augmentation.blur },
    brightness: { brightness: sign * augmentation.brightness },
    contrast: { contrast: 1 + sign * augmentation.contrast },
    jpegQuality: { jpegQuality: augmentation.jpegQuality },
    cutOut: {
      hole: {
        side: augmentation.cutOut,
        x: [0.3, 0.8, 0.5, 0.1][variant]!,
        y: sign > 0 ? 0.6 : 0.35,
      },
    },
  };
  return { ...NO_CHANGES, ...changes[name] };
}

/** One augmentation, for people. */
export interface AugmentationNote {
  augmentation: string;
  /** As configured, or "off" with the strength at which it is shown and judged. */
  setting: string;
  /** Whether it leaves the diagnosis as it is, at that setting. */
  safe: "yes" | "with care" | "no";
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

/** The settings at which an augmentation is shown and judged: the configured ones where it is on. */
export function shownSettings({ name }: AugmentationKind, augmentation: Augmentation) {
  const isOn = strengthOf(name, augmentation) > 0;
  return isOn ? augmentation : { ...SHOWN_WHEN_OFF, stains: augmentation.stains };
}

/** Every augmentation with its setting, and whether it is safe for this tissue and why. */
export function describeAugmentations(augmentation: Augmentation): AugmentationNote[] {
  return AUGMENTATION_KINDS.map((kind) => {
    const { name, safeUpTo, careUpTo, why } = kind;
    const shown = shownSettings(kind, augmentation);
    const [setting, strength] = [settingOf(name, shown), strengthOf(name, shown)];
    return {
      augmentation: name,
      setting: shown === augmentation ? setting : `off (shown: ${setting})`,
      safe: strength <= safeUpTo ? "yes" : strength <= careUpTo ? "with care" : "no",
      why,
    };
  });
}

/** Whether any augmentation is on. */
export function isAugmented(
  { symmetries, jpegQuality, stains: _, ...amounts }: Augmentation,
): boolean {
  return symmetries || jpegQuality < 100 || Object.values(amounts).some((amount) => amount > 0);
}
