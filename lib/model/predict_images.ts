import { mapAhead } from "../data/map_ahead.ts";
import { ImageError } from "../errors.ts";
import {
  type DecodedImage,
  decodeImage,
  type DecodeOptions,
  DECODES_AHEAD,
} from "../images/decode.ts";
import type { FeaturePredictor, Predictor } from "./predictor.ts";

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

/** An image that was classified, with what the model saw and made of it. */
export interface SeenImage extends PredictedImage {
  /** Of the model's size, before stains were normalised: RGB, row-major [size, size, 3]. */
  original: Uint8Array;
  /** Of the backbone: [channels]. */
  features: Float32Array;
}

/** An image that could not be read. */
export interface UnreadableImage {
  path: string;
  error: ImageError;
}

/** How {@linkcode predictImages} reads and groups. */
export interface PredictOptions extends DecodeOptions {
  batchSize: number;
  /** SHA-256 of what files must hold, by path; others may hold anything. */
  contents?: ReadonlyMap<string, string>;
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
  options: PredictOptions,
): AsyncGenerator<PredictedImage | UnreadableImage, void, void> {
  yield* inBatches(paths, options, async (images, pixels) => {
    const values = await predictor.predict(pixels); // [n, classes]
    return images.map((image, row) => classified(image, rowOf(values, row, images.length)));
  });
}

/**
 * As {@linkcode predictImages}, with pixels and features: what tells whether an image is like those
 * that the model was trained on. They come from the same forward pass.
 */
export async function* seeImages(
  predictor: FeaturePredictor,
  paths: Iterable<string>,
  options: PredictOptions,
): AsyncGenerator<SeenImage | UnreadableImage, void, void> {
  yield* inBatches(paths, options, async (images, pixels) => {
    const { probabilities, features } = await predictor.predictWithFeatures(pixels);
    return images.map((image, row) => ({
      ...classified(image, rowOf(probabilities, row, images.length)),
      original: image.original,
      features: rowOf(features, row, images.length),
    }));
  });
}

interface Decoded extends DecodedImage {
  path: string;
}

function classified({ path, width, height }: Decoded, probabilities: Float32Array): PredictedImage {
  return { path, width, height, probabilities: [...probabilities] };
}

function rowOf(values: Float32Array, row: number, rows: number): Float32Array {
  const length = values.length / rows;
  return values.subarray(row * length, (row + 1) * length);
}

/** @param predict Of the readable images of a batch and their pixels: a result each. */
async function* inBatches<T>(
  paths: Iterable<string>,
  { batchSize, contents, ...options }: PredictOptions,
  predict: (images: readonly Decoded[], pixels: Uint8Array) => Promise<T[]>,
): AsyncGenerator<T | UnreadableImage, void, void> {
  const decoded = mapAhead(paths, (path) => decode(path, options, contents?.get(path)), {
    inFlight: DECODES_AHEAD,
    ahead: 4 * batchSize,
  });
  let waiting: (Decoded | UnreadableImage)[] = [];
  const finish = async (): Promise<(T | UnreadableImage)[]> => {
    const readable = waiting.filter((image) => "pixels" in image);
    const length = options.size * options.size * 3;
    const pixels = new Uint8Array(readable.length * length); // [n, size, size, 3]
    readable.forEach((image, row) => pixels.set(image.pixels, row * length));
    const results = readable.length === 0 ? [] : await predict(readable, pixels);
    let row = 0;
    const finished = waiting.map((image) => "pixels" in image ? results[row++]! : image);
    waiting = [];
    return finished;
  };
  for await (const image of decoded) {
    waiting.push(image);
    if (waiting.length === batchSize) yield* await finish();
  }
  if (waiting.length > 0) yield* await finish();
}

async function decode(
  path: string,
  options: DecodeOptions,
  sha256: string | undefined,
): Promise<Decoded | UnreadableImage> {
  try {
    return { path, ...await decodeImage(path, options, sha256) };
  } catch (error) {
    if (error instanceof ImageError) return { path, error };
    throw error;
  }
}
