/** Largest number of bits in which two hashes count as near. */
const MAX_DISTANCE = 7;
const BANDS = 4;
const BAND_VALUES = 2 ** 16;

/** 64-bit hashes that can be searched for near ones. */
export interface HashIndex {
  /** Adds a hash of 16 hexadecimal digits; its number is how many were there before. */
  add(hash: string): void;
  /** Numbers of the hashes that differ in at most seven bits, rising. */
  near(hash: string): number[];
}

/**
 * Multi-index hashing (Norouzi, Punjani & Fleet 2012): of four 16-bit bands at least one differs in
 * at most one bit when two hashes differ in at most seven, so that 68 look-ups find all of them.
 *
 * @param capacity Most hashes that will be added.
 */
export function createHashIndex(capacity: number): HashIndex {
  const [high, low] = [new Int32Array(capacity), new Int32Array(capacity)];
  const metIn = new Int32Array(capacity).fill(-1); // the search that last met a hash
  const buckets = Array.from(
    { length: BANDS },
    () => new Array<number[] | undefined>(BAND_VALUES).fill(undefined),
  );
  let count = 0;
  let searches = 0;
  return {
    add: (hash) => {
      high[count] = parseInt(hash.slice(0, 8), 16);
      low[count] = parseInt(hash.slice(8), 16);
      for (const [i, band] of bandsOf(hash).entries()) (buckets[i]![band] ??= []).push(count);
      count++;
    },
    near: (hash) => {
      const [highBits, lowBits] = [parseInt(hash.slice(0, 8), 16), parseInt(hash.slice(8), 16)];
      const found: number[] = [];
      const search = searches++;
      const look = (bucket: number[] | undefined): void => {
        if (!bucket) return;
        for (const item of bucket) {
          const distance = bitCount(high[item]! ^ highBits) + bitCount(low[item]! ^ lowBits);
          if (distance > MAX_DISTANCE || metIn[item] === search) continue;
          metIn[item] = search;
          found.push(item);
        }
      };
      for (const [i, band] of bandsOf(hash).entries()) {
        look(buckets[i]![band]);
        for (let bit = 0; bit < 16; bit++) look(buckets[i]![band ^ 1 << bit]);
      }
      return found.sort((a, b) => a - b);
    },
  };
}

/** A hash as four 16-bit numbers. */
function bandsOf(hash: string): number[] {
  return Array.from({ length: BANDS }, (_, i) => parseInt(hash.slice(4 * i, 4 * i + 4), 16));
}

/** Number of ones among 32 bits (Warren, Hacker's Delight, 5-1). */
function bitCount(word: number): number {
  let bits = word - (word >>> 1 & 0x55555555);
  bits = (bits & 0x33333333) + (bits >>> 2 & 0x33333333);
  return Math.imul(bits + (bits >>> 4) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
