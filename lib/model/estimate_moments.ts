import { type TensorFlow, tf } from "../setup/tensorflow.ts";
import { forward, type Moments } from "./forward.ts";
import { INPUT_LAYER, type Model } from "./model.ts";

/**
 * Sets the backbone's BatchNorm moving statistics to those of one batch of images. A randomly
 * initialised network needs it: with mean 0 and variance 1 assumed, activations double at every
 * residual block, and frozen layers never learn better.
 *
 * @param images Preprocessed, [batch, size, size, 3]; 32 or more. Not disposed.
 */
export function estimateMoments(model: Model, images: TensorFlow.Tensor4D): void {
  const backbone = model.graph.slice(0, model.graph.findIndex(({ name }) => name === "head_pool"));
  const moments = new Map<string, Moments>();
  const outputs = forward(
    backbone,
    model.weights,
    new Map([[INPUT_LAYER, images]]),
    [backbone.at(-1)!.name],
    { training: { usesBatchStatistics: () => true, random: null, moments } },
  );
  tf.dispose(outputs);
  for (const [layer, { mean, variance }] of moments) {
    for (const [name, value] of [["moving_mean", mean], ["moving_variance", variance]] as const) {
      model.weights.get(`${layer}/${name}`)?.dispose();
      model.weights.set(`${layer}/${name}`, value);
    }
  }
}
