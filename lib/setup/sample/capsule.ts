import type { Random } from "../../random.ts";
import { type Painter, Tissue } from "./canvas.ts";
import type { Glomerulus } from "./glomerulus.ts";
import type { Noise } from "./noise.ts";
import { smoothstep } from "./shape.ts";

/** Bowman's space: empty, or filled with pale collagen in layers. `distance` is the capsule's. */
export function createSpace(random: Random, noise: Noise, glomerulus: Glomerulus): Painter {
  const [ox, oy] = [random.next() * 64, random.next() * 64];
  const { collagen } = glomerulus;
  const filled = smoothstep(0.02, 0.12, collagen);
  return (x, y, distance, _solidity, ink) => {
    const layer = noise(distance / 3.5 + 4 * noise(x / 22 + ox, y / 22 + oy), (x - y) / 70);
    const debris = smoothstep(0.7, 1.05, noise(x / 6 + ox, y / 6 + oy));
    ink.pas = 0.012 + 0.04 * debris + filled * (0.1 + 0.35 * collagen) * (0.65 + 0.7 * layer);
    ink.haematoxylin = 0.004 + 0.04 * debris + filled * (0.03 + 0.07 * layer);
    const lining = distance > -4 && distance < -1.5;
    ink.tissue = lining ? Tissue.capsuleLining : filled > 0.5 ? Tissue.fibrosis : Tissue.none;
  };
}

/** Amount of PAS in Bowman's capsule, at a distance from its middle; split into layers if thick. */
export function createCapsule(random: Random, noise: Noise, glomerulus: Glomerulus) {
  const [ox, oy] = [random.next() * 64, random.next() * 64];
  const strength = glomerulus.sclerotic ? 0.55 + 0.4 * random.next() : 1;
  return (x: number, y: number, distance: number): number => {
    if (Math.abs(distance) > glomerulus.capsule + 2) return 0;
    const uneven = noise(x / 30 + ox, y / 30 + oy);
    const half = glomerulus.capsule * (0.35 + 0.4 * uneven) + 0.3;
    const cover = smoothstep(half + 0.8, half - 0.4, Math.abs(distance));
    if (cover === 0) return 0;
    const layer = noise(distance / 1.6 + 2 * noise(x / 12, y / 12 + ox), (x + y) / 50);
    return cover * strength * (0.45 + 0.55 * (glomerulus.capsule > 2.5 ? layer : 0.6));
  };
}
