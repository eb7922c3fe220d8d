import type { Random } from "../../random.ts";
import { type Ink, type Painter, Tissue } from "./canvas.ts";
import { createCells } from "./cells.ts";
import type { Glomerulus } from "./glomerulus.ts";
import type { Noise } from "./noise.ts";
import { line, mix, smoothstep } from "./shape.ts";

/** The capillary tuft: open loops around a mesangium where it is healthy, one mass where it is not. */
export function createTuft(random: Random, noise: Noise, glomerulus: Glomerulus): Painter {
  const loops = createCells(random, 0.9);
  const [ox, oy] = [random.next() * 64, random.next() * 64];
  const { loop, open, mesangium, density } = glomerulus;
  const solid: Ink = { pas: 0, haematoxylin: 0, tissue: 0 };
  return (x, y, distance, solidity, ink) => {
    const grain = noise(x / 2.6 + ox, y / 2.6 + oy);
    // Fine ripples crumple the loops; they grow where the tuft has collapsed.
    const bend = mix(5, 11, solidity);
    const wx = x + bend * (noise(x / 11 + ox, y / 11) - 0.5);
    const wy = y + bend * (noise(x / 11, y / 11 + oy) - 0.5);
    loops.find(wx / loop + ox, wy / loop + oy);
    const value = loops.value;
    // Near the outline of the tuft a loop ends at its own wall.
    const rim = Math.max(0, -distance);
    const border = Math.min((loops.second - loops.first) * loop / 2, rim * 0.8);
    if (solidity < 1) {
      const stalk = noise(x / 26 + oy, y / 26 + ox);
      paintLoop(ink, border, value, stalk, { grain, open, mesangium, rim, loop });
    }
    if (solidity > 0) {
      paintSolid(solid, x, y, border, density, grain, noise, ox);
      ink.pas = mix(ink.pas, solid.pas, solidity);
      ink.haematoxylin = mix(ink.haematoxylin, solid.haematoxylin, solidity);
      if (solidity > 0.5) ink.tissue = solid.tissue;
    }
  };
}

function paintLoop(
  ink: Ink,
  border: number,
  value: number,
  stalk: number,
  at: { grain: number; open: number; mesangium: number; rim: number; loop: number },
): void {
  // Mesangium lies in the axes of the lobules; at the rim the walls are thin and the loops wide.
  const axis = smoothstep(0.4, 0.8, stalk) * smoothstep(2, 14, at.rim);
  const wall = at.loop * (0.07 + 0.13 * axis * at.mesangium) * (0.7 + 0.6 * at.grain);
  const opening = value < at.open * (1 - 0.6 * axis) ? 1 : 0;
  const lumen = opening * smoothstep(wall, wall + 0.9, border);
  const blood = value < at.open * 0.08 ? 0.2 : 0.02; // a few loops hold red cells
  const matrix = (0.13 + 0.36 * axis + 0.16 * (at.mesangium - 1)) * (0.5 + at.grain);
  const membrane = (opening * 0.45 + 0.12) * line(border - wall, 0.55) + 0.16 * line(border, 0.7);
  ink.pas = mix(Math.max(0.06, matrix), blood, lumen) + membrane;
  ink.haematoxylin = mix(0.04 + 0.13 * at.grain, blood * 0.4, lumen);
  ink.tissue = lumen > 0.5 && border > wall + 2.2 ? Tissue.none : Tissue.loop;
}

function paintSolid(
  ink: Ink,
  x: number,
  y: number,
  border: number,
  density: number,
  grain: number,
  noise: Noise,
  offset: number,
): void {
  // The walls of collapsed loops show as wrinkled cords in the mass.
  const swirl = 6 * noise(x / 30 + offset, y / 30);
  const cord = 1 - Math.abs(2 * noise(x / 12 + swirl, y / 12 + offset) - 1);
  const fibre = noise(x / 5 + swirl, y / 16 - swirl);
  const patch = noise(x / 38, y / 38 + offset);
  const slit = smoothstep(0.84, 0.96, noise(x / 9 + 7, y / 9 + offset)) *
    smoothstep(0.3, 0.6, patch);
  const body = density *
    (0.52 + 0.34 * patch + 0.26 * (cord * cord - 0.4) + 0.26 * (fibre - 0.5) +
      0.22 * (grain - 0.5));
  ink.pas = mix(body + 0.2 * density * line(border, 0.8), 0.05, slit);
  ink.haematoxylin = 0.03 + 0.06 * patch * (1 - slit) + 0.04 * grain;
  ink.tissue = slit > 0.3 ? Tissue.none : Tissue.sclerosis;
}
