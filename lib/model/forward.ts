import type { Random } from "../random.ts";
import { type TensorFlow, tf } from "../setup/tensorflow.ts";
import {
  type Convolution,
  type Filters,
  filtersOf,
  foldablePairs,
  foldedConvolution,
  requireWeight,
  type Weights,
} from "./fold.ts";
import { addBias, relu, relu6 } from "./native_ops.ts";
import { type Activation, consumers, type Graph, type Layer } from "./graph.ts";

type Tensor = TensorFlow.Tensor;
type Tensor4D = TensorFlow.Tensor4D;

/** Mean and biased variance of one batch, per channel; the caller disposes both. */
export interface Moments {
  mean: Tensor;
  variance: Tensor;
}

/** What makes a forward pass one of training. */
export interface TrainingMode {
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
    for (const layer of graph) {
      const { name } = layer;
      const given = inputs.get(name);
      if (given) activations.set(name, given);
      else if (foldedInto.has(name)) activations.set(name, read(foldedInto.get(name)!).clone());
      else {
        const arguments_ = layer.inputs.map(read);
        const pair = pairs.get(name);
        activations.set(
          name,
          tf.tidy(() =>
            pair
              ? convolve(
                arguments_[0]!,
                foldedConvolution(pair.conv, pair.batchNorm, weights),
                pair.conv,
              )
              : compute(layer, arguments_, weights, training, logits)
          ),
        );
      }
      layer.inputs.forEach(release);
    }
    // A clone, so that an output that is an input as well is the caller's own.
    return outputs.map((name) => read(name).clone());
  });
}

function compute(
  layer: Layer,
  [x, other]: Tensor[],
  weights: Weights,
  training: TrainingMode | undefined,
  logits: boolean,
): Tensor {
  const weight = (name: string) => requireWeight(weights, `${layer.name}/${name}`);
  const input = x!;
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
      return input.add(other!);
    case "globalAveragePool":
      return input.mean([1, 2]); // [batch, channels]
    case "dense":
      return activate(
        addBias(input.matMul(weight("kernel")), weight("bias")), // [batch, units]
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
  return activation === "softmax" && !logits ? x.softmax() : x.clone();
}

/** Inverted dropout, as in Keras: what is kept is scaled up so that the expectation stays. */
function dropOut(x: Tensor, rate: number, random: Random): Tensor {
  const mask = Float32Array.from(
    { length: x.size },
    () => random.next() < rate ? 0 : 1 / (1 - rate),
  );
  return x.mul(tf.tensor(mask, x.shape));
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
    training.moments.set(layer.name, {
      mean: tf.keep(mean.clone()),
      variance: tf.keep(variance.clone()),
    });
  }
  const scale = weight("gamma").mul(variance.add(layer.epsilon).rsqrt()); // [channels]
  return x.sub(mean).mul(scale).add(weight("beta"));
}
