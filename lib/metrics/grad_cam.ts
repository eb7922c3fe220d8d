import { ConfigError, ModelError } from "../core/errors.ts";
import { breathe } from "../core/stop.ts";
import { type TensorFlow, tf } from "../core/tensorflow.ts";
import { OUTPUT_LAYER } from "../model/architectures.ts";
import {
  foldBatchNorms,
  forward,
  preprocess,
  type Preprocessing,
  type Weights,
} from "../model/forward.ts";
import { type Graph, inferShapes, type Layer, type Shape } from "../model/graph.ts";
import { backbones, INPUT_LAYER, inputShape, type Model } from "../model/model.ts";

type Tensor = TensorFlow.Tensor;

/** What a batch of images was explained with. */
interface Explained {
  /** One an image. */
  maps: HeatMap[];
  /** As the model gives them, not calibrated: one list an image, one a class. */
  probabilities: number[][];
  /** Index of the class that each map is of. */
  classes: number[];
}

/** A model made ready to be explained at one layer. */
interface Explainer {
  /** Name of the layer. */
  layer: string;
  /** Of the layer's activation, and so of the maps. */
  size: { height: number; width: number };
  /** Side of the model's input in pixels. */
  imageSize: number;
  /** What the output layer has before its softmax: pixels [n, size, size, 3] to [n, classes]. */
  logits(pixels: Uint8Array): Promise<number[][]>;
  /**
   * Grad-CAM of one class an image.
   *
   * @param pixels RGB, [n, size, size, 3].
   * @param classOf The index of the class, from the probabilities of an image and its place in the
   * batch.
   * @throws {ModelError} When the model gives no finite numbers.
   */
  explain(
    pixels: Uint8Array,
    classOf: (probabilities: readonly number[], row: number) => number,
  ): Promise<Explained>;
  /** Frees what was made; the model itself stays. */
  dispose(): void;
}

/**
 * Cuts a model at a layer and folds its BatchNorms, in each part alone: so that any layer's own
 * activation exists, that of a convolution before its BatchNorm too.
 *
 * @param options `layer`: the last one that still has places when left out. `preprocessing`: from
 * the model's card where it was loaded; else its backbone's own.
 * @throws {ConfigError} When there is no such layer, or it has no places.
 */
export function createExplainer(
  model: Model,
  { layer, preprocessing = backbones[model.architecture.backbone].preprocessing }: {
    layer?: string | undefined;
    preprocessing?: Preprocessing;
  } = {},
): Explainer {
  const { imageSize } = model.architecture;
  const inputs = inputShape(model.architecture);
  const chosen = layer ?? lastSpatialLayer(model.graph, inputs);
  const size = spatialSize(model.graph, inputs, chosen);
  const cut = cutAtLayer(model.graph, chosen);
  const before = foldBatchNorms(cut.before, model.weights);
  const after = foldBatchNorms(cut.after, model.weights);
  /** To be called in a tidy. */
  const upTo = (pixels: Uint8Array): Map<string, Tensor> => {
    const images = new Map([[INPUT_LAYER, preprocess(pixels, imageSize, preprocessing)]]);
    const tensors = forward(before.graph, before.weights, images, cut.boundary);
    return new Map(cut.boundary.map((name, i) => [name, tensors[i]!]));
  };
  return {
    layer: chosen,
    size,
    imageSize,
    logits: async (pixels) => {
      const logits = tf.tidy(() => logitsOf(after, upTo(pixels)));
      const values = await logits.array() as number[][];
      logits.dispose();
      return values;
    },
    explain: async (pixels, classOf) => {
      let classes: number[] = [];
      const [evidence, softmax] = tf.tidy(() => {
        const read = upTo(pixels);
        const { gradient, logits } = logitGradient(after, read, chosen, (probabilities) => {
          classes = probabilities.map(classOf);
          return classes;
        });
        return [gradCam(read.get(chosen)!, gradient), logits.softmax()] as const;
      });
      const [values, probabilities] = await Promise.all([evidence.data(), softmax.array()]);
      tf.dispose([evidence, softmax]);
      const length = size.height * size.width;
      const maps = classes.map((_, row) =>
        toHeatMap((values as Float32Array).slice(row * length, (row + 1) * length), size)
      );
      return { maps, probabilities: probabilities as number[][], classes };
    },
    dispose: () => {
      before.dispose();
      after.dispose();
    },
  };
}

interface Part {
  graph: Graph;
  weights: Weights;
}

function logitsOf({ graph, weights }: Part, inputs: ReadonlyMap<string, Tensor>): Tensor {
  return forward(graph, weights, inputs, [OUTPUT_LAYER], { logits: true })[0]!; // [n, classes]
}

/**
 * The gradient of each image's chosen logit with respect to a layer's activation. In inference mode
 * images don't touch each other, so that the gradient of the sum over the batch holds them all.
 * To be called in a tidy.
 *
 * @param choose One class an image.
 */
function logitGradient(
  after: Part,
  read: ReadonlyMap<string, Tensor>,
  layer: string,
  choose: (probabilities: number[][]) => number[],
): { gradient: Tensor; logits: Tensor } {
  let logits: Tensor | undefined;
  const gradient = tf.grad((activation: Tensor) => {
    logits = logitsOf(after, new Map(read).set(layer, activation));
    tf.keep(logits); // the gradient's own tidy would free it
    const classes = choose(logits.softmax().arraySync() as number[][]);
    const chosen = tf.oneHot(tf.tensor1d(classes, "int32"), logits.shape[1]!); // [n, classes]
    return logits.mul(chosen).sum();
  })(read.get(layer)!);
  const kept = logits!;
  const own = kept.mul(1); // one that the caller's tidy frees
  kept.dispose();
  return { gradient, logits: own };
}

/**
 * Grad-CAM (Selvaraju et al., ICCV 2017, equations 1 and 2): the channels of a layer's activation,
 * each weighted with the mean of its gradient over all places, summed; what speaks against the
 * class is set to 0. To be called in a tidy.
 *
 * @param activation [n, height, width, channels].
 * @param gradient Of the class's logit, as `activation`.
 * @returns [n, height, width].
 */
function gradCam(activation: Tensor, gradient: Tensor): Tensor {
  const weights = gradient.mean([1, 2], true); // [n, 1, 1, channels]
  return activation.mul(weights).sum(3).relu();
}

/** A network in two parts, around one layer's activation. */
interface LayerCut {
  /** Everything that does not depend on the layer's activation, and the layer itself. */
  before: Graph;
  /** What depends on it; begins with one `input` layer for each name of `boundary`. */
  after: Graph;
  /** What `after` reads of `before`: the layer first, then others (such as shortcuts past it). */
  boundary: string[];
}

/**
 * Cuts a graph so that the part behind a layer is a function of this layer's activation.
 *
 * @throws {ConfigError} When there is no such layer.
 */
export function cutAtLayer(graph: Graph, layer: string): LayerCut {
  const behind = new Set<string>();
  for (const { name, inputs } of graph) {
    if (inputs.some((input) => input === layer || behind.has(input))) behind.add(name);
  }
  const after = graph.filter(({ name }) => behind.has(name));
  const crossing = after.flatMap(({ inputs }) => inputs).filter((name) => !behind.has(name));
  const boundary = [...new Set([layer, ...crossing])];
  const inputs = boundary.map((name): Layer => ({ name, inputs: [], op: "input" }));
  return {
    before: graph.filter(({ name }) => !behind.has(name)),
    after: [...inputs, ...after],
    boundary,
  };
}

/** The last layer that still knows where things are: the one before the global pooling. */
function lastSpatialLayer(graph: Graph, inputs: ReadonlyMap<string, Shape>): string {
  const shapes = inferShapes(graph, inputs);
  return graph.findLast(({ name }) => shapes.get(name)!.length === 3)!.name;
}

/**
 * Height and width of a layer's activation.
 *
 * @throws {ConfigError} When there is no such layer, or its output has no height and width.
 */
function spatialSize(
  graph: Graph,
  inputs: ReadonlyMap<string, Shape>,
  layer: string,
): { height: number; width: number } {
  const [height, width, channels] = inferShapes(graph, inputs).get(layer) ?? [];
  if (height !== undefined && width !== undefined && channels !== undefined) {
    return { height, width };
  }
  const last = lastSpatialLayer(graph, inputs);
  throw new ConfigError(
    height === undefined
      ? `The model has no layer ${JSON.stringify(layer)}.`
      : `The layer ${layer} has no places in the image any more: it comes after the pooling.`,
    `Name a layer up to ${last}, or leave the layer out: ${last} is then taken.`,
  );
}

/** Where in an image the evidence for a class is. */
export interface HeatMap {
  /** Row-major [height, width], 0 (none) to 1 (the map's own maximum). */
  values: Float32Array;
  height: number;
  width: number;
  /** There is no evidence for the class anywhere: all values are 0, and none was scaled up to 1. */
  isZero: boolean;
}

/**
 * A map of evidence scaled to 0..1: what speaks against the class counts as 0, and the rest is
 * divided by the largest value, where there is one.
 *
 * @param evidence Row-major [height, width], any finite numbers.
 * @throws {ModelError} When a value is no number, as those of a model whose weights are not.
 */
export function toHeatMap(
  evidence: Float32Array,
  { height, width }: { height: number; width: number },
): HeatMap {
  if (!evidence.every(Number.isFinite)) {
    throw new ModelError(
      "The model cannot be explained: what its layers give are no finite numbers.",
      "Train again (notebook 05), with a lower learning rate if the loss grew.",
    );
  }
  const most = evidence.reduce((a, b) => Math.max(a, b), 0);
  const values = most > 0
    ? evidence.map((value) => Math.max(0, value) / most)
    : new Float32Array(evidence.length);
  return { values, height, width, isZero: most === 0 };
}

/**
 * A map at another size, bilinear, with pixel centres at half steps and the border continued
 * outwards.
 *
 * @returns Row-major [height, width]; within the range of the map's own values.
 */
export function resizeMap(map: HeatMap, height: number, width: number): Float32Array {
  return tf.tidy(() => {
    const image = tf.tensor4d(map.values, [1, map.height, map.width, 1]);
    return tf.image.resizeBilinear(image, [height, width], false, true).dataSync<"float32">();
  });
}

/** Places along each side: as many as the last feature map of a 224-pixel image has. */
const GRID = 7;

/**
 * A fall of the logit, as a share of it, that is none: batches of other sizes are rounded in other
 * ways, and scaled up to 1 that would look like evidence.
 */
const ROUNDING = 1e-4;

/** Covered images that go through the model at once. */
const BATCH_SIZE = 25;

/**
 * Occlusion sensitivity (Zeiler and Fergus, ECCV 2014) of one image: how far a class's logit falls
 * when a square around each of 7 × 7 places is covered with the image's mean colour. A square is
 * two places wide, so that neighbours overlap and small structures are covered whole somewhere.
 * Slow, but it looks at answers alone: an independent check of maps by gradient.
 *
 * @param pixels RGB, [size, size, 3].
 * @param label Index of the class.
 * @throws {ModelError} When the model gives no finite numbers.
 */
export async function occlusionMap(
  { logits, imageSize }: Pick<Explainer, "logits" | "imageSize">,
  pixels: Uint8Array,
  label: number,
): Promise<HeatMap> {
  const colour = meanColour(pixels);
  const uncovered = (await logits(pixels))[0]![label]!;
  const least = ROUNDING * Math.max(1, Math.abs(uncovered));
  const falls = new Float32Array(GRID * GRID);
  for (let start = 0; start < falls.length; start += BATCH_SIZE) {
    const count = Math.min(BATCH_SIZE, falls.length - start);
    const batch = new Uint8Array(count * pixels.length); // [n, size, size, 3]
    for (let i = 0; i < count; i++) {
      batch.set(covered(pixels, imageSize, start + i, colour), i * pixels.length);
    }
    const answers = await logits(batch);
    answers.forEach((row, i) => {
      const fall = uncovered - row[label]!;
      falls[start + i] = Math.abs(fall) < least ? 0 : fall;
    });
    await breathe();
  }
  return toHeatMap(falls, { height: GRID, width: GRID });
}

function meanColour(pixels: Uint8Array): number[] {
  const sums = [0, 0, 0];
  pixels.forEach((value, i) => sums[i % 3]! += value);
  return sums.map((sum) => Math.round(3 * sum / pixels.length));
}

/** A copy with the square around a place of the grid in one colour. */
function covered(
  pixels: Uint8Array,
  size: number,
  place: number,
  colour: readonly number[],
): Uint8Array {
  const [firstRow, endRow] = extent(Math.floor(place / GRID), size);
  const [firstColumn, endColumn] = extent(place % GRID, size);
  const line = Uint8Array.from(
    { length: 3 * (endColumn - firstColumn) },
    (_, i) => colour[i % 3]!,
  );
  const copy = pixels.slice();
  for (let y = firstRow; y < endRow; y++) copy.set(line, 3 * (y * size + firstColumn));
  return copy;
}

/** First pixel and end of the square around a place, along one side. */
function extent(place: number, size: number): [number, number] {
  const cell = size / GRID;
  return [
    Math.max(0, Math.round((place - 0.5) * cell)),
    Math.min(size, Math.round((place + 1.5) * cell)),
  ];
}
