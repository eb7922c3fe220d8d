import type { Random } from "../core/random.ts";
import { nativeBackend, type TensorFlow, tf } from "../core/tensorflow.ts";
import { type Activation, consumers, type Graph, type Layer } from "./graph.ts";

type Tensor = TensorFlow.Tensor;

type Tensor4D = TensorFlow.Tensor4D;

/** Weights by name (`layer/kernel`). */
export type Weights = ReadonlyMap<string, TensorFlow.Tensor>;

/** A weight that must be there; its absence is a fault of the program, not of its user. */
export function requireWeight(weights: Weights, name: string): TensorFlow.Tensor {
  const weight = weights.get(name);
  if (!weight) throw new Error(`weight ${name} is missing`);
  return weight;
}

/** How pixels become a network's input: reorder, then `(value - mean) / scale`, per channel. */
export interface Preprocessing {
  channels: "RGB" | "BGR";
  /** In the order of `channels`, on the 0-255 scale. */
  mean: [number, number, number];
  scale: number;
}

/**
 * RGB pixels as the network's input.
 *
 * @param pixels RGB, 0-255, row-major, [n, size, size, 3].
 * @returns [n, size, size, 3], float32; the caller disposes it.
 */
export function preprocess(
  pixels: Uint8Array,
  size: number,
  { channels, mean, scale }: Preprocessing,
): TensorFlow.Tensor4D {
  const n = pixels.length / (size * size * 3);
  return tf.tidy(() => {
    const rgb = tf.tensor4d(pixels, [n, size, size, 3], "int32").toFloat(); // [n, size, size, 3]
    const ordered = channels === "BGR" ? rgb.reverse(3) : rgb;
    const centred = ordered.sub(tf.tensor1d(mean));
    return (scale === 1 ? centred : centred.div(scale)) as TensorFlow.Tensor4D;
  });
}

/** Mean and biased variance of one batch, per channel; the caller disposes both. */
export interface Moments {
  mean: Tensor;
  variance: Tensor;
}

/** What makes a forward pass one of training. */
interface TrainingMode {
  /** Which BatchNorm layers normalise with the batch's statistics; all others with moving ones. */
  usesBatchStatistics: (batchNorm: string) => boolean;
  /** Where dropout masks come from; `null` turns dropout off. */
  random: Random | null;
  /** Filled with the batch statistics, by BatchNorm layer. */
  moments: Map<string, Moments>;
}

/**
 * Runs a graph.
 *
 * Inference (no `training`) normalises with moving statistics and skips dropout. Every activation
 * is freed after its last reader (a gradient tape holds clones of what it needs). A BatchNorm in
 * inference mode right behind a convolution is folded into it, in training too, where gradients pass
 * through the folding.
 *
 * @param inputs One tensor for each `input` layer, [batch, ...]; not disposed.
 * @param outputs Names of the layers to return, in this order.
 * @param options.logits Leaves the softmax off, for a numerically stable loss.
 * @returns One tensor for each name of `outputs`; the caller disposes them.
 */
export function forward(
  graph: Graph,
  weights: Weights,
  inputs: ReadonlyMap<string, Tensor>,
  outputs: readonly string[],
  options: { training?: TrainingMode; logits?: boolean } = {},
): Tensor[] {
  const { training, logits = false } = options;
  const pairs = foldablePairs(graph, (name) => !training?.usesBatchStatistics(name));
  for (const name of outputs) pairs.delete(name); // asked for as it is before its BatchNorm
  const foldedInto = new Map([...pairs].map(([name, { batchNorm }]) => [batchNorm.name, name]));
  const waiting = new Map([...consumers(graph)].map(([name, readers]) => [name, readers.length]));

  return tf.tidy(() => {
    const activations = new Map<string, Tensor>();
    const read = (name: string): Tensor => activations.get(name)!;
    const release = (name: string): void => {
      const left = waiting.get(name)! - 1;
      waiting.set(name, left);
      if (left > 0 || inputs.has(name) || outputs.includes(name)) return;
      read(name).dispose();
      activations.delete(name);
    };
    const activationOf = (layer: Layer): Tensor => {
      const folded = foldedInto.get(layer.name);
      if (folded !== undefined) return read(folded).clone();
      const given = layer.inputs.map(read);
      const pair = pairs.get(layer.name);
      if (!pair) return compute(layer, given, weights, training, logits);
      return convolve(given[0]!, foldedConvolution(pair.conv, pair.batchNorm, weights), pair.conv);
    };
    for (const layer of graph) {
      const activation = inputs.get(layer.name) ?? tf.tidy(() => activationOf(layer));
      activations.set(layer.name, activation);
      layer.inputs.forEach(release);
    }
    // A clone, so that an output that is an input as well is the caller's own.
    return outputs.map((name) => read(name).clone());
  });
}

function compute(
  layer: Layer,
  given: Tensor[],
  weights: Weights,
  training: TrainingMode | undefined,
  logits: boolean,
): Tensor {
  const weight = (name: string) => requireWeight(weights, `${layer.name}/${name}`);
  const [input, other] = given as [Tensor, Tensor];
  switch (layer.op) {
    case "input":
      throw new Error(`no tensor was given for the input ${layer.name}`);
    case "zeroPadding":
      return tf.pad(input, [[0, 0], [layer.pad, layer.pad], [layer.pad, layer.pad], [0, 0]]);
    case "conv2d":
    case "depthwiseConv2d":
      return convolve(input, filtersOf(layer, weights), layer);
    case "batchNorm":
      return normalise(layer, input, weights, training);
    case "activation":
      return activate(input, layer.activation, logits);
    case "maxPool":
      return tf.maxPool(input as Tensor4D, layer.size, layer.stride, "valid");
    case "add":
      return input.add(other);
    case "average":
      return tf.addN(given).div(given.length);
    case "multiply": // [batch, height, width, channels]
      return input.mul(other.rank === 2 ? other.expandDims(1).expandDims(1) : other);
    case "concatenate":
      return tf.concat(given, layer.axis);
    case "reduce":
      return input[layer.by](layer.over === "places" ? [1, 2] : 3, true);
    case "globalAveragePool":
      return input.mean([1, 2]); // [batch, channels]
    case "dense":
      // [batch, units]
      return activate(
        addBias(input.matMul(weight("kernel")), weight("bias")),
        layer.activation,
        logits,
      );
    case "dropout":
      return training?.random ? dropOut(input, layer.rate, training.random) : input.clone();
    case "subsample":
      return tf.stridedSlice(input, [0, 0, 0, 0], input.shape, [1, layer.stride, layer.stride, 1]);
  }
}

function convolve(
  x: Tensor,
  { kernel, bias }: Filters,
  { op, stride, padding }: Convolution,
): Tensor {
  const filter = op === "conv2d" ? tf.conv2d : tf.depthwiseConv2d;
  const filtered = filter(x as Tensor4D, kernel, stride, padding);
  return bias ? addBias(filtered, bias) : filtered;
}

function activate(x: Tensor, activation: Activation | "linear", logits: boolean): Tensor {
  if (activation === "relu") return relu(x);
  if (activation === "relu6") return relu6(x);
  if (activation === "sigmoid") return x.sigmoid();
  return activation === "softmax" && !logits ? x.softmax() : x.clone();
}

/** Inverted dropout, as in Keras: what is kept is scaled up so that the expectation stays. */
function dropOut(x: Tensor, rate: number, random: Random): Tensor {
  const draw = () => random.next() < rate ? 0 : 1 / (1 - rate);
  return x.mul(tf.tensor(Float32Array.from({ length: x.size }, draw), x.shape));
}

function normalise(
  layer: Layer & { op: "batchNorm" },
  x: Tensor,
  weights: Weights,
  training: TrainingMode | undefined,
): Tensor {
  const weight = (name: string) => requireWeight(weights, `${layer.name}/${name}`);
  let mean = weight("moving_mean");
  let variance = weight("moving_variance");
  if (training?.usesBatchStatistics(layer.name)) {
    ({ mean, variance } = tf.moments(x, x.shape.slice(0, -1).map((_, axis) => axis))); // [channels]
    const kept = { mean: tf.keep(mean.clone()), variance: tf.keep(variance.clone()) };
    training.moments.set(layer.name, kept);
  }
  const scale = weight("gamma").mul(variance.add(layer.epsilon).rsqrt()); // [channels]
  return x.sub(mean).mul(scale).add(weight("beta"));
}

/**
 * One of TensorFlow's own kernels. tfjs makes the gradient of ReLU of five elementwise operations and
 * that of a bias of a sum and a reshape; one kernel does each.
 */
function run(name: string, inputs: Tensor[]): Tensor {
  const backend = nativeBackend();
  const { TF_ATTR_TYPE, TF_FLOAT } = backend.binding;
  const attributes = [{ name: "T", type: TF_ATTR_TYPE, value: TF_FLOAT }];
  return backend.executeSingleOutput(name, attributes, inputs);
}

/** An elementwise function and TensorFlow's kernel for its gradient, which reads its output. */
function withGradient(forward: (x: Tensor) => Tensor, gradient: string): (x: Tensor) => Tensor {
  return tf.customGrad((...given: unknown[]) => {
    const [x, save] = given as [Tensor, TensorFlow.GradSaveFunc];
    const y = forward(x);
    save([y]);
    return {
      value: y,
      gradFunc: (dy: Tensor, saved: Tensor[]) => run(gradient, [dy, saved[0]!]),
    };
  }) as (x: Tensor) => Tensor;
}

const relu = withGradient((x) => x.relu(), "ReluGrad");

const relu6 = withGradient((x) => x.relu6(), "Relu6Grad");

/** x [..., channels] + bias [channels]. */
const addBias: (x: Tensor, bias: Tensor) => Tensor = tf.customGrad(
  (...given: unknown[]) => {
    const [x, bias] = given as [Tensor, Tensor];
    return {
      value: run("BiasAdd", [x, bias]),
      gradFunc: (dy: Tensor) => [dy.clone(), run("BiasAddGrad", [dy])],
    };
  },
) as (x: Tensor, bias: Tensor) => Tensor;

/** A layer that convolves, with one filter a channel or with all channels in each filter. */
type Convolution = Layer & { op: "conv2d" | "depthwiseConv2d" };

/** Kernel [h, w, in, out] ([h, w, channels, 1] of a depthwise convolution) and bias [out], if any. */
type Filters = { kernel: Tensor4D; bias: TensorFlow.Tensor1D | null };

/** Whether a layer is a {@linkcode Convolution}. */
export function isConvolution(layer: Layer): layer is Convolution {
  return layer.op === "conv2d" || layer.op === "depthwiseConv2d";
}

function kernelName({ name, op }: Convolution): string {
  return `${name}/${op === "conv2d" ? "kernel" : "depthwise_kernel"}`;
}

function filtersOf(conv: Convolution, weights: Weights): Filters {
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
function foldedConvolution(
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

/**
 * The convolutions whose only reader is a BatchNorm layer that can be folded into them, by name.
 *
 * @param foldable Which BatchNorm layers run in inference mode.
 */
function foldablePairs(graph: Graph, foldable: (batchNorm: string) => boolean) {
  const readers = consumers(graph);
  const pairs = new Map<string, { conv: Convolution; batchNorm: Layer & { op: "batchNorm" } }>();
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
 * @param onFolded Told the layers that a new convolution stands for, as it is made.
 * @returns New tensors for folded convolutions, the given ones for everything else. `dispose` frees
 * the new ones only.
 */
export function foldBatchNorms(
  graph: Graph,
  weights: Weights,
  onFolded?: (layers: string[]) => void,
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
    onFolded?.([conv.name, batchNorm.name]);
    return merged;
  });
  return { graph: folded, weights: allWeights, dispose: () => tf.dispose(made) };
}
