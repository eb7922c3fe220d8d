import { mapAhead } from "../data/map_ahead.ts";
import type { LabelledFile } from "../images/labelled_file.ts";
import { decodeImage, type DecodeOptions, DECODES_AHEAD } from "../images/decode.ts";
import type { Draw } from "../images/epoch_draws.ts";
import type { PixelCache } from "../images/pixel_cache.ts";
import { imagesAtOnce } from "../model/images_at_once.ts";
import type { TensorFlow } from "../setup/tensorflow.ts";
import type { FeatureCache } from "./feature_cache.ts";
import type { FeatureExtractor } from "./feature_extractor.ts";
import { fromRecords, toRecords } from "./feature_records.ts";

/**
 * Images that the frozen part takes at once on a processor: with 32 the peak of memory was a quarter
 * higher, for 3 to 5 % less time.
 */
const AT_ONCE = 16;

/** What the trainable part reads for one batch; whoever takes it disposes the tensors. */
export interface FeatureBatch {
  /** By boundary layer, [batch, ...]. */
  features: Map<string, TensorFlow.Tensor>;
  labels: Int32Array;
}

/** The frozen layers' outputs for a list of images, in any order, as often as wanted. */
export interface FeatureSource {
  /** Number of images. */
  count: number;
  /**
   * Batches in the order of the draws; the last one may be smaller.
   *
   * @throws {ImageError} When the turn of an image comes that cannot be read, or is another one than
   *   the split was made of.
   */
  read(draws: readonly Draw[], batchSize: number): AsyncGenerator<FeatureBatch>;
}

/** How an image is to be seen. */
export interface View {
  /** What the outputs are kept under, beside the image's content; `null`: not kept. */
  key: string | null;
  /** Makes the view from the decoded pixels [size, size, 3], which are its own. */
  change?: (pixels: Uint8Array) => Promise<Uint8Array>;
}

/** Every one of `count` images once, as they come. */
export function everyImage(count: number): Draw[] {
  return Array.from({ length: count }, (_, index) => ({ index, view: 1 }));
}

/** What a {@linkcode featureSource} is made of. */
export interface FeatureSourceOptions {
  /** With the hash of their content where the outputs are to be kept. */
  images: readonly LabelledFile[];
  extractor: FeatureExtractor;
  decode: DecodeOptions;
  /** `null`: computed at every reading. */
  cache: FeatureCache | null;
  /** Decoded images that are read again in the next epoch; `null`: none are kept. */
  pixels?: PixelCache | null;
  /** By default every image as it is. */
  viewOf?: (draw: Draw) => View;
}

/**
 * Features that are computed once, in the epoch that first needs them, and read from the cache from
 * then on. They pass through 16 bits in any case, so that a training has the same history whether
 * its features were kept or not.
 */
export function featureSource(options: FeatureSourceOptions): FeatureSource {
  const { images, extractor, cache } = options;
  return {
    count: images.length,
    read: async function* (draws, batchSize) {
      const prepared = mapAhead(draws, (draw) => prepare(draw, options), {
        inFlight: DECODES_AHEAD,
        ahead: 4 * batchSize,
      });
      let kept: Promise<void> | undefined;
      try {
        for (let start = 0; start < draws.length; start += batchSize) {
          const batch: Prepared[] = [];
          while (batch.length < Math.min(batchSize, draws.length - start)) {
            batch.push((await prepared.next()).value!);
          }
          const fresh = await compute(batch, extractor);
          await kept; // one at a time, while the training goes on
          kept = fresh.size > 0 ? cache?.keep(fresh) : undefined;
          yield {
            features: fromRecords(batch.map(({ record }) => record!), extractor.shapes),
            labels: Int32Array.from(batch, ({ label }) => label),
          };
        }
      } finally {
        await prepared.return();
        await kept;
      }
    },
  };
}

/** An image whose features are there, or whose pixels are. */
interface Prepared {
  label: number;
  key: string | null;
  record: Float16Array<ArrayBuffer> | null;
  pixels: Uint8Array | null;
}

async function prepare(
  draw: Draw,
  { images, decode, cache, pixels: pixelCache = null, viewOf }: FeatureSourceOptions,
): Promise<Prepared> {
  const { path, label, sha256 } = images[draw.index]!;
  const view = viewOf?.(draw) ?? { key: "" };
  const key = sha256 && view.key !== null ? `${sha256} ${view.key}` : null;
  const record = key === null ? null : await cache?.read(key) ?? null;
  if (record) return { label, key, record, pixels: null };
  const make = async () => (await decodeImage(path, decode, sha256)).pixels;
  const pixels = await (pixelCache ? pixelCache.pixels(path, make) : make());
  return { label, key, record: null, pixels: await view.change?.(pixels) ?? pixels };
}

/**
 * Runs the frozen part on the images of a batch that have pixels, and gives them their records.
 *
 * @returns Those to be kept, by key.
 */
async function compute(
  batch: Prepared[],
  extractor: FeatureExtractor,
): Promise<Map<string, Float16Array<ArrayBuffer>>> {
  const fresh = new Map<string, Float16Array<ArrayBuffer>>();
  const missing = batch.filter((image) => image.pixels !== null);
  if (missing.length === 0) return fresh;
  const atOnce = imagesAtOnce(AT_ONCE);
  for (let start = 0; start < missing.length; start += atOnce) {
    const images = missing.slice(start, start + atOnce);
    const records = await extractRecords(images.map((image) => image.pixels!), extractor);
    for (const [row, image] of images.entries()) {
      image.record = records[row]!;
      if (image.key !== null) fresh.set(image.key, image.record);
    }
  }
  return fresh;
}

async function extractRecords(
  images: readonly Uint8Array[],
  extractor: FeatureExtractor,
): Promise<Float16Array<ArrayBuffer>[]> {
  const length = images[0]!.length;
  const pixels = new Uint8Array(images.length * length); // [n, size, size, 3]
  images.forEach((image, row) => pixels.set(image, row * length));
  const features = extractor.extract(pixels);
  try {
    return await toRecords(features, extractor.shapes);
  } finally {
    for (const tensor of features.values()) tensor.dispose();
  }
}
