/**
 * Compares two texts by code point, for `sort`: the order of their UTF-8 bytes, the same on every
 * machine and in every language. (JavaScript's own order is that of UTF-16 units, in which an emoji
 * sorts before some Chinese characters; `localeCompare` depends on the machine.)
 *
 * @returns Negative, zero or positive.
 */
export function compareCodePoints(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const difference = rank(a.charCodeAt(i)) - rank(b.charCodeAt(i));
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** Surrogates stand for code points beyond all single units. */
function rank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}
