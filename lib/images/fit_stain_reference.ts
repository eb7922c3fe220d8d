import type { Config } from "../config_schema.ts";
import { createRandom } from "../random.ts";
import { decodeImage, type DecodeOptions } from "./decode.ts";
import { macenkoColours } from "./stain/macenko.ts";
import { unit, type Vector3 } from "./stain/matrix3.ts";
import { reinhardColours } from "./stain/reinhard.ts";
import type { StainReference } from "./stain/stain_reference.ts";

/** Training images whose colours are looked at. */
const IMAGES = 64;

/**
 * The reference of a training: the medians, value by value, of the colours of up to 64 training
 * images, drawn by the seed. Never of validation or test images.
 *
 * @param paths Absolute, of training images.
 * @returns `null` for the method `none`, or when none of the images has colours to speak of.
 * @throws {ImageError} When one of the images cannot be read.
 */
export async function fitStainReference(
  paths: readonly string[],
  { method, seed, ...decode }: Omit<DecodeOptions, "stain"> & {
    method: Config["model"]["stainNormalisation"];
    seed: number;
  },
): Promise<StainReference | null> {
  if (method === "none") return null;
  const chosen = createRandom(`${seed}/stain`).shuffle(paths.toSorted()).slice(0, IMAGES);
  const images: Uint8Array[] = [];
  for (const path of chosen) images.push((await decodeImage(path, decode)).pixels);
  if (method === "reinhard") {
    const colours = images.map(reinhardColours).filter((own) => own !== null);
    if (colours.length === 0) return null;
    return {
      method,
      mean: medians(colours.map(({ mean }) => mean)) as [number, number, number],
      deviation: medians(colours.map(({ deviation }) => deviation)) as [number, number, number],
    };
  }
  const colours = images.map(macenkoColours).filter((own) => own !== null);
  if (colours.length === 0) return null;
  const stain = (i: 0 | 1) =>
    [...unit(medians(colours.map(({ stains }) => stains[i])) as unknown as Vector3)] as [
      number,
      number,
      number,
    ];
  return {
    method,
    stains: [stain(0), stain(1)],
    amounts: medians(colours.map(({ amounts }) => amounts)) as [number, number],
  };
}

/** The median of each place over all rows. */
function medians(rows: readonly (readonly number[])[]): number[] {
  return rows[0]!.map((_, place) => {
    const values = rows.map((row) => row[place]!).sort((a, b) => a - b);
    const middle = values.length >> 1;
    return values.length % 2 === 1 ? values[middle]! : (values[middle - 1]! + values[middle]!) / 2;
  });
}
