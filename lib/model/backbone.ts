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
    stageOf: (layer) => layer.split("_")[0]!.replace(/^pool1$/, "conv1"),
  },
};
