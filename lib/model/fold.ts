import { type TensorFlow, tf } from "../setup/tensorflow.ts";
import { consumers, type Graph, type Layer } from "./graph.ts";

/** Weights by name (`layer/kernel`). */
export type Weights = ReadonlyMap<string, TensorFlow.Tensor>;

/** A layer that convolves, with one filter a channel or with all channels in each filter. */
export type Convolution = Layer & { op: "conv2d" | "depthwiseConv2d" };

/** Kernel [h, w, in, out] ([h, w, channels, 1] of a depthwise convolution) and bias [out], if any. */
export interface Filters {
  kernel: TensorFlow.Tensor4D;
  bias: TensorFlow.Tensor1D | null;
}

/** Whether a layer is a {@linkcode Convolution}. */
export function isConvolution(layer: Layer): layer is Convolution {
  return layer.op === "conv2d" || layer.op === "depthwiseConv2d";
}

/** The name of a convolution's kernel. */
export function kernelName({ name, op }: Convolution): string {
  return `${name}/${op === "conv2d" ? "kernel" : "depthwise_kernel"}`;
}

/** The filters of a convolution as they are among the weights. */
export function filtersOf(conv: Convolution, weights: Weights): Filters {
  return {
    kernel: requireWeight(weights, kernelName(conv)) as TensorFlow.Tensor4D,
    bias: conv.bias ? requireWeight(weights, `${conv.name}/bias`) as TensorFlow.Tensor1D : null,
  };
}

/**
 * The convolution that computes what a convolution followed by an inference-mode BatchNorm does:
 * `kernel · s` and `(bias - mean) · s + beta` with `s = gamma / sqrt(variance + epsilon)`. It is
 * differentiable in all trainable weights.
 *
 * @returns New tensors, the bias always; the caller disposes both.
 */
export function foldedConvolution(
  conv: Convolution,
  batchNorm: { name: string; epsilon: number },
  weights: Weights,
): { kernel: TensorFlow.Tensor4D; bias: TensorFlow.Tensor1D } {
  const of = (name: string) => requireWeight(weights, `${batchNorm.name}/${name}`);
  const { kernel, bias } = filtersOf(conv, weights);
  const scale = of("gamma").mul(of("moving_variance").add(batchNorm.epsilon).rsqrt()); // [out]
  const ofKernel = conv.op === "conv2d" ? scale : scale.expandDims(1); // [out] or [channels, 1]
  const mean = of("moving_mean");
  const shifted = bias ? bias.sub(mean) : mean.neg();
  return {
    kernel: kernel.mul(ofKernel),
    bias: shifted.mul(scale).add(of("beta")) as TensorFlow.Tensor1D,
  };
}

/** A convolution and the BatchNorm layer that can be folded into it. */
export interface FoldablePair {
  conv: Convolution;
  batchNorm: Layer & { op: "batchNorm" };
}

/**
 * The convolutions whose only reader is a BatchNorm layer that can be folded into them, by name.
 *
 * @param foldable Which BatchNorm layers run in inference mode.
 */
export function foldablePairs(
  graph: Graph,
  foldable: (batchNorm: string) => boolean,
): Map<string, FoldablePair> {
  const readers = consumers(graph);
  const pairs = new Map<string, FoldablePair>();
  for (const conv of graph) {
    const [batchNorm, ...others] = readers.get(conv.name) ?? [];
    if (!isConvolution(conv) || batchNorm?.op !== "batchNorm" || others.length > 0) continue;
    if (foldable(batchNorm.name)) pairs.set(conv.name, { conv, batchNorm });
  }
  return pairs;
}

/**
 * A graph for inference with every BatchNorm behind a convolution folded into it, and its weights.
 * The convolution takes the BatchNorm's name: what was read, or kept, under that name still is.
 *
 * @param onFolded Told the names of the weights that a new convolution stands for, as it is made.
 * @returns New tensors for folded convolutions, the given ones for everything else. `dispose` frees
 * the new ones only.
 */
export function foldBatchNorms(
  graph: Graph,
  weights: Weights,
  onFolded?: (names: string[]) => void,
): { graph: Graph; weights: Weights; dispose: () => void } {
  const pairs = foldablePairs(graph, () => true);
  const foldedAway = new Set([...pairs.values()].map(({ batchNorm }) => batchNorm.name));
  const allWeights = new Map(weights);
  const made: TensorFlow.Tensor[] = [];
  const folded = graph.filter(({ name }) => !foldedAway.has(name)).map((layer): Layer => {
    const pair = pairs.get(layer.name);
    if (!pair) return layer;
    const { conv, batchNorm } = pair;
    const merged = { ...conv, name: batchNorm.name, bias: true };
    const { kernel, bias } = tf.tidy(() => foldedConvolution(conv, batchNorm, weights));
    allWeights.set(kernelName(merged), kernel).set(`${merged.name}/bias`, bias);
    made.push(kernel, bias);
    onFolded?.(weightsOf(pair));
    return merged;
  });
  return { graph: folded, weights: allWeights, dispose: () => tf.dispose(made) };
}

function weightsOf({ conv, batchNorm: { name } }: FoldablePair): string[] {
  return [
    kernelName(conv),
    ...(conv.bias ? [`${conv.name}/bias`] : []),
    ...["gamma", "beta", "moving_mean", "moving_variance"].map((weight) => `${name}/${weight}`),
  ];
}

/** A weight that must be there; its absence is a fault of the program, not of its user. */
export function requireWeight(weights: Weights, name: string): TensorFlow.Tensor {
  const weight = weights.get(name);
  if (!weight) throw new Error(`weight ${name} is missing`);
  return weight;
}
