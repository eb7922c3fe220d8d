import type { Random } from "../lib/core/random.ts";

/** What all crops are painted with. */
export type Texture = ReturnType<typeof createTexture>;

/** Entries along the side of the tables of a texture, which repeat; a power of two. */
const SIDE = 256;

/** Entries of the table of noise along a unit of length. */
const UNIT = 8;

/** Draws a texture; it takes about 50 ms. */
export function createTexture(random: Random) {
  const sum = new Float32Array(SIDE * SIDE);
  const ease = (t: number) => Math.floor(t) + smoothstep(0, 1, t - Math.floor(t));
  // Value noise of four octaves, tabulated once so that a look-up costs a few nanoseconds.
  for (const [cell, weight] of [[8, 0.5], [4, 0.27], [2, 0.15], [1, 0.08]] as const) {
    const side = SIDE / cell;
    const lattice = Float32Array.from({ length: side * side }, () => random.next());
    for (let at = 0; at < sum.length; at++) {
      const [x, y] = [at % SIDE / cell, Math.floor(at / SIDE) / cell];
      sum[at]! += weight * between(lattice, side, ease(x), ease(y));
    }
  }
  // Sums of uniform values crowd around 0.5; this spreads them over [0, 1] again.
  const table = sum.map((value) => clamp(0.5 + (value - 0.5) * 1.7));
  const points = Float32Array.from({ length: 3 * SIDE * SIDE }, () => random.next());
  const cell: Cell = { first: 0, second: 0, value: 0 };
  return {
    // Smooth, in [0, 1], with a mean near 0.5; features are about one unit wide.
    // Turned, so that the lattice underneath does not show as level and upright lines.
    noise: (x: number, y: number) =>
      between(table, SIDE, (0.8 * x - 0.6 * y) * UNIT, (0.6 * x + 0.8 * y) * UNIT),
    cell: (x: number, y: number) => findCell(points, x, y, cell),
  };
}

/** Of the two points nearest to a place; half of the difference is about the way to their border. */
interface Cell {
  first: number; // distance to the nearest
  second: number; // distance to the second nearest
  value: number; // in [0, 1), belongs to the nearest
}

/**
 * Worley noise: irregularly spread points, one a unit of area.
 *
 * @param points x, y and value of the point in each square of the grid, 0 to 1.
 */
function findCell(points: Float32Array, x: number, y: number, cell: Cell): Cell {
  const column = Math.floor(x);
  const row = Math.floor(y);
  let first = Infinity;
  let second = Infinity;
  let nearest = 0;
  for (let j = row - 1; j <= row + 1; j++) {
    for (let i = column - 1; i <= column + 1; i++) {
      const at = 3 * ((j & SIDE - 1) * SIDE + (i & SIDE - 1));
      const dx = i + 0.1 + 0.8 * points[at]! - x;
      const dy = j + 0.1 + 0.8 * points[at + 1]! - y;
      const squared = dx * dx + dy * dy;
      if (squared < first) {
        second = first;
        first = squared;
        nearest = at;
      } else if (squared < second) second = squared;
    }
  }
  cell.first = Math.sqrt(first);
  cell.second = Math.sqrt(second);
  cell.value = points[nearest + 2]!;
  return cell;
}

/** Interpolates in a square table that repeats; its side is a power of two. */
export function between(table: Float32Array, side: number, x: number, y: number): number {
  const left = Math.floor(x);
  const top = Math.floor(y);
  const column = left & side - 1;
  const next = left + 1 & side - 1;
  const row = (top & side - 1) * side;
  const below = (top + 1 & side - 1) * side;
  const fx = x - left;
  const a = table[row + column]!;
  const b = table[below + column]!;
  const upper = a + (table[row + next]! - a) * fx;
  const lower = b + (table[below + next]! - b) * fx;
  return upper + (lower - upper) * (y - top);
}

/** 0 below `low`, 1 above `high`, smooth between; with `low` > `high` it falls instead. */
export function smoothstep(low: number, high: number, value: number): number {
  const t = clamp((value - low) / (high - low));
  return t * t * (3 - 2 * t);
}

function clamp(value: number): number {
  return value < 0 ? 0 : value > 1 ? 1 : value;
}

/** From `a` (share 0) to `b` (share 1). */
export function mix(a: number, b: number, share: number): number {
  return a * (1 - share) + b * share; // exact at both ends
}

/** The smaller of two distances, with the corner between them rounded over `round`. */
export function smoothMinimum(a: number, b: number, round: number): number {
  const corner = Math.max(round - Math.abs(a - b), 0) / round;
  return Math.min(a, b) - corner * corner * round / 4;
}

/** A soft line: 1 on it, falling off over `width` on both sides. */
export function line(distance: number, width: number): number {
  const t = distance / width;
  return 1 / (1 + t * t * t * t);
}
