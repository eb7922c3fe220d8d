import { StaticDisjointSet } from "mnemonist";
import { breathe, type OnProgress } from "../core/long_work.ts";
import type { AuditPolicies, Finding } from "../run/findings.ts";
import type { ManifestRow } from "../run/manifest.ts";
import type { Fingerprint, Symmetry } from "./look.ts";
import { differenceHash, SYMMETRIES, symmetryIndices, THUMBNAIL_SIDE } from "./look.ts";

/**
 * Finds images whose files have the same bytes and sets them aside where the policies say `drop`: of
 * copies under one label the first is kept, of copies under several labels none, since at least one
 * label is wrong.
 *
 * @param rows In the order of their paths; those that are not `ok` pass unchanged.
 */
export function setAsideDuplicates(
  rows: readonly ManifestRow[],
  audit: Pick<AuditPolicies, "duplicate" | "conflictingLabels">,
): { rows: ManifestRow[]; findings: Finding[] } {
  const copies = Map.groupBy(rows.filter(({ status }) => status === "ok"), (row) => row.sha256);
  const findings: Finding[] = [];
  const result = rows.map((row) => {
    const same = row.status === "ok" ? copies.get(row.sha256)! : [];
    const first = same.find(({ label }) => label === row.label);
    const contrary = same.find(({ label }) => label !== row.label);
    if (contrary) {
      const isDropped = audit.conflictingLabels === "drop";
      findings.push({
        path: row.path,
        finding: "conflicting_labels",
        detail: `The same file is labelled ${row.label} and ${contrary.label}; ` +
          (isDropped ? "none is used." : "at least one label is wrong."),
        other_path: contrary.path,
      });
      if (isDropped) {
        return { ...row, status: `conflicting labels: the same file as ${contrary.path}` };
      }
    }
    if (first && first !== row) {
      const groups = [first.group, row.path].includes(row.group)
        ? ""
        : `, in the groups ${first.group} and ${row.group}`;
      const use = audit.duplicate === "drop" ? "only the other is" : "both are";
      findings.push({
        path: row.path,
        finding: "duplicate",
        detail: `The same file twice${groups}; ${use} used.`,
        other_path: first.path,
      });
      if (audit.duplicate === "drop") return { ...row, status: `duplicate of ${first.path}` };
    }
    return { ...row };
  });
  return { rows: result, findings };
}

/**
 * Images that show the same, by their places, the Pearson correlation of their grey thumbnails (0.95
 * to 1), and how `second` has to be turned to lie on `first`, which comes before it.
 */
type NearDuplicate = { first: number; second: number; correlation: number; symmetry: Symmetry };

/**
 * Finds images that show the same and sets them aside where the policies say `drop`. Of a cluster
 * with several labels none is then used; of a cluster, or what is used of it, the first of a label.
 * Pairs are sought among used images alone, so that a chain never runs through one that is left out.
 *
 * @param rows In the order of their paths; those that are not `ok` pass unchanged.
 * @param fingerprints Of the rows, in their order; `null` where there is none.
 */
export async function setAsideNearDuplicates(
  rows: readonly ManifestRow[],
  fingerprints: readonly (Fingerprint | null)[],
  audit: Pick<AuditPolicies, "nearDuplicate" | "conflictingNearDuplicate">,
  onProgress?: OnProgress,
): Promise<{ rows: ManifestRow[]; findings: Finding[] }> {
  const isUsed = (_: unknown, i: number) => rows[i]!.status === "ok" && fingerprints[i] !== null;
  const images = rows.filter(isUsed);
  const prints = fingerprints.filter(isUsed) as Fingerprint[];
  const pairs = await findNearDuplicates(prints, onProgress);
  const statuses = statusesOf(images, pairs, audit);
  return {
    rows: rows.map((row) => ({ ...row, status: statuses.get(row.path) ?? row.status })),
    findings: pairs.map((pair) => describePair(pair, images, statuses)),
  };
}

/** Why an image of a cluster is not used, by path; those that are used have no entry. */
function statusesOf(
  rows: readonly ManifestRow[],
  pairs: readonly NearDuplicate[],
  audit: Pick<AuditPolicies, "nearDuplicate" | "conflictingNearDuplicate">,
): Map<string, string> {
  const sets = new StaticDisjointSet(rows.length);
  for (const { first, second } of pairs) sets.union(first, second);
  const statuses = new Map<string, string>();
  for (const indices of sets.compile()) {
    const cluster = indices.map((i) => rows[i]!);
    for (const row of cluster) {
      const first = cluster.find(({ label }) => label === row.label)!;
      const contrary = cluster.find(({ label }) => label !== row.label);
      if (contrary && audit.conflictingNearDuplicate === "drop") {
        statuses.set(row.path, `conflicting labels: shows the same as ${contrary.path}`);
      } else if (first !== row && audit.nearDuplicate === "drop") {
        statuses.set(row.path, `near-duplicate of ${first.path}`);
      }
    }
  }
  return statuses;
}

function describePair(
  { first, second, correlation, symmetry }: NearDuplicate,
  rows: readonly ManifestRow[],
  statuses: ReadonlyMap<string, string>,
): Finding {
  const [a, b] = [rows[first]!, rows[second]!];
  const use = statuses.has(a.path)
    ? statuses.has(b.path) ? "neither is used." : "the other is not used."
    : statuses.has(b.path)
    ? "only the other is used."
    : "both stay in one subset.";
  const turned = symmetry === "as it is" ? "" : `, ${symmetry}`;
  const alike = `(correlation ${correlation.toFixed(3)})`;
  const same = `Shows the same as the other${turned} ${alike}; ${use}`;
  const pair = { path: b.path, other_path: a.path };
  if (a.label === b.label) return { ...pair, finding: "near_duplicate", detail: same };
  const detail = `${same} Their labels differ (${b.label}, ${a.label}): look at both.`;
  return { ...pair, finding: "conflicting_near_duplicate", detail };
}

/**
 * Least correlation of the thumbnails of a near-duplicate. On 484 real crops no two different
 * glomeruli reach 0.85 in any of the eight positions; copies that were recompressed (JPEG quality
 * 20), rescaled by 0.3 to 3, blurred (2 pixels), made brighter or darker keep 0.99. Copies that are
 * shifted or cropped by more than about 1 % are not found.
 */
const MIN_CORRELATION = 0.95;

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
  const clusters = new StaticDisjointSet(images.length);
  const pairs: NearDuplicate[] = [];
  const thumbnails = images.map(({ thumbnail }) => Uint8Array.fromBase64(thumbnail));
  const turned = new Uint8Array(THUMBNAIL_SIDE ** 2); // [36, 36]
  for (const [second, { dhash }] of images.entries()) {
    const thumbnail = thumbnails[second]!;
    for (const [symmetry, indices] of turns.entries()) {
      for (let i = 0; i < turned.length; i++) turned[i] = thumbnail[indices[i]!]!;
      for (const first of index.near(symmetry === 0 ? dhash : differenceHash(turned))) {
        if (clusters.connected(first, second)) continue;
        const similarity = correlation(thumbnails[first]!, turned);
        if (similarity < MIN_CORRELATION) continue;
        clusters.union(first, second);
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
  let [sumA, sumB, sumAA, sumBB, sumAB] = [0, 0, 0, 0, 0];
  for (let i = 0; i < n; i++) {
    const [x, y] = [a[i]!, b[i]!];
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

/**
 * 64-bit hashes of 16 hexadecimal digits, numbered as they are added, that can be searched.
 *
 * Multi-index hashing (Norouzi, Punjani & Fleet 2012): of four 16-bit bands at least one differs in
 * at most one bit when two hashes differ in at most seven, so that 68 look-ups find all of them. A
 * BK-tree needs 15 times as long for 10,000 images.
 *
 * @param capacity Most hashes that will be added.
 */
function createHashIndex(capacity: number) {
  const [high, low] = [new Int32Array(capacity), new Int32Array(capacity)];
  const metIn = new Int32Array(capacity).fill(-1); // the search that last met a hash
  const buckets: (number[] | undefined)[] = new Array(4 << 16).fill(undefined);
  let [count, searches] = [0, 0];
  return {
    add: (hash: string): void => {
      [high[count], low[count]] = wordsOf(hash);
      for (const key of bandsOf(high[count]!, low[count]!)) (buckets[key] ??= []).push(count);
      count++;
    },
    /** Numbers of the hashes that differ in at most seven bits, rising. */
    near: (hash: string): number[] => {
      const [a, b] = wordsOf(hash);
      const found: number[] = [];
      const search = searches++;
      const look = (key: number): void => {
        for (const item of buckets[key] ?? []) {
          const distance = bitCount(high[item]! ^ a) + bitCount(low[item]! ^ b);
          if (distance > 7 || metIn[item] === search) continue;
          metIn[item] = search;
          found.push(item);
        }
      };
      for (const key of bandsOf(a, b)) {
        look(key);
        for (let bit = 0; bit < 16; bit++) look(key ^ 1 << bit);
      }
      return found.sort((x, y) => x - y);
    },
  };
}

function wordsOf(hash: string): [number, number] {
  return [parseInt(hash.slice(0, 8), 16), parseInt(hash.slice(8), 16)];
}

/** The four 16-bit bands of a hash, each with its number above them. */
function bandsOf(high: number, low: number): number[] {
  return [high >>> 16, 1 << 16 | high & 0xffff, 2 << 16 | low >>> 16, 3 << 16 | low & 0xffff];
}

/** Number of ones among 32 bits (Warren, Hacker's Delight, 5-1). */
function bitCount(word: number): number {
  let bits = word - (word >>> 1 & 0x55555555);
  bits = (bits & 0x33333333) + (bits >>> 2 & 0x33333333);
  return Math.imul(bits + (bits >>> 4) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/** Paths that differ by case (or by how accents are stored) alone: one file on other systems. */
export function findCaseCollisions(paths: readonly string[]): Finding[] {
  const same = Map.groupBy(paths, (path) => path.normalize("NFC").toLowerCase());
  return [...same.values()].flatMap(([first, ...others]) =>
    others.map((path): Finding => ({
      path,
      finding: "case_collision",
      detail: "The two paths differ by upper and lower case alone: on Windows and macOS one " +
        "would overwrite the other.",
      other_path: first!,
    }))
  );
}
