import type { Fingerprint } from "./fingerprint.ts";
import { createUnionFind } from "./union_find.ts";

/** Largest number of hash bits in which candidates may differ. */
const MAX_DISTANCE = 7;
const BANDS = 4;

/**
 * Least correlation of the thumbnails of a near-duplicate. On 484 real crops the most alike of
 * different glomeruli reach 0.8; copies that were recompressed (JPEG quality 20), rescaled by 0.5
 * to 3, blurred or made brighter keep 0.97.
 */
const MIN_CORRELATION = 0.95;

/** Two images that show the same. */
export interface NearDuplicate {
  /** Index of the earlier image. */
  first: number;
  /** Index of the later image. */
  second: number;
  /** Pearson correlation of their grey thumbnails, 0.95 to 1. */
  correlation: number;
}

/**
 * Finds images that show the same but are not the same file: recompressed, rescaled, re-coloured.
 *
 * Hashes propose and thumbnails decide, because round objects in the middle of a crop often have
 * similar hashes. Candidates come from multi-index hashing (Norouzi, Punjani & Fleet 2012): of four
 * 16-bit bands at least one differs in at most one bit when two hashes differ in at most seven, so
 * 68 look-ups an image find all of them.
 *
 * @returns Pairs that link every cluster of near-duplicates without a cycle: a cluster of n images
 *   has n − 1 pairs.
 */
export function findNearDuplicates(images: readonly Fingerprint[]): NearDuplicate[] {
  const hashes = images.map(({ dhash }) => bands(dhash));
  const buckets = Array.from({ length: BANDS }, () => new Map<number, number[]>());
  const clusters = createUnionFind(images.length);
  const pairs: NearDuplicate[] = [];
  for (const [second, hash] of hashes.entries()) {
    for (const first of candidates(hash, buckets)) {
      if (distance(hash, hashes[first]!) > MAX_DISTANCE) continue;
      if (clusters.find(first) === clusters.find(second)) continue;
      const similarity = correlation(images[first]!.thumbnail, images[second]!.thumbnail);
      if (similarity < MIN_CORRELATION) continue;
      clusters.unite(first, second);
      pairs.push({ first, second, correlation: similarity });
    }
    for (const [i, band] of hash.entries()) {
      const bucket = buckets[i]!.get(band);
      if (bucket) bucket.push(second);
      else buckets[i]!.set(band, [second]);
    }
  }
  return pairs;
}

/** Earlier images with a band that differs in at most one bit, in order, each once. */
function candidates(hash: readonly number[], buckets: readonly Map<number, number[]>[]): number[] {
  const found = new Set<number>();
  for (const [i, band] of hash.entries()) {
    for (const item of buckets[i]!.get(band) ?? []) found.add(item);
    for (let bit = 0; bit < 16; bit++) {
      for (const item of buckets[i]!.get(band ^ 1 << bit) ?? []) found.add(item);
    }
  }
  return [...found].sort((a, b) => a - b);
}

/** A hash of 16 hexadecimal digits as four 16-bit numbers. */
function bands(dhash: string): number[] {
  return Array.from({ length: BANDS }, (_, i) => parseInt(dhash.slice(4 * i, 4 * i + 4), 16));
}

/** Hamming distance in bits. */
function distance(a: readonly number[], b: readonly number[]): number {
  let bits = 0;
  for (let i = 0; i < BANDS; i++) {
    for (let rest = a[i]! ^ b[i]!; rest !== 0; rest &= rest - 1) bits++;
  }
  return bits;
}

/**
 * Pearson correlation of two grey images of one size. Images without any structure have none: two
 * of the same brightness, give or take two grey levels, count as the same.
 */
function correlation(a: Uint8Array, b: Uint8Array): number {
  const n = a.length;
  let sumA = 0, sumB = 0, sumAA = 0, sumBB = 0, sumAB = 0;
  for (let i = 0; i < n; i++) {
    const x = a[i]!, y = b[i]!;
    sumA += x;
    sumB += y;
    sumAA += x * x;
    sumBB += y * y;
    sumAB += x * y;
  }
  const varianceA = (sumAA - sumA * sumA / n) / n;
  const varianceB = (sumBB - sumB * sumB / n) / n;
  if (varianceA < 1 || varianceB < 1) {
    return varianceA < 1 && varianceB < 1 && Math.abs(sumA - sumB) / n <= 2 ? 1 : 0;
  }
  return (sumAB - sumA * sumB / n) / n / Math.sqrt(varianceA * varianceB);
}
