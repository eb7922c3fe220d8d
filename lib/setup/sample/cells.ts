import type { Random } from "../../random.ts";

/** The two nearest of irregularly spread points, one a unit of area (Worley noise). */
export interface Cells {
  /** Looks up the point (x, y) and leaves the answer in the fields below. */
  find(x: number, y: number): void;
  /** Distance to the nearest point. */
  first: number;
  /** Distance to the second nearest; half the difference is about the distance to the border. */
  second: number;
  /** A number in [0, 1) that belongs to the nearest point. */
  value: number;
}

const SIDE = 64; // the pattern repeats after so many units
const MASK = SIDE - 1;

/** @param jitter 0: a square grid; 1: points anywhere in their square. */
export function createCells(random: Random, jitter: number): Cells {
  const count = SIDE * SIDE;
  const start = (1 - jitter) / 2;
  const draw = () => Float32Array.from({ length: count }, () => start + jitter * random.next());
  const offsetX = draw();
  const offsetY = draw();
  const values = Float32Array.from({ length: count }, () => random.next());
  const cells: Cells = {
    first: 0,
    second: 0,
    value: 0,
    find(x, y) {
      const column = Math.floor(x);
      const row = Math.floor(y);
      let first = Infinity;
      let second = Infinity;
      let nearest = 0;
      for (let j = row - 1; j <= row + 1; j++) {
        const base = (j & MASK) * SIDE;
        for (let i = column - 1; i <= column + 1; i++) {
          const index = base + (i & MASK);
          const dx = i + offsetX[index]! - x;
          const dy = j + offsetY[index]! - y;
          const squared = dx * dx + dy * dy;
          if (squared < first) {
            second = first;
            first = squared;
            nearest = index;
          } else if (squared < second) second = squared;
        }
      }
      cells.first = Math.sqrt(first);
      cells.second = Math.sqrt(second);
      cells.value = values[nearest]!;
    },
  };
  return cells;
}
