/**
 * The middle between two neighbouring scores, as a threshold: at or above it lies `upper`, and
 * `lower` does not. `upper` itself where the two are neighbouring numbers.
 */
export function between(lower: number, upper: number): number {
  const middle = lower + (upper - lower) / 2;
  return middle > lower ? middle : upper;
}
