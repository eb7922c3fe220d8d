import type { Random } from "../../random.ts";
import type { Pattern, Range } from "./patterns.ts";
import { smoothMinimum, smoothstep } from "./shape.ts";

interface Lobule {
  x: number;
  y: number;
  radius: number;
  solid: boolean;
}

/** One glomerulus: measures in µm, from its centre. */
export interface Glomerulus {
  radius: number;
  /** Direction of the vascular pole, radians. */
  pole: number;
  open: number;
  mesangium: number;
  cells: number;
  capsule: number;
  collagen: number;
  scar: number;
  density: number;
  sclerotic: boolean;
  /** Size of a capillary loop. */
  loop: number;
  /** Distance from the capsule, negative inside. */
  capsuleDistance(x: number, y: number): number;
  /** Distance from the outline of the tuft, negative inside. */
  tuftDistance(x: number, y: number): number;
  /** Distance from the border of the solid part, negative inside it. */
  solidDistance(x: number, y: number): number;
}

/** Draws one glomerulus of a pattern. */
export function drawGlomerulus(pattern: Pattern, random: Random): Glomerulus {
  const from = ([low, high]: Range) => low + (high - low) * random.next();
  const radius = from(pattern.radius);
  const pole = random.next() * 2 * Math.PI;
  const fill = from(pattern.fill);
  const lobules = drawLobules(random, radius * fill, pole, from(pattern.solid));
  const capsuleDistance = drawOutline(random, radius, pattern.sclerotic ? 0.045 : 0.026);
  // A solid tuft is one mass; an open one shows clefts between its lobules.
  const round = pattern.sclerotic ? radius * 0.3 : radius * 0.06;
  const capsule = from(pattern.capsule);
  const tuft = lobules.concat(drawStalk(radius, pole));
  const solidOnes = lobules.filter((lobule) => lobule.solid);
  const openOnes = lobules.filter((lobule) => !lobule.solid);
  return {
    radius,
    pole,
    open: from(pattern.open),
    mesangium: from(pattern.mesangium),
    cells: from(pattern.cells),
    capsule,
    collagen: from(pattern.collagen),
    scar: from(pattern.scar),
    density: from(pattern.density),
    sclerotic: pattern.sclerotic,
    loop: from([10, 16]),
    capsuleDistance,
    tuftDistance: (x, y) =>
      Math.max(unionDistance(tuft, round, x, y), capsuleDistance(x, y) + capsule / 2),
    solidDistance: (x, y) => {
      const solid = unionDistance(solidOnes, radius * 0.1, x, y);
      const open = unionDistance(openOnes, radius * 0.1, x, y);
      return Math.max(-radius, Math.min(radius, (solid - open) / 2));
    },
  };
}

/** A circle made uneven by a few waves around it; `wrinkle` is their height over the radius. */
function drawOutline(random: Random, radius: number, wrinkle: number) {
  const waves = [2, 3, 4, 5, 7, 9].map((k) => ({
    k,
    height: radius * wrinkle * random.normal() * (k === 2 ? 1.6 : 2.2 / k),
    phase: random.next() * 2 * Math.PI,
  }));
  return (x: number, y: number): number => {
    const angle = Math.atan2(y, x);
    let edge = radius;
    for (const { k, height, phase } of waves) edge += height * Math.cos(k * angle + phase);
    return Math.sqrt(x * x + y * y) - edge;
  };
}

/** Lobules around a middle one; the solid ones are neighbours, as segments are. */
function drawLobules(random: Random, radius: number, pole: number, solid: number): Lobule[] {
  const count = 6 + random.integer(4);
  const start = pole + (random.next() - 0.5) * 4;
  const around = Array.from({ length: count }, (_, i): Lobule => {
    const angle = start + (i + 0.5 * (random.next() - 0.5)) / count * 2 * Math.PI;
    const size = radius * (0.36 + 0.1 * random.next());
    const reach = radius - size;
    return {
      x: reach * Math.cos(angle),
      y: reach * Math.sin(angle),
      radius: size,
      solid: i < Math.round(solid * count),
    };
  });
  const middle: Lobule = { x: 0, y: 0, radius: radius * 0.5, solid: solid > 0.55 };
  return [middle, ...around];
}

/** Where the tuft hangs on the vascular pole. */
function drawStalk(radius: number, pole: number): Lobule[] {
  return [0.72, 0.86, 1].map((reach) => ({
    x: radius * reach * Math.cos(pole),
    y: radius * reach * Math.sin(pole),
    radius: radius * 0.15,
    solid: false,
  }));
}

function unionDistance(lobules: readonly Lobule[], round: number, x: number, y: number): number {
  let distance = 1e3;
  for (const lobule of lobules) {
    const own = Math.sqrt((x - lobule.x) ** 2 + (y - lobule.y) ** 2) - lobule.radius;
    distance = smoothMinimum(distance, own, round);
  }
  return distance;
}

/** How solid a place is, 0 to 1, from its distance to the border of the solid part. */
export function solidity(distance: number): number {
  return smoothstep(4, -4, distance);
}
