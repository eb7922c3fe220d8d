import type { Config } from "../config_schema.ts";
import { DataError } from "../errors.ts";
import { median } from "../median.ts";
import { createRandom } from "../random.ts";
import { decodeImage, type DecodeOptions } from "./decode.ts";
import { macenkoColours } from "./stain/macenko.ts";
import { unit, type Vector3 } from "./stain/matrix3.ts";
import { reinhardColours } from "./stain/reinhard.ts";
import { type StainReference, stainReferenceSchema } from "./stain/stain_reference.ts";

/** Training images whose colours are looked at. */
const IMAGES = 64;

/**
 * The reference of a training: the medians, value by value, of the colours of up to 64 training
 * images, drawn by the seed. Never of validation or test images.
 *
 * @param paths Absolute, of training images.
 * @returns `null` for the method `none`.
 * @throws {DataError} When none of the images has colours to speak of.
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
  /** One image at a time is in memory. */
  const look = async <T>(coloursOf: (pixels: Uint8Array) => T | null): Promise<T[]> => {
    const found: T[] = [];
    for (const path of chosen) {
      const colours = coloursOf((await decodeImage(path, decode)).pixels);
      if (colours !== null) found.push(colours);
    }
    if (found.length > 0) return found;
    throw noColours(method, chosen.length);
  };
  if (method === "reinhard") {
    const colours = await look(reinhardColours);
    return stainReferenceSchema.parse({
      method,
      mean: medians(colours.map(({ mean }) => mean)),
      deviation: medians(colours.map(({ deviation }) => deviation)),
    });
  }
  const colours = await look(macenkoColours);
  const stain = (i: 0 | 1) =>
    unit(medians(colours.map(({ stains }) => stains[i])) as unknown as Vector3);
  const reference = stainReferenceSchema.safeParse({
    method,
    stains: [stain(0), stain(1)],
    amounts: medians(colours.map(({ amounts }) => amounts)),
  });
  if (!reference.success) throw noColours(method, chosen.length);
  return reference.data;
}

function noColours(method: string, images: number): DataError {
  return new DataError(
    `The stains cannot be normalised by ${method}: in ${images} training images that were looked ` +
      "at there is no stained tissue whose colours could be the reference.",
    'Look at the images in notebook 02, or set model.stainNormalisation to "none".',
  );
}

/** The median of each place over all rows. */
function medians(rows: readonly (readonly number[])[]): number[] {
  return rows[0]!.map((_, place) => median(rows.map((row) => row[place]!)));
}
