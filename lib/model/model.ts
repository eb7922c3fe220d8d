import { createRandom } from "../core/random.ts";
import { type Config, DEFAULT_HEAD } from "../core/settings.ts";
import { type TensorFlow, tf } from "../core/tensorflow.ts";
import { efficientnetLite0, head as headLayers, isHeadLayer, resnet50 } from "./architectures.ts";
import { forward, type Moments, type Preprocessing } from "./forward.ts";
import { type Graph, inferShapes, isTrainable, type Shape, sizeOf, weightSpecs } from "./graph.ts";

/** What decides a network's layers and shapes. */
export interface Architecture {
  backbone: Config["model"]["backbone"];
  /** Width and height of the input, in pixels. */
  imageSize: number;
  /** Class folder names; the second one is the positive class. */
  classes: string[];
  /** Hidden layers of the head; by default those of the reference recipe. */
  head?: Config["model"]["head"] | undefined;
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
export function buildGraph({ backbone, classes, head = DEFAULT_HEAD }: Architecture): Graph {
  const base = backbones[backbone].graph();
  return [...base, ...headLayers(base.at(-1)!.name, classes.length, head)];
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
  const receptive = sizeOf(shape.slice(0, -2));
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

/** Everything the project needs to know of an architecture; a new one is a graph and a line here. */
interface Backbone {
  /** For people. */
  title: string;
  /** Layers in Keras' order, without a top. The last one is the feature map. */
  graph: () => Graph;
  /** What its ImageNet weights were trained with. */
  preprocessing: Preprocessing;
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
    stageOf: (layer) => layer.split("_")[0]!.replace(/^pool1$/, "conv1"),
  },
  efficientnet_lite0: {
    title: "EfficientNet-Lite0",
    graph: efficientnetLite0,
    preprocessing: { channels: "RGB", mean: [127, 127, 127], scale: 128 },
    stageOf: (layer) => layer.split("_")[0]!.replace(/^(block\d)[a-z]$/, "$1"), // block2a: block2
  },
};

/** One row of a model's summary. */
interface Stage {
  stage: string;
  layers: number;
  /** Output of the stage's last layer for one image, such as "7 × 7 × 2048". */
  output: string;
  parameters: number;
  /** Parameters that training changes. */
  trainable: number;
}

/**
 * A model's layers summed up by stage.
 *
 * @param frozenLayers Layers from the start that are frozen.
 */
export function summariseStages(architecture: Architecture, frozenLayers: number): Stage[] {
  const graph = buildGraph(architecture);
  const inputs = inputShape(architecture);
  const shapes = inferShapes(graph, inputs);
  const specs = weightSpecs(graph, inputs);
  const { stageOf } = backbones[architecture.backbone];
  const stages = new Map<string, Stage>();
  graph.forEach(({ name, op }, index) => {
    if (op === "input") return;
    const stage = isHeadLayer(name) ? "head" : stageOf(name);
    const row = stages.get(stage) ??
      { stage, layers: 0, output: "", parameters: 0, trainable: 0 };
    row.layers += 1;
    row.output = (shapes.get(name) ?? []).join(" × ");
    for (const spec of specs.filter(({ layer }) => layer === name)) {
      const size = sizeOf(spec.shape);
      row.parameters += size;
      if (index >= frozenLayers && isTrainable(spec.name)) row.trainable += size;
    }
    stages.set(stage, row);
  });
  return [...stages.values()];
}

/** How many layers from the start are frozen when the backbone's last `unfreezeLast` are not. */
export function frozenLayerCount(backbone: Architecture["backbone"], unfreezeLast: number): number {
  return Math.max(0, backbones[backbone].graph().length - unfreezeLast);
}

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
