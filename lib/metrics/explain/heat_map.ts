import { ModelError } from "../../errors.ts";

/** Where in an image the evidence for a class is. */
export interface HeatMap {
  /** Row-major [height, width], 0 (none) to 1 (the map's own maximum). */
  values: Float32Array;
  height: number;
  width: number;
  /** There is no evidence for the class anywhere: all values are 0, and none was scaled up to 1. */
  isZero: boolean;
}

/**
 * A map of evidence scaled to 0..1: what speaks against the class counts as 0, and the rest is
 * divided by the largest value, where there is one.
 *
 * @param evidence Row-major [height, width], any finite numbers.
 * @throws {ModelError} When a value is no number, as those of a model whose weights are not.
 */
export function toHeatMap(
  evidence: Float32Array,
  { height, width }: { height: number; width: number },
): HeatMap {
  if (!evidence.every(Number.isFinite)) {
    throw new ModelError(
      "The model cannot be explained: what its layers give are no finite numbers.",
      "Train again (notebook 05), with a lower learning rate if the loss grew.",
    );
  }
  const most = evidence.reduce((a, b) => Math.max(a, b), 0);
  const values = most > 0
    ? evidence.map((value) => Math.max(0, value) / most)
    : new Float32Array(evidence.length);
  return { values, height, width, isZero: most === 0 };
}

/**
 * A map at another size, bilinear, with pixel centres at half steps and the border continued
 * outwards (as `tf.image.resize` and Pillow do when they enlarge).
 *
 * @returns Row-major [height, width]; within the range of the map's own values.
 */
export function resizeMap(map: HeatMap, height: number, width: number): Float32Array {
  const rows = positions(map.height, height);
  const columns = positions(map.width, width);
  const values = new Float32Array(height * width);
  rows.forEach((row, y) => {
    const [above, below] = [row.from * map.width, row.to * map.width];
    columns.forEach((column, x) => {
      const at = (line: number, place: number) => map.values[line + place]!;
      const top = mix(at(above, column.from), at(above, column.to), column.share);
      const bottom = mix(at(below, column.from), at(below, column.to), column.share);
      values[y * width + x] = mix(top, bottom, row.share);
    });
  });
  return values;
}

function mix(a: number, b: number, share: number): number {
  return a + (b - a) * share;
}

/** For each place of the larger axis the two of the smaller one it lies between. */
function positions(source: number, target: number): { from: number; to: number; share: number }[] {
  return Array.from({ length: target }, (_, i) => {
    const place = Math.min(source - 1, Math.max(0, (i + 0.5) * source / target - 0.5));
    const from = Math.floor(place);
    return { from, to: Math.min(source - 1, from + 1), share: place - from };
  });
}
