import { createHash } from "node:crypto";
import type { DecodeOptions } from "../images/decode.ts";
import { backbones } from "../model/backbone.ts";
import type { Cut } from "../model/cut.ts";
import { foldBatchNorms, requireWeight } from "../model/fold.ts";
import { forward } from "../model/forward.ts";
import { inferShapes, type Shape, weightSpecs } from "../model/graph.ts";
import { INPUT_LAYER, inputShape, type Model } from "../model/model.ts";
import { preprocess } from "../model/preprocess.ts";
import type { TensorFlow } from "../setup/tensorflow.ts";

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
