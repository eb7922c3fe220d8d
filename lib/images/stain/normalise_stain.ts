import { normaliseMacenko } from "./macenko.ts";
import { normaliseReinhard } from "./reinhard.ts";
import type { StainReference } from "./stain_reference.ts";

/**
 * Brings an image's colours to the reference.
 *
 * @param pixels 8-bit RGB, [n, 3]; not changed.
 */
export function normaliseStain(pixels: Uint8Array, reference: StainReference): Uint8Array {
  return reference.method === "reinhard"
    ? normaliseReinhard(pixels, reference)
    : normaliseMacenko(pixels, reference);
}
