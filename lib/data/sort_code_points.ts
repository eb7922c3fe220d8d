import { breathe } from "../breathe.ts";
import { compareCodePoints } from "./compare_code_points.ts";

/** Texts that are sorted or merged between two breaths: some ten milliseconds of work. */
const AT_A_TIME = 8192;

/**
 * Texts in code-point order, as {@linkcode compareCodePoints} has it. A merge sort that lets progress
 * and signals through: a million names in one folder take seconds.
 */
export async function sortCodePoints(texts: readonly string[]): Promise<string[]> {
  // Without surrogates JavaScript's own order, which is faster, is the same.
  const compare = texts.some((text) => /[\ud800-\udfff]/.test(text))
    ? compareCodePoints
    : (a: string, b: string) => a < b ? -1 : a > b ? 1 : 0;
  let runs: string[][] = [];
  for (let start = 0; start < texts.length; start += AT_A_TIME) {
    if (start > 0) await breathe();
    runs.push(texts.slice(start, start + AT_A_TIME).sort(compare));
  }
  while (runs.length > 1) {
    const merged: string[][] = [];
    for (let i = 0; i < runs.length; i += 2) {
      merged.push(await merge(runs[i]!, runs[i + 1] ?? [], compare));
    }
    runs = merged;
  }
  return runs[0] ?? [];
}

async function merge(
  a: readonly string[],
  b: readonly string[],
  compare: (a: string, b: string) => number,
): Promise<string[]> {
  const merged: string[] = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    const fromA = j === b.length || (i < a.length && compare(a[i]!, b[j]!) <= 0);
    merged.push(fromA ? a[i++]! : b[j++]!);
    if (merged.length % AT_A_TIME === 0) await breathe();
  }
  return merged;
}
