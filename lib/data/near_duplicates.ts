import { breathe } from "../breathe.ts";
import type { OnProgress } from "../progress.ts";
import { differenceHash, type Fingerprint, THUMBNAIL_SIDE } from "./fingerprint.ts";
import { createHashIndex } from "./hash_index.ts";
import { SYMMETRIES, type Symmetry, symmetryIndices } from "./symmetries.ts";
import { createUnionFind } from "./union_find.ts";

/**
 * Least correlation of the thumbnails of a near-duplicate. On 484 real crops no two different
 * glomeruli reach 0.85 in any of the eight positions; copies that were recompressed (JPEG quality
 * 20), rescaled by 0.3 to 3, blurred (2 pixels), made brighter or darker keep 0.99. Copies that are
 * shifted or cropped by more than about 1 % are not found.
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
  /** How the later one has to be turned to lie on the earlier one. */
  symmetry: Symmetry;
}

/** Images after which others get their turn on this thread. */
const BETWEEN_BREATHS = 256;

/**
 * Finds images that show the same but are not the same file: recompressed, rescaled, re-coloured,
 * mirrored, turned by quarters.
 *
 * Hashes propose and thumbnails decide, because round objects in the middle of a crop often have
 * similar hashes. The hashes of all eight symmetries of an image are looked up among the images
 * before it.
 *
 * @returns Pairs that link every cluster of near-duplicates without a cycle: a cluster of n images
 *   has n − 1 pairs.
 */
export async function findNearDuplicates(
  images: readonly Fingerprint[],
  onProgress: OnProgress = () => {},
): Promise<NearDuplicate[]> {
  const turns = symmetryIndices(THUMBNAIL_SIDE);
  const index = createHashIndex(images.length);
  const clusters = createUnionFind(images.length);
  const pairs: NearDuplicate[] = [];
  const turned = new Uint8Array(THUMBNAIL_SIDE ** 2); // [36, 36]
  for (const [second, { dhash, thumbnail }] of images.entries()) {
    for (const [symmetry, indices] of turns.entries()) {
      for (let i = 0; i < turned.length; i++) turned[i] = thumbnail[indices[i]!]!;
      for (const first of index.near(symmetry === 0 ? dhash : differenceHash(turned))) {
        if (clusters.find(first) === clusters.find(second)) continue;
        const similarity = correlation(images[first]!.thumbnail, turned);
        if (similarity < MIN_CORRELATION) continue;
        clusters.unite(first, second);
        pairs.push({ first, second, correlation: similarity, symmetry: SYMMETRIES[symmetry]! });
      }
    }
    index.add(dhash);
    if ((second + 1) % BETWEEN_BREATHS === 0 || second + 1 === images.length) {
      onProgress(second + 1, images.length);
      await breathe();
    }
  }
  return pairs;
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
