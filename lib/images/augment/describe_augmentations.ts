import type { Augmentation } from "../../config_schema.ts";
import { AUGMENTATION_KINDS, type AugmentationKind } from "./augmentation_kinds.ts";

/** Whether an augmentation leaves the diagnosis as it is. */
export type Safety = "yes" | "with care" | "no";

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
export function safetyOf(kind: AugmentationKind, augmentation: Augmentation): Safety {
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
