/** 0 below `low`, 1 above `high`, smooth between; with `low` > `high` it falls instead. */
export function smoothstep(low: number, high: number, value: number): number {
  const t = clamp((value - low) / (high - low));
  return t * t * (3 - 2 * t);
}

/** Into [0, 1]. */
export function clamp(value: number): number {
  return value < 0 ? 0 : value > 1 ? 1 : value;
}

/** From `a` (share 0) to `b` (share 1). */
export function mix(a: number, b: number, share: number): number {
  return a + (b - a) * share;
}

/** The smaller of two distances, with the corner between them rounded over `round`. */
export function smoothMinimum(a: number, b: number, round: number): number {
  const h = Math.max(round - Math.abs(a - b), 0) / round;
  return Math.min(a, b) - h * h * round / 4;
}

/** A soft line: 1 on it, falling off over `width` on both sides. */
export function line(distance: number, width: number): number {
  const t = distance / width;
  return 1 / (1 + t * t * t * t);
}
