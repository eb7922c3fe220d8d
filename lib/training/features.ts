import { createHash } from "node:crypto";
import { mapAhead } from "../core/ahead.ts";
import { TrainingError } from "../core/errors.ts";
import { type TensorFlow, tf } from "../core/tensorflow.ts";
import {
  decodeImage,
  type DecodeOptions,
  DECODES_AHEAD,
  type Draw,
  type PixelCache,
} from "../images/decode.ts";
import { foldBatchNorms, forward, preprocess, requireWeight } from "../model/forward.ts";
import { type Cut, inferShapes, type Shape, weightSpecs } from "../model/graph.ts";
import { backbones, INPUT_LAYER, inputShape, type Model } from "../model/model.ts";
import { imagesAtOnce } from "../model/predict.ts";
import type { LabelledFile } from "../run/split_file.ts";
import type { FeatureCache } from "./feature_cache.ts";

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
interface FeatureSourceOptions {
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

/** Runs the frozen part, folded once. */
export interface FeatureExtractor {
  /** Shapes of the boundary tensors for one image. */
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

/** Shapes of the boundary tensors for one image, by layer. */
type Shapes = ReadonlyMap<string, Shape>;

const sizeOf = (shape: Shape): number => shape.reduce((product, extent) => product * extent, 1);

/** Values that the boundary tensors of one image hold together. */
export function valuesPerImage(shapes: Shapes): number {
  return [...shapes.values()].reduce((sum, shape) => sum + sizeOf(shape), 0);
}

/**
 * The boundary tensors of each image as one row of 16-bit floats: half the bytes, with a relative
 * error of at most 2⁻¹¹, less than one 8-bit step of the image causes.
 *
 * @param features [n, ...] each; not disposed.
 * @returns n records of {@linkcode valuesPerImage} values, the layers one after another.
 * @throws {TrainingError} When a value is not a number or is beyond 65,504, the largest of 16 bits.
 */
export async function toRecords(
  features: ReadonlyMap<string, TensorFlow.Tensor>,
  shapes: Shapes,
): Promise<Float16Array<ArrayBuffer>[]> {
  const length = valuesPerImage(shapes);
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
      "The frozen layers give values that are no numbers, or far beyond what they learnt.",
      "Their weights are damaged or of another network: choose other ones (model.weights).",
    );
  }
  return records;
}

/** Whether no exponent has all its bits set, as those of infinities and NaN have. */
function isFinite16(record: Float16Array<ArrayBuffer>): boolean {
  const bits = new Uint16Array(record.buffer);
  for (let i = 0; i < bits.length; i++) if ((bits[i]! & 0x7c00) === 0x7c00) return false;
  return true;
}

/** The tensors of a batch again, [records, ...] each; the caller disposes them. */
export function fromRecords(
  records: readonly Float16Array[],
  shapes: Shapes,
): Map<string, TensorFlow.Tensor> {
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
