import { mapAhead } from "../data/map_ahead.ts";
import { ImageError } from "../errors.ts";
import {
  type DecodedImage,
  decodeImage,
  type DecodeOptions,
  DECODES_AHEAD,
} from "../images/decode.ts";
import type { Predictor } from "./predictor.ts";

/** An image that was classified. */
export interface PredictedImage {
  path: string;
  /** One a class, in the model's order; they sum to 1. */
  probabilities: number[];
  /** In pixels, as displayed. */
  width: number;
  /** In pixels, as displayed. */
  height: number;
}

/** An image that could not be read. */
export interface UnreadableImage {
  path: string;
  error: ImageError;
}

/** How {@linkcode predictImages} reads and groups. */
export interface PredictOptions extends DecodeOptions {
  batchSize: number;
}

/**
 * Classifies image files, decoding the next ones meanwhile. Memory does not grow with their number.
 *
 * @param paths Absolute.
 * @returns One result a path, in their order; an unreadable image is a result, not an end.
 */
export async function* predictImages(
  predictor: Predictor,
  paths: Iterable<string>,
  { batchSize, ...options }: PredictOptions,
): AsyncGenerator<PredictedImage | UnreadableImage, void, void> {
  const decoded = mapAhead(paths, (path) => decode(path, options), {
    inFlight: DECODES_AHEAD,
    ahead: 4 * batchSize,
  });
  let waiting: (Decoded | UnreadableImage)[] = [];
  for await (const image of decoded) {
    waiting.push(image);
    if (waiting.length < batchSize) continue;
    yield* await predictBatch(predictor, waiting, options.size);
    waiting = [];
  }
  if (waiting.length > 0) yield* await predictBatch(predictor, waiting, options.size);
}

interface Decoded extends DecodedImage {
  path: string;
}

async function decode(path: string, options: DecodeOptions): Promise<Decoded | UnreadableImage> {
  try {
    return { path, ...await decodeImage(path, options) };
  } catch (error) {
    if (error instanceof ImageError) return { path, error };
    throw error;
  }
}

async function predictBatch(
  predictor: Predictor,
  images: readonly (Decoded | UnreadableImage)[],
  size: number,
): Promise<(PredictedImage | UnreadableImage)[]> {
  const readable = images.filter((image) => "pixels" in image);
  if (readable.length === 0) return images as UnreadableImage[];
  const pixels = new Uint8Array(readable.length * size * size * 3); // [n, size, size, 3]
  readable.forEach((image, row) => pixels.set(image.pixels, row * size * size * 3));
  const values = await predictor.predict(pixels); // [n, classes]
  const classes = values.length / readable.length;
  let row = 0;
  return images.map((image) => {
    if (!("pixels" in image)) return image;
    const { path, width, height } = image;
    const probabilities = [...values.subarray(row * classes, (row + 1) * classes)];
    row += 1;
    return { path, width, height, probabilities };
  });
}
