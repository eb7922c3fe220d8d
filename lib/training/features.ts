import { batches, type BatchItem } from "../images/batches.ts";
import type { Draw } from "../images/epoch_draws.ts";
import type { DecodeOptions } from "../images/decode.ts";
import type { PixelCache } from "../images/pixel_cache.ts";
import { backbones } from "../model/backbone.ts";
import type { Cut } from "../model/cut.ts";
import { foldBatchNorms } from "../model/fold.ts";
import { forward } from "../model/forward.ts";
import { inferShapes, type Shape } from "../model/graph.ts";
import { INPUT_LAYER, inputShape, type Model } from "../model/model.ts";
import { preprocess } from "../model/preprocess.ts";
import type { OnProgress } from "../progress.ts";
import { type TensorFlow, tf } from "../setup/tensorflow.ts";

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
  /** Batches in the order of the draws; the last one may be smaller. */
  read(draws: readonly Draw[], batchSize: number): AsyncGenerator<FeatureBatch>;
}

/** Every one of `count` images once, as they come. */
export function everyImage(count: number): Draw[] {
  return Array.from({ length: count }, (_, index) => ({ index, view: 1 }));
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

/** Bytes of the boundary tensors of one image. */
export function featureBytes(shapes: ReadonlyMap<string, Shape>): number {
  return 4 * [...shapes.values()].reduce((sum, shape) => sum + sizeOf(shape), 0);
}

function sizeOf(shape: Shape): number {
  return shape.reduce((product, extent) => product * extent, 1);
}

/** What reading images needs besides their paths. */
interface ReadOptions {
  images: readonly BatchItem[];
  extractor: FeatureExtractor;
  decode: DecodeOptions;
  /** Decoded images that are read again in the next epoch. */
  pixels?: PixelCache | null;
}

/**
 * Features computed anew at every reading: for sets that do not fit in memory, and for images of
 * which every view is another.
 *
 * @param options `change` makes the view that a draw asks for from an image's pixels,
 *   [size, size, 3].
 */
export function streamFeatures(
  { images, extractor, decode, pixels = null, change }: ReadOptions & {
    change?: (pixels: Uint8Array, draw: Draw) => Promise<Uint8Array>;
  },
): FeatureSource {
  return {
    count: images.length,
    read: async function* (draws, batchSize) {
      const drawn = draws.map(({ index }) => images[index]!); // one may come twice, in two views
      const transform = change &&
        ((pixels: Uint8Array, turn: number) => change(pixels, draws[turn]!));
      const options = { ...decode, batchSize, cache: pixels, transform };
      for await (const batch of batches(drawn, options)) {
        yield { features: extractor.extract(batch.pixels), labels: batch.labels };
      }
    },
  };
}

/**
 * Features computed once and held in memory.
 *
 * @throws {ImageError} Naming the first image that cannot be read.
 */
export async function holdFeatures(
  options: ReadOptions & { batchSize: number; onProgress?: OnProgress },
): Promise<FeatureSource> {
  const { images, extractor, batchSize, onProgress } = options;
  const rows = new Map<string, Float32Array>();
  for (const [name, shape] of extractor.shapes) {
    rows.set(name, new Float32Array(images.length * sizeOf(shape)));
  }
  let done = 0;
  const all = everyImage(images.length);
  for await (const { features, labels } of streamFeatures(options).read(all, batchSize)) {
    for (const [name, tensor] of features) {
      rows.get(name)!.set(
        await tensor.data() as Float32Array,
        done * sizeOf(tensor.shape.slice(1)),
      );
      tensor.dispose();
    }
    done += labels.length;
    onProgress?.(done, images.length);
  }
  return {
    count: images.length,
    read: async function* (draws, batchSize) {
      for (let start = 0; start < draws.length; start += batchSize) {
        const indices = draws.slice(start, start + batchSize).map(({ index }) => index);
        yield {
          features: new Map(
            [...extractor.shapes].map(([name, shape]) => [
              name,
              gather(rows.get(name)!, indices, shape),
            ]),
          ),
          labels: Int32Array.from(indices, (index) => images[index]!.label),
        };
      }
    },
  };
}

/** Rows of a flat table as one tensor, [indices, ...shape]. */
function gather(table: Float32Array, indices: readonly number[], shape: Shape): TensorFlow.Tensor {
  const size = sizeOf(shape);
  const values = new Float32Array(indices.length * size);
  indices.forEach((index, row) => {
    values.set(table.subarray(index * size, (index + 1) * size), row * size);
  });
  return tf.tensor(values, [indices.length, ...shape]);
}
