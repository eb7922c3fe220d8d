import type { Config } from "../config_schema.ts";
import { createRandom } from "../random.ts";
import { type TensorFlow, tf } from "../setup/tensorflow.ts";
import { backbones } from "./backbone.ts";
import { type Graph, type Shape, weightSpecs } from "./graph.ts";
import { head } from "./head.ts";

/** What decides a network's layers and shapes. */
export interface Architecture {
  backbone: Config["model"]["backbone"];
  /** Width and height of the input, in pixels. */
  imageSize: number;
  /** Class folder names; the second one is the positive class. */
  classes: string[];
}

/** A backbone with the head on it, and its weights. */
export interface Model {
  architecture: Architecture;
  graph: Graph;
  /** By name (`layer/kernel`), all of them. Owned by the model; {@linkcode disposeModel} frees them. */
  weights: Map<string, TensorFlow.Tensor>;
}

/** Name of the layer that takes the images. */
export const INPUT_LAYER = "input_layer";

/** The layers of an architecture: backbone, then head. */
export function buildGraph({ backbone, classes }: Architecture): Graph {
  const base = backbones[backbone].graph();
  return [...base, ...head(base.at(-1)!.name, classes.length)];
}

/** The input shape that all other shapes follow from, in the form that `graph.ts` takes. */
export function inputShape({ imageSize }: Architecture): Map<string, Shape> {
  return new Map([[INPUT_LAYER, [imageSize, imageSize, 3]]]);
}

/**
 * A model with random weights, as Keras initialises it: Glorot uniform kernels (Glorot and Bengio,
 * 2010), zero biases, BatchNorm at gamma 1, beta 0, mean 0, variance 1.
 *
 * Each weight has its own seed, so that changing the head leaves the backbone's start the same.
 *
 * @param isDrawn Which weights are drawn, by name; the others, which are about to be replaced, are 0.
 */
export function createModel(
  architecture: Architecture,
  seed: number,
  isDrawn: (name: string) => boolean = () => true,
): Model {
  const graph = buildGraph(architecture);
  const weights = new Map<string, TensorFlow.Tensor>();
  for (const { name, shape } of weightSpecs(graph, inputShape(architecture))) {
    weights.set(name, isDrawn(name) ? initialWeight(name, shape, seed) : tf.zeros(shape));
  }
  return { architecture, graph, weights };
}

function initialWeight(name: string, shape: number[], seed: number): TensorFlow.Tensor {
  if (/\/(gamma|moving_variance)$/.test(name)) return tf.ones(shape);
  if (!name.endsWith("kernel")) return tf.zeros(shape);
  const receptive = shape.slice(0, -2).reduce((product, extent) => product * extent, 1);
  const fanIn = receptive * shape.at(-2)!;
  const fanOut = receptive * shape.at(-1)!;
  const limit = Math.sqrt(6 / (fanIn + fanOut));
  const random = createRandom(`${seed}/weights/${name}`);
  const values = Float32Array.from(
    { length: fanIn * shape.at(-1)! },
    () => (2 * random.next() - 1) * limit,
  );
  return tf.tensor(values, shape);
}

/** Frees a model's weights. */
export function disposeModel(model: Model): void {
  tf.dispose([...model.weights.values()]);
  model.weights.clear();
}
