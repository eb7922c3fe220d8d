import type { Random } from "../../random.ts";

/** Smooth noise in [0, 1] with a mean near 0.5; features are about one unit wide. */
export type Noise = (x: number, y: number) => number;

const SIZE = 512; // texels along a side, a power of two so that wrapping is a mask
const UNIT = 16; // texels per unit of length
const OCTAVES = [
  { cell: 16, weight: 0.5 },
  { cell: 8, weight: 0.27 },
  { cell: 4, weight: 0.15 },
  { cell: 2, weight: 0.08 },
];

/**
 * Value noise of four octaves, tabulated once so that a look-up costs a few nanoseconds. It repeats
 * every 32 units: give every use an offset of its own.
 */
export function createNoise(random: Random): Noise {
  const table = stretch(sumOctaves(random));
  const mask = SIZE - 1;
  return (x, y) => {
    // Turned, so that the lattice underneath does not show as level and upright lines.
    const u = (0.8 * x - 0.6 * y) * UNIT;
    const v = (0.6 * x + 0.8 * y) * UNIT;
    const left = Math.floor(u);
    const top = Math.floor(v);
    const fx = u - left;
    const fy = v - top;
    const row = (top & mask) * SIZE;
    const next = ((top + 1) & mask) * SIZE;
    const a = table[row + (left & mask)]!;
    const b = table[row + ((left + 1) & mask)]!;
    const c = table[next + (left & mask)]!;
    const d = table[next + ((left + 1) & mask)]!;
    const upper = a + (b - a) * fx;
    return upper + (c + (d - c) * fx - upper) * fy;
  };
}

function sumOctaves(random: Random): Float32Array {
  const table = new Float32Array(SIZE * SIZE);
  for (const { cell, weight } of OCTAVES) {
    const count = SIZE / cell;
    const lattice = Float32Array.from({ length: count * count }, () => random.next());
    for (let y = 0; y < SIZE; y++) {
      const top = Math.floor(y / cell);
      const fy = fade((y % cell) / cell);
      const row = top * count;
      const next = ((top + 1) % count) * count;
      for (let x = 0; x < SIZE; x++) {
        const left = Math.floor(x / cell);
        const right = (left + 1) % count;
        const fx = fade((x % cell) / cell);
        const upper = lattice[row + left]! * (1 - fx) + lattice[row + right]! * fx;
        const lower = lattice[next + left]! * (1 - fx) + lattice[next + right]! * fx;
        table[y * SIZE + x]! += weight * (upper * (1 - fy) + lower * fy);
      }
    }
  }
  return table;
}

/** Sums of uniform values crowd around 0.5; this spreads them over [0, 1] again. */
function stretch(table: Float32Array): Float32Array {
  return table.map((value) => Math.min(1, Math.max(0, 0.5 + (value - 0.5) * 1.7)));
}

function fade(t: number): number {
  return t * t * (3 - 2 * t);
}
