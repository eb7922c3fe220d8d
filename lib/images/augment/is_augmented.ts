import type { Augmentation } from "../../config_schema.ts";

/** Whether any augmentation is on. */
export function isAugmented(
  { symmetries, jpegQuality, stains: _, ...amounts }: Augmentation,
): boolean {
  return symmetries || jpegQuality < 100 || Object.values(amounts).some((amount) => amount > 0);
}
