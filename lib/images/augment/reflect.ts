/**
 * Where a place outside a row of `n` pixels lies when the row is mirrored at its edges, again and
 * again: … b a | a b c d | d c … (scipy.ndimage's "reflect").
 *
 * @param index Any integer.
 * @returns 0 to n − 1.
 */
export function reflect(index: number, n: number): number {
  const period = 2 * n;
  const place = ((index % period) + period) % period;
  return place < n ? place : period - 1 - place;
}
