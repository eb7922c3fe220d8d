import { createHash } from "node:crypto";
import { z } from "zod";
import { ModelError } from "../core/errors.ts";
import { readAll, writeAll, writeAtomicWith } from "../core/files.ts";
import { createRandom } from "../core/random.ts";
import { type Config, DEFAULT_HEAD } from "../core/settings.ts";
import { type TensorFlow, tf } from "../core/tensorflow.ts";
import {
  efficientnetLite0,
  type Ensemble,
  ensembleGraph,
  FEATURE_LAYER,
  head as headLayers,
  isHeadLayer,
  memberName,
  ofMember,
  resnet50,
} from "./architectures.ts";
import { forward, type Moments, type Preprocessing, requireWeight } from "./forward.ts";
import {
  type Graph,
  inferShapes,
  isTrainable,
  type Shape,
  sizeOf,
  type WeightSpec,
  weightSpecs,
} from "./graph.ts";

/** What decides a network's layers and shapes. */
export interface Architecture {
  backbone: Config["model"]["backbone"];
  /** Width and height of the input, in pixels. */
  imageSize: number;
  /** Class folder names; the second one is the positive class. */
  classes: string[];
  /** Hidden layers of the head; by default those of the reference recipe. */
  head?: Config["model"]["head"] | undefined;
  /** Where it is several networks with shared frozen layers. */
  ensemble?: Ensemble | undefined;
  /** Attention block between backbone and head; by default none. */
  attention?: Config["model"]["attention"] | undefined;
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
export function buildGraph(architecture: Architecture): Graph {
  const { backbone, classes, head = DEFAULT_HEAD, attention = "none", ensemble } = architecture;
  const base = backbones[backbone].graph();
  const { name } = base.at(-1)!;
  const channels = inferShapes(base, inputShape(architecture)).get(name)!.at(-1)!;
  const top = headLayers({ name, channels }, classes.length, { ...head, attention });
  return ensemble ? ensembleGraph([...base, ...top], ensemble) : [...base, ...top];
}

/**
 * Several models that were trained behind the same frozen layers as one: see `ensembleGraph`.
 *
 * @param model What they started from.
 * @param members Of each the weights behind the frozen layers, by name; they become the ensemble's.
 */
export function assembleEnsemble(
  { architecture: own, weights: shared }: Model,
  frozenLayers: number,
  members: readonly ReadonlyMap<string, TensorFlow.Tensor>[],
): Model {
  const architecture = { ...own, ensemble: { members: members.length, frozenLayers } };
  const graph = buildGraph(architecture);
  const weights = weightSpecs(graph, inputShape(architecture)).map(({ name }) => {
    const of = ofMember(name);
    const weight = of
      ? requireWeight(members[of.member]!, of.own)
      : requireWeight(shared, name).clone();
    return [name, weight] as const;
  });
  return { architecture, graph, weights: new Map(weights) };
}

/**
 * One member of a model of folds as a model of its own.
 *
 * @param i From 0.
 * @returns Its weights are the ensemble's, which the caller does not dispose.
 */
export function memberOf({ architecture, weights }: Model, i: number): Model {
  const alone = { ...architecture, ensemble: undefined };
  const graph = buildGraph(alone);
  const own = weightSpecs(graph, inputShape(alone)).map(({ name }) =>
    [name, weights.get(memberName(i, name)) ?? requireWeight(weights, name)] as const
  );
  return { architecture: alone, graph, weights: new Map(own) };
}

/** All of a model's weights by name, in Keras' order. */
export function orderedWeights(model: Model): [string, TensorFlow.Tensor][] {
  return weightSpecs(model.graph, inputShape(model.architecture))
    .map(({ name }) => [name, requireWeight(model.weights, name)]);
}

/** The input shape that all other shapes follow from, in the form that `graph.ts` takes. */
export function inputShape({ imageSize }: Architecture): Map<string, Shape> {
  return new Map([[INPUT_LAYER, [imageSize, imageSize, 3]]]);
}

/** Channels of the last feature map, and so features of an image, of one network. */
export function featureCount(architecture: Architecture): number {
  const alone = { ...architecture, ensemble: undefined };
  const shapes = inferShapes(buildGraph(alone), inputShape(alone));
  return shapes.get(FEATURE_LAYER)!.at(-1)!;
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
  const [fanIn, fanOut] = [-2, -1].map((axis) => sizeOf(shape.slice(0, -2)) * shape.at(axis)!);
  const limit = Math.sqrt(6 / (fanIn! + fanOut!));
  const random = createRandom(`${seed}/weights/${name}`);
  const draw = () => (2 * random.next() - 1) * limit;
  return tf.tensor(Float32Array.from({ length: sizeOf(shape) }, draw), shape);
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

/**
 * A model's layers summed up by stage.
 *
 * @param frozenLayers Layers from the start that are frozen.
 * @returns A row a stage: its number of layers, the output of its last layer for one image (such as
 * "7 × 7 × 2048"), its number of parameters, and of those that training changes.
 */
export function summariseStages(architecture: Architecture, frozenLayers: number) {
  const graph = buildGraph(architecture);
  const inputs = inputShape(architecture);
  const shapes = inferShapes(graph, inputs);
  const specs = Map.groupBy(weightSpecs(graph, inputs), ({ layer }) => layer);
  const layers = graph.map(({ name, op }, index) => ({ name, op, index }));
  const stages = Map.groupBy(
    layers.filter(({ op }) => op !== "input"),
    ({ name }) => isHeadLayer(name) ? "head" : backbones[architecture.backbone].stageOf(name),
  );
  const count = (weights: WeightSpec[]) =>
    weights.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  return [...stages].map(([stage, own]) => ({
    stage,
    layers: own.length,
    output: shapes.get(own.at(-1)!.name)!.join(" × "),
    parameters: count(own.flatMap(({ name }) => specs.get(name) ?? [])),
    trainable: count(
      own.filter(({ index }) => index >= frozenLayers).flatMap(({ name }) => specs.get(name) ?? [])
        .filter(({ name }) => isTrainable(name)),
    ),
  }));
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
  const end = model.graph.findIndex(({ name }) => isHeadLayer(name));
  const backbone = model.graph.slice(0, end);
  const moments = new Map<string, Moments>();
  const training = { usesBatchStatistics: () => true, random: null, moments };
  const inputs = new Map([[INPUT_LAYER, images]]);
  tf.dispose(forward(backbone, model.weights, inputs, [backbone.at(-1)!.name], { training }));
  for (const [layer, { mean, variance }] of moments) {
    for (const [name, value] of [["moving_mean", mean], ["moving_variance", variance]] as const) {
      model.weights.get(`${layer}/${name}`)?.dispose();
      model.weights.set(`${layer}/${name}`, value);
    }
  }
}

/** One tensor of a tensor file, in the form of a tfjs weights manifest. */
export const tensorEntrySchema = z.object({
  name: z.string(),
  shape: z.array(z.int().positive()),
  dtype: z.literal("float32"),
});

type TensorEntry = z.infer<typeof tensorEntrySchema>;

/**
 * Writes tensors one after another as little-endian 32-bit floats, atomically.
 *
 * @returns The entries that {@linkcode readTensors} needs, and the SHA-256 of the file.
 */
export async function writeTensors(
  path: string,
  tensors: Iterable<readonly [string, TensorFlow.Tensor]>,
): Promise<{ entries: TensorEntry[]; sha256: string }> {
  const entries: TensorEntry[] = [];
  const hash = createHash("sha256");
  await writeAtomicWith(path, async (file) => {
    for (const [name, tensor] of tensors) {
      const values = await tensor.data() as Float32Array;
      const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
      hash.update(bytes);
      await writeAll(file, bytes);
      entries.push({ name, shape: tensor.shape, dtype: "float32" });
    }
  });
  return { entries, sha256: hash.digest("hex") };
}

/**
 * Reads a tensor file, one tensor after the other: memory holds the weights once. Its size is checked
 * before anything is read, its hash before anything is returned.
 *
 * @returns The tensors by name; the caller disposes them.
 * @throws {ModelError} When the file is missing, or its size or hash is not what the entries say.
 */
export async function readTensors(
  path: string,
  entries: readonly TensorEntry[],
  sha256: string,
): Promise<Map<string, TensorFlow.Tensor>> {
  const expected = 4 * entries.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  const remedy = "Train again (notebook 05), or copy the whole model folder again.";
  const fail = (what: string, cause?: unknown) =>
    new ModelError(`${path} ${what}`, remedy, { file: path, cause });
  const { size } = await Deno.stat(path).catch((cause) => {
    throw fail("cannot be read.", cause);
  });
  if (size !== expected) throw fail(`has ${size} bytes where ${expected} were written.`);
  const tensors = new Map<string, TensorFlow.Tensor>();
  const hash = createHash("sha256");
  using file = await Deno.open(path);
  try {
    for (const { name, shape } of entries) {
      const values = new Float32Array(sizeOf(shape));
      const bytes = new Uint8Array(values.buffer);
      if (await readAll(file, bytes) < bytes.length) {
        throw fail("has become shorter while it was read.");
      }
      hash.update(bytes);
      tensors.set(name, tf.tensor(values, shape, "float32"));
    }
    if (hash.digest("hex") === sha256) return tensors;
    throw fail("is damaged: its content is not what was written.");
  } catch (error) {
    tf.dispose([...tensors.values()]);
    throw error;
  }
}
