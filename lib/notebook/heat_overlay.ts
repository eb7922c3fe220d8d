import { type HeatMap, resizeMap } from "../metrics/explain/heat_map.ts";
import { heatColor } from "./heat_colors.ts";

/** How much of a picture a heat map covers: as little where there is no evidence as helps to see. */
const [LEAST, MOST] = [0.25, 0.65];

/**
 * A heat map over the picture it explains, the stronger the more it covers. A map that is zero
 * everywhere leaves the picture as it is.
 *
 * @param pixels RGB, row-major [size, size, 3].
 * @returns As `pixels`.
 */
export function heatOverlay(pixels: Uint8Array, size: number, map: HeatMap): Uint8Array {
  if (map.isZero) return pixels.slice();
  const heat = resizeMap(map, size, size);
  return pixels.map((value, i) => {
    const strength = heat[Math.floor(i / 3)]!;
    const share = LEAST + (MOST - LEAST) * strength;
    return Math.round((1 - share) * value + share * heatColor(strength)[i % 3]!);
  });
}
