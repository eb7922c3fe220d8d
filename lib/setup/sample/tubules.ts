import type { Random } from "../../random.ts";
import { type Ink, type Painter, Tissue } from "./canvas.ts";
import { createCells } from "./cells.ts";
import type { Noise } from "./noise.ts";
import { clamp, line, mix, smoothMinimum, smoothstep } from "./shape.ts";

/**
 * Everything outside the capsule: cross-sections of tubules with their basement membranes, the
 * interstitium between them, and the scar around the glomerulus.
 *
 * @param scarring 0: back to back tubules; 1: small, thick-walled ones in a wide interstitium.
 * @param scar Width of the scar around the capsule, µm.
 */
export function createTubules(
  random: Random,
  noise: Noise,
  scarring: number,
  scar: number,
): Painter {
  const cells = createCells(random, 0.72);
  const spacing = 44 + 14 * random.next();
  const gap = 1.5 + 9 * scarring;
  const membrane = 0.65 + 0.9 * scarring;
  const [ox, oy] = [random.next() * 64, random.next() * 64];
  return (x, y, distance, _solidity, ink) => {
    const bend = 9;
    const wx = x + bend * (noise(x / 34 + ox, y / 34 + oy) - 0.5);
    const wy = y + bend * (noise(x / 34 + oy, y / 34 + ox) - 0.5);
    cells.find(wx / spacing + ox, wy / spacing + oy);
    const kind = cells.value;
    const border = Math.min(
      (cells.second - cells.first) * spacing / 2,
      (0.62 - cells.first) * spacing,
    );
    const scarEdge = distance - 2 - scar * (0.4 + 1.2 * noise(x / 40 + oy, y / 40));
    const depth = smoothMinimum(border - gap / 2 - 1.2, scarEdge, 8);
    const grain = noise(x / 3.2 + ox, y / 3.2 + oy);
    if (depth < 0) {
      paintInterstitium(ink, x, y, distance, scarEdge < 3, noise, grain);
    } else paintEpithelium(ink, depth, kind, grain, noise(x / 9 + ox, y / 9));
    ink.pas += (0.62 + 0.3 * grain) * line(depth, membrane * (0.8 + 0.4 * kind));
  };
}

function paintInterstitium(
  ink: Ink,
  x: number,
  y: number,
  distance: number,
  inScar: boolean,
  noise: Noise,
  grain: number,
): void {
  // Fibres run around the glomerulus in the scar, and this way and that elsewhere.
  const fibre = inScar
    ? noise(distance / 3 + noise(x / 25, y / 25) * 5, (x + y) / 60)
    : noise(x / 5 + y / 14, y / 5 - x / 14);
  ink.pas = 0.07 + (inScar ? 0.36 : 0.22) * fibre + (inScar ? 0.12 : 0.03) * grain;
  ink.haematoxylin = 0.03 + 0.06 * grain;
  // Capillaries between the tubules and gaps where the section tore.
  const gap = inScar ? 0 : smoothstep(0.7, 0.78, noise(x / 11 + 3, y / 11 + 5));
  ink.pas *= 1 - 0.85 * gap;
  ink.haematoxylin *= 1 - 0.9 * gap;
  ink.tissue = gap > 0.4 ? Tissue.none : inScar ? Tissue.fibrosis : Tissue.interstitium;
}

function paintEpithelium(
  ink: Ink,
  depth: number,
  kind: number,
  grain: number,
  patch: number,
): void {
  const proximal = kind < 0.62;
  const height = (proximal ? 13 : 7.5) * (0.8 + 0.5 * patch);
  const cast = kind > 0.95;
  const lumen = smoothstep(height - 1, height + (proximal ? 2.5 : 1), depth);
  const cytoplasm = (proximal ? 0.13 : 0.07) + (proximal ? 0.16 : 0.08) * (grain - 0.5);
  const brush = proximal ? 0.22 * line(depth - height, 1.6) : 0;
  ink.pas = mix(cytoplasm + 0.05 * patch, cast ? 0.6 : 0.012 + 0.05 * clamp(patch - 0.5), lumen) +
    brush;
  ink.haematoxylin = mix(0.04 + 0.08 * grain, cast ? 0.05 : 0.004, lumen);
  // Nuclei lie in the outer two thirds of the cells.
  ink.tissue = depth > 2.2 && depth < height * 0.72 ? Tissue.tubule : Tissue.none;
}
