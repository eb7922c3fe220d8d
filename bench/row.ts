import { median } from "../lib/core/stats.ts";

/** Smallest, middle and largest of some repetitions. */
export interface Spread {
  min: number;
  median: number;
  max: number;
}

/** One line of the benchmark's table and of results/bench.json. */
export interface BenchRow {
  name: string;
  unit: string;
  ours: Spread;
  /** The same done by another program on the same machine and files, in turn with ours. */
  peer: Spread & { name: string } | null;
  /** Median of ours ÷ median of the peer's. */
  ratio: number | null;
  /** What `ratio`, or without a peer the median of ours, should be at most. */
  target: number | null;
  /** Whether it is; `null` without a target. */
  met: boolean | null;
  note?: string;
}

/** @param values At least one. */
export function spread(values: readonly number[]): Spread {
  return { min: Math.min(...values), median: median(values), max: Math.max(...values) };
}

/** A row from the repetitions themselves. */
export function benchRow(
  row: Pick<BenchRow, "name" | "unit" | "note"> & {
    ours: readonly number[];
    peer?: { name: string; values: readonly number[] };
    target?: number;
  },
): BenchRow {
  const ours = spread(row.ours);
  const peer = row.peer ? { name: row.peer.name, ...spread(row.peer.values) } : null;
  const ratio = peer ? ours.median / peer.median : null;
  const target = row.target ?? null;
  return {
    name: row.name,
    unit: row.unit,
    ours,
    peer,
    ratio,
    target,
    met: target === null ? null : (ratio ?? ours.median) <= target,
    ...(row.note === undefined ? {} : { note: row.note }),
  };
}
