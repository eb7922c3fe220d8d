import { type TensorFlow, tf } from "../setup/tensorflow.ts";
import { consumers, type Graph, type Layer } from "./graph.ts";

/** Weights by name (`layer/kernel`). */
export type Weights = ReadonlyMap<string, TensorFlow.Tensor>;

/**
 * The convolution that computes what a convolution followed by an inference-mode BatchNorm does:
 * `kernel · s` and `(bias - mean) · s + beta` with `s = gamma / sqrt(variance + epsilon)`. It is
 * differentiable in all four trainable weights.
 *
 * @returns Kernel [h, w, in, out] and bias [out]; the caller disposes both.
 */
export function foldedConvolution(
  conv: string,
  batchNorm: { name: string; epsilon: number },
  weights: Weights,
): { kernel: TensorFlow.Tensor4D; bias: TensorFlow.Tensor1D } {
  const of = (name: string) => requireWeight(weights, name);
  const bn = batchNorm.name;
  const scale = of(`${bn}/gamma`).mul(of(`${bn}/moving_variance`).add(batchNorm.epsilon).rsqrt()); // [out]
  const kernel = of(`${conv}/kernel`).mul(scale) as TensorFlow.Tensor4D;
  const shifted = of(`${conv}/bias`).sub(of(`${bn}/moving_mean`)).mul(scale);
  return { kernel, bias: shifted.add(of(`${bn}/beta`)) as TensorFlow.Tensor1D };
}

/**
 * The BatchNorm layer that can be folded into each convolution: its only reader, by the name of the
 * convolution.
 *
 * @param foldable Which BatchNorm layers run in inference mode.
 */
export function foldablePairs(
  graph: Graph,
  foldable: (batchNorm: string) => boolean,
): Map<string, Layer & { op: "batchNorm" }> {
  const readers = consumers(graph);
  const pairs = new Map<string, Layer & { op: "batchNorm" }>();
  for (const layer of graph) {
    const [reader, ...others] = readers.get(layer.name) ?? [];
    if (layer.op !== "conv2d" || reader?.op !== "batchNorm" || others.length > 0) continue;
    if (foldable(reader.name)) pairs.set(layer.name, reader);
  }
  return pairs;
}

/**
 * A graph for inference with every BatchNorm behind a convolution folded into it, and its weights.
 *
 * @returns New tensors for folded convolutions, the given ones for everything else. `dispose` frees
 * the new ones only.
 */
export function foldBatchNorms(
  graph: Graph,
  weights: Weights,
): { graph: Graph; weights: Weights; dispose: () => void } {
  const pairs = foldablePairs(graph, () => true);
  const foldedInto = new Map([...pairs].map(([conv, bn]) => [bn.name, conv]));
  const folded = new Map(weights);
  const made: TensorFlow.Tensor[] = [];
  for (const [conv, bn] of pairs) {
    const { kernel, bias } = tf.tidy(() => foldedConvolution(conv, bn, weights));
    folded.set(`${conv}/kernel`, kernel).set(`${conv}/bias`, bias);
    made.push(kernel, bias);
  }
  return {
    graph: graph.filter((layer) => !foldedInto.has(layer.name)).map((layer) => ({
      ...layer,
      inputs: layer.inputs.map((name) => foldedInto.get(name) ?? name),
    })),
    weights: folded,
    dispose: () => tf.dispose(made),
  };
}

/** A weight that must be there; its absence is a fault of the program, not of its user. */
export function requireWeight(weights: Weights, name: string): TensorFlow.Tensor {
  const weight = weights.get(name);
  if (!weight) throw new Error(`weight ${name} is missing`);
  return weight;
}
