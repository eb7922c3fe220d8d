import { breathe } from "../../breathe.ts";
import type { Explainer } from "./explainer.ts";
import { type HeatMap, toHeatMap } from "./heat_map.ts";

/** Places along each side: as many as the last feature map of a 224-pixel image has. */
const GRID = 7;

/**
 * A fall of the logit, as a share of it, that is none: batches of other sizes are rounded in other
 * ways, and scaled up to 1 that would look like evidence.
 */
const ROUNDING = 1e-4;

/** Covered images that go through the model at once. */
const BATCH_SIZE = 25;

/**
 * Occlusion sensitivity (Zeiler and Fergus, ECCV 2014) of one image: how far a class's logit falls
 * when a square around each of 7 × 7 places is covered with the image's mean colour. A square is
 * two places wide, so that neighbours overlap and small structures are covered whole somewhere.
 * Slow, but it looks at answers alone: an independent check of maps by gradient.
 *
 * @param pixels RGB, [size, size, 3].
 * @param label Index of the class.
 * @throws {ModelError} When the model gives no finite numbers.
 */
export async function occlusionMap(
  { logits, imageSize }: Pick<Explainer, "logits" | "imageSize">,
  pixels: Uint8Array,
  label: number,
): Promise<HeatMap> {
  const colour = meanColour(pixels);
  const uncovered = (await logits(pixels))[0]![label]!;
  const least = ROUNDING * Math.max(1, Math.abs(uncovered));
  const falls = new Float32Array(GRID * GRID);
  for (let start = 0; start < falls.length; start += BATCH_SIZE) {
    const count = Math.min(BATCH_SIZE, falls.length - start);
    const batch = new Uint8Array(count * pixels.length); // [n, size, size, 3]
    for (let i = 0; i < count; i++) {
      batch.set(covered(pixels, imageSize, start + i, colour), i * pixels.length);
    }
    const answers = await logits(batch);
    answers.forEach((row, i) => {
      const fall = uncovered - row[label]!;
      falls[start + i] = Math.abs(fall) < least ? 0 : fall;
    });
    await breathe();
  }
  return toHeatMap(falls, { height: GRID, width: GRID });
}

function meanColour(pixels: Uint8Array): number[] {
  const sums = [0, 0, 0];
  pixels.forEach((value, i) => sums[i % 3]! += value);
  return sums.map((sum) => Math.round(3 * sum / pixels.length));
}

/** A copy with the square around a place of the grid in one colour. */
function covered(
  pixels: Uint8Array,
  size: number,
  place: number,
  colour: readonly number[],
): Uint8Array {
  const [firstRow, endRow] = extent(Math.floor(place / GRID), size);
  const [firstColumn, endColumn] = extent(place % GRID, size);
  const line = Uint8Array.from(
    { length: 3 * (endColumn - firstColumn) },
    (_, i) => colour[i % 3]!,
  );
  const copy = pixels.slice();
  for (let y = firstRow; y < endRow; y++) copy.set(line, 3 * (y * size + firstColumn));
  return copy;
}

/** First pixel and end of the square around a place, along one side. */
function extent(place: number, size: number): [number, number] {
  const cell = size / GRID;
  return [
    Math.max(0, Math.round((place - 0.5) * cell)),
    Math.min(size, Math.round((place + 1.5) * cell)),
  ];
}
