import type { Config } from "../config.ts";
import type { Graph, WeightSpec } from "./graph.ts";
import { loadKerasFile } from "./keras_file.ts";
import type { Preprocessing } from "./preprocess.ts";
import { resnet50 } from "./resnet50.ts";

const RESNET50_FILE = {
  name: "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
  md5: "4d473c1dd8becc155b73f8504c6f6626",
};

/** How the ImageNet weights of a backbone are had. */
export interface ImagenetWeights {
  /** For people and for the model card. */
  title: string;
  /**
   * Values of the wanted weights by name, row-major, and the SHA-256 of their source.
   *
   * @throws {WeightsMissingError} When they are not to be had here.
   * @throws {ModelError} When they are there but damaged.
   */
  load: (
    specs: readonly WeightSpec[],
  ) => Promise<{ values: Map<string, Float32Array>; sha256: string }>;
}

/** Everything the project needs to know of an architecture; a new one is one file and one line here. */
export interface Backbone {
  /** For people. */
  title: string;
  /** Layers in Keras' order, without a top. The last one is the feature map. */
  graph: () => Graph;
  /** What its ImageNet weights were trained with. */
  preprocessing: Preprocessing;
  /** Its ImageNet weights. */
  imagenet: ImagenetWeights;
  /** Stage of a layer, for summaries: the part of its name before the first `_`. */
  stageOf: (layer: string) => string;
}

/** The architectures that `model.backbone` can name. */
export const backbones: Readonly<Record<Config["model"]["backbone"], Backbone>> = {
  resnet50: {
    title: "ResNet50",
    graph: resnet50,
    // keras.applications.resnet50.preprocess_input, mode "caffe"
    preprocessing: { channels: "BGR", mean: [103.939, 116.779, 123.68], scale: 1 },
    imagenet: {
      title: "Keras' official ImageNet weights of ResNet50 without top",
      load: (specs) => loadKerasFile(RESNET50_FILE, specs),
    },
    stageOf: (layer) => layer.split("_")[0]!.replace(/^pool1$/, "conv1"),
  },
};
