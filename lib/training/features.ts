import { createHash } from "node:crypto";
import { TrainingError } from "../core/errors.ts";
import { mapAhead } from "../core/long_work.ts";
import type { Config } from "../core/settings.ts";
import { type TensorFlow, tf } from "../core/tensorflow.ts";
import { augment } from "../images/augment.ts";
import {
  createPixelCache,
  decodeImage,
  type DecodeOptions,
  DECODES_AHEAD,
  type Draw,
  type PixelCache,
} from "../images/decode.ts";
import { isAugmented, viewRandom } from "../images/views.ts";
import { foldBatchNorms, forward, preprocess, requireWeight } from "../model/forward.ts";
import { type Cut, inferShapes, type Shape, weightSpecs } from "../model/graph.ts";
import { backbones, INPUT_LAYER, inputShape, type Model } from "../model/model.ts";
import { imagesAtOnce } from "../model/predict.ts";
import type { LabelledFile } from "../run/split_file.ts";
import { type FeatureCache, type FeatureRecord, openFeatureCache } from "./feature_cache.ts";

/** What the trainable part reads for one batch, by boundary layer [batch, ...]; the taker disposes it. */
export interface FeatureBatch {
  features: Map<string, TensorFlow.Tensor>;
  labels: Int32Array;
}

/**
 * Reads the frozen layers' outputs for images of a list, in batches in the order of the draws.
 *
 * @throws {ImageError} When the turn of an image comes that cannot be read, or is not the one that
 *   the split was made of.
 */
export type FeatureSource = (
  draws: readonly Draw[],
  batchSize: number,
) => AsyncGenerator<FeatureBatch>;

/** The features of both subsets, and the cache below them, which the caller closes. */
export type Sources = Record<"train" | "validation", FeatureSource> & { cache: FeatureCache };

/**
 * Opens the features of both subsets. The frozen layers' outputs are cached in memory
 * (`training.cacheMegabytes`) and on disk (`training.cacheGigabytes`), also for other runs and other
 * settings of the trainable part; what does not fit is computed at every reading.
 *
 * With augmentation every view of a training image differs. `training.cachedViews` says how many
 * views an image has; they come in turn and are cached. 0: views without end, on each of which the
 * frozen part runs, from decoded pixels as far as those fit (`training.pixelCacheMegabytes`).
 * Validation images are never augmented.
 *
 * @param folder Of the outputs on disk; its name is {@linkcode hashFrozenPart}.
 */
export async function openSources(
  { config: { seed, training }, decode, train, validation }:
    & Record<"train" | "validation", readonly LabelledFile[]>
    & { config: Config; decode: DecodeOptions },
  extractor: FeatureExtractor,
  folder: string,
): Promise<Sources> {
  const { augmentation, cachedViews } = training;
  const cache = await openFeatureCache({
    folder,
    values: recordLength(extractor.shapes),
    memoryBytes: training.cacheMegabytes * 1e6,
    diskBytes: training.cacheGigabytes * 1e9,
  });
  const common = { extractor, decode, cache };
  const endless = isAugmented(augmentation) && cachedViews === 0;
  const viewOf = ({ index, view: turn }: Draw): View => {
    const view = endless ? turn : (turn - 1) % cachedViews + 1;
    const random = viewRandom(seed, view, train[index]!.sha256 ?? index);
    return {
      key: endless ? null : JSON.stringify([seed, view, augmentation]),
      change: (pixels) => augment(pixels, decode.size, augmentation, random),
    };
  };
  return {
    train: featureSource({
      ...common,
      images: train,
      ...(endless ? { pixels: createPixelCache(training.pixelCacheMegabytes) } : {}),
      ...(isAugmented(augmentation) ? { viewOf } : {}),
    }),
    validation: featureSource({ ...common, images: validation }),
    cache,
  };
}

interface View {
  /** Under which the outputs are cached, beside the image's content; `null`: not cached. */
  key: string | null;
  /** Makes the view from the decoded pixels [size, size, 3], which it may change. */
  change?: (pixels: Uint8Array) => Promise<Uint8Array>;
}

interface FeatureSourceOptions {
  images: readonly LabelledFile[];
  extractor: FeatureExtractor;
  decode: DecodeOptions;
  cache: FeatureCache | null;
  pixels?: PixelCache;
  viewOf?: (draw: Draw) => View;
}

/**
 * Features that are computed when they are first needed and then read from the cache. They pass
 * through 16 bits in any case, so that a training has the same history with and without a cache.
 *
 * @param options `images`: with the hash of their content where outputs are to be cached. `cache`:
 *   `null`: computed at every reading. `pixels`: keeps decoded images for the next epoch. `viewOf`: by
 *   default every image as it is.
 */
export function featureSource(options: FeatureSourceOptions): FeatureSource {
  const { extractor, cache } = options;
  return async function* (draws, batchSize) {
    const prepared = mapAhead(draws, (draw) => prepare(draw, options), {
      inFlight: DECODES_AHEAD,
      ahead: 4 * batchSize,
    });
    let adding: Promise<void> | undefined;
    try {
      for (let start = 0; start < draws.length; start += batchSize) {
        const batch: Prepared[] = [];
        while (batch.length < Math.min(batchSize, draws.length - start)) {
          batch.push((await prepared.next()).value!);
        }
        const fresh = await computeMissing(batch, extractor);
        await adding; // one at a time, while the training goes on
        adding = fresh.size > 0 ? cache?.add(fresh) : undefined;
        yield {
          features: fromRecords(batch.map(({ record }) => record!), extractor.shapes),
          labels: Int32Array.from(batch, ({ label }) => label),
        };
      }
    } finally {
      await prepared.return();
      await adding;
    }
  };
}

interface Prepared {
  label: number;
  key: string | null;
  record: FeatureRecord | null;
  pixels: Uint8Array | null;
}

async function prepare(
  draw: Draw,
  { images, decode, cache, pixels: pixelCache, viewOf }: FeatureSourceOptions,
): Promise<Prepared> {
  const { path, label, sha256 } = images[draw.index]!;
  const view = viewOf?.(draw) ?? { key: "" };
  const key = sha256 && view.key !== null ? `${sha256} ${view.key}` : null;
  const record = key === null ? null : await cache?.read(key) ?? null;
  if (record) return { label, key, record, pixels: null };
  const decoded = async () => (await decodeImage(path, decode, sha256)).pixels;
  const pixels = await (pixelCache?.pixels(path, decoded) ?? decoded());
  return { label, key, record, pixels: await view.change?.(pixels) ?? pixels };
}

/** On a processor: with 32 the peak of memory was a quarter higher, for 3 to 5 % less time. */
const AT_ONCE = 16;

/** Gives the images of a batch that have pixels their records. @returns Those to be cached, by key. */
async function computeMissing(batch: readonly Prepared[], extractor: FeatureExtractor) {
  const fresh = new Map<string, FeatureRecord>();
  const missing = batch.filter((image) => image.pixels !== null);
  const atOnce = imagesAtOnce(AT_ONCE);
  for (let start = 0; start < missing.length; start += atOnce) {
    const images = missing.slice(start, start + atOnce);
    const length = images[0]!.pixels!.length;
    const pixels = new Uint8Array(images.length * length); // [n, size, size, 3]
    images.forEach((image, row) => pixels.set(image.pixels!, row * length));
    const features = extractor.extract(pixels);
    const records = await toRecords(features, extractor.shapes)
      .finally(() => tf.dispose([...features.values()]));
    for (const [row, image] of images.entries()) {
      image.record = records[row]!;
      if (image.key !== null) fresh.set(image.key, image.record);
    }
  }
  return fresh;
}

/** Every one of `count` images once, as they come. */
export const everyImage = (count: number): Draw[] =>
  Array.from({ length: count }, (_, index) => ({ index, view: 1 }));

/** Runs the frozen part, folded once. */
export interface FeatureExtractor {
  /** Shapes of the boundary tensors for one image, by layer. */
  shapes: ReadonlyMap<string, Shape>;
  /** RGB pixels [n, size, size, 3] to boundary tensors [n, ...], which the caller disposes. */
  extract(pixels: Uint8Array): Map<string, TensorFlow.Tensor>;
  dispose(): void;
}

/** Makes the frozen part of a model ready to run. */
export function createFeatureExtractor(model: Model, cut: Cut): FeatureExtractor {
  const { graph, weights, dispose } = foldBatchNorms(cut.frozen, model.weights);
  const { imageSize, backbone } = model.architecture;
  const all = inferShapes(cut.frozen, inputShape(model.architecture));
  return {
    shapes: new Map(cut.boundary.map((name) => [name, all.get(name)!])),
    extract: (pixels) => {
      const images = preprocess(pixels, imageSize, backbones[backbone].preprocessing);
      const tensors = forward(graph, weights, new Map([[INPUT_LAYER, images]]), cut.boundary);
      images.dispose();
      return new Map(cut.boundary.map((name, index) => [name, tensors[index]!]));
    },
    dispose,
  };
}

/**
 * SHA-256, in hexadecimal, of all that the frozen part's outputs for an image file depend on:
 * its layers and weights, the boundary, how files become pixels and pixels become inputs.
 */
export async function hashFrozenPart(
  { architecture, weights }: Model,
  cut: Cut,
  decode: DecodeOptions,
): Promise<string> {
  const { backbone, imageSize } = architecture;
  const hash = createHash("sha256").update(JSON.stringify({
    format: 1,
    layers: cut.frozen,
    boundary: cut.boundary,
    preprocessing: backbones[backbone].preprocessing,
    decode: { resize: decode.resize, stain: decode.stain ?? null, size: imageSize },
  }));
  for (const { name } of weightSpecs(cut.frozen, inputShape(architecture))) {
    const values = await requireWeight(weights, name).data();
    hash.update(name).update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  }
  return hash.digest("hex");
}

type Shapes = FeatureExtractor["shapes"];

const sizeOf = (shape: Shape): number => shape.reduce((product, extent) => product * extent, 1);

/** Values of one image in all boundary tensors together. */
const recordLength = (shapes: Shapes): number =>
  [...shapes.values()].reduce((sum, shape) => sum + sizeOf(shape), 0);

/**
 * The boundary tensors [n, ...] of each image as one row of 16-bit floats, a layer after another:
 * half the bytes, with a relative error of at most 2⁻¹¹, less than one 8-bit step of the image causes.
 *
 * @throws {TrainingError} When a value is not a number or is beyond 65,504, the largest of 16 bits.
 */
async function toRecords(
  features: ReadonlyMap<string, TensorFlow.Tensor>,
  shapes: Shapes,
): Promise<FeatureRecord[]> {
  const length = recordLength(shapes);
  const count = features.values().next().value!.shape[0]!;
  const records = Array.from({ length: count }, () => new Float16Array(length));
  let at = 0;
  for (const [name, shape] of shapes) {
    const values = await features.get(name)!.data() as Float32Array;
    const size = sizeOf(shape);
    for (const [row, record] of records.entries()) {
      record.set(values.subarray(row * size, (row + 1) * size), at);
    }
    at += size;
  }
  if (!records.every(isFinite16)) {
    throw new TrainingError(
      "The frozen layers give values that are no numbers, or far beyond what they learned.",
      "Their weights are damaged or of another network: choose other ones (model.weights).",
    );
  }
  return records;
}

/** Whether no exponent has all its bits set, as those of infinities and NaN have. */
const isFinite16 = (record: FeatureRecord): boolean =>
  new Uint16Array(record.buffer).every((bits) => (bits & 0x7c00) !== 0x7c00);

/** The boundary tensors of a batch again, [records, ...] each; the caller disposes them. */
function fromRecords(records: readonly FeatureRecord[], shapes: Shapes) {
  const tensors = new Map<string, TensorFlow.Tensor>();
  let at = 0;
  for (const [name, shape] of shapes) {
    const size = sizeOf(shape);
    const values = new Float32Array(records.length * size);
    for (const [row, record] of records.entries()) {
      values.set(record.subarray(at, at + size), row * size);
    }
    tensors.set(name, tf.tensor(values, [records.length, ...shape]));
    at += size;
  }
  return tensors;
}
