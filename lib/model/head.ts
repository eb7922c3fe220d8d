import type { Graph, Layer } from "./graph.ts";

/** Name of the layer whose output is the class probabilities. */
export const OUTPUT_LAYER = "predictions";

/** Name of the layer whose output is the image's features: the feature map's mean, [channels]. */
export const FEATURE_LAYER = "head_pool";

/** Whether a layer, or a weight (`layer/kernel`), belongs to the head. */
export function isHeadLayer(name: string): boolean {
  return name.startsWith("head_") || name.split("/")[0] === OUTPUT_LAYER;
}

/**
 * The classification head on a backbone's feature map, as in the reference recipe: global average
 * pooling, Dense 512, BatchNorm, Dropout 0.4, Dense 256, BatchNorm, Dropout 0.3, Dense softmax.
 * Dense layers use ReLU; BatchNorm has Keras' defaults (epsilon 1e-3, momentum 0.99).
 *
 * @param features Name of the backbone's last layer, [height, width, channels].
 * @param classes Number of classes; the output is [classes], summing to 1.
 */
export function head(features: string, classes: number): Graph {
  const batchNorm = { op: "batchNorm", epsilon: 1e-3, momentum: 0.99 } as const;
  const steps: Layer[] = [
    { name: FEATURE_LAYER, inputs: [features], op: "globalAveragePool" },
    { name: "head_dense_1", inputs: [FEATURE_LAYER], op: "dense", units: 512, activation: "relu" },
    { name: "head_bn_1", inputs: ["head_dense_1"], ...batchNorm },
    { name: "head_dropout_1", inputs: ["head_bn_1"], op: "dropout", rate: 0.4 },
    {
      name: "head_dense_2",
      inputs: ["head_dropout_1"],
      op: "dense",
      units: 256,
      activation: "relu",
    },
    { name: "head_bn_2", inputs: ["head_dense_2"], ...batchNorm },
    { name: "head_dropout_2", inputs: ["head_bn_2"], op: "dropout", rate: 0.3 },
    {
      name: OUTPUT_LAYER,
      inputs: ["head_dropout_2"],
      op: "dense",
      units: classes,
      activation: "softmax",
    },
  ];
  return steps;
}
