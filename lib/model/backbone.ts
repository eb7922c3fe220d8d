import type { Config } from "../config.ts";
import type { Graph } from "./graph.ts";
import type { Preprocessing } from "./preprocess.ts";
import { resnet50 } from "./resnet50.ts";

/** Everything the project needs to know of an architecture; a new one is one file and one line here. */
export interface Backbone {
  /** For people. */
  title: string;
  /** Layers in Keras' order, without a top. The last one is the feature map. */
  graph: () => Graph;
  /** What its ImageNet weights were trained with. */
  preprocessing: Preprocessing;
  /** The official file of its ImageNet weights. */
  imagenet: { file: string; md5: string; title: string };
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
      file: "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
      md5: "4d473c1dd8becc155b73f8504c6f6626",
      title: "Keras' official ImageNet weights of ResNet50 without top",
    },
    stageOf: (layer) => layer.split("_")[0]!.replace(/^pool1$/, "conv1"),
  },
};
