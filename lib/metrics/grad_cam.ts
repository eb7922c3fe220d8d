import { ConfigError, ModelError } from "../core/errors.ts";
import { breathe } from "../core/long_work.ts";
import { type TensorFlow, tf } from "../core/tensorflow.ts";
import { ofMember, OUTPUT_LAYER } from "../model/architectures.ts";
import { foldBatchNorms, forward, preprocess, type Preprocessing } from "../model/forward.ts";
import { type Graph, inferShapes, type Layer } from "../model/graph.ts";
import { backbones, INPUT_LAYER, inputShape, type Model } from "../model/model.ts";

type Tensor = TensorFlow.Tensor;

/**
 * Makes a model ready to be explained at one layer: cuts it there and folds its BatchNorms, in each
 * part alone, so that any layer's own activation exists, that of a convolution before its BatchNorm
 * too. A model of folds is explained at the layer of all its members together.
 *
 * @param options `layer`: the last one that still has places when left out. `preprocessing`: from
 * the model's card where it was loaded; else its backbone's own.
 * @returns The layer with the size of its activation, and so of the maps; `imageSize`: side of the
 * model's input in pixels; `dispose`: frees what was made, the model itself stays.
 * @throws {ConfigError} When there is no such layer, or it has no places.
 */
export function createExplainer(
  model: Model,
  { layer: wanted, preprocessing = backbones[model.architecture.backbone].preprocessing }: {
    layer?: string | undefined;
    preprocessing?: Preprocessing;
  } = {},
) {
  const { imageSize } = model.architecture;
  const { layers, layer, ...size } = spatialLayers(model, wanted);
  const cut = cutAtLayers(model.graph, layers);
  const before = foldBatchNorms(cut.before, model.weights);
  const after = foldBatchNorms(cut.after, model.weights);
  // both to be called in a tidy
  const upTo = (pixels: Uint8Array): Map<string, Tensor> => {
    const images = new Map([[INPUT_LAYER, preprocess(pixels, imageSize, preprocessing)]]);
    const tensors = forward(before.graph, before.weights, images, cut.boundary);
    return new Map(cut.boundary.map((name, i) => [name, tensors[i]!]));
  };
  const logitsOf = (inputs: ReadonlyMap<string, Tensor>): Tensor =>
    forward(after.graph, after.weights, inputs, [OUTPUT_LAYER], { logits: true })[0]!;
  return {
    layer,
    size,
    imageSize,
    /** What the output layer has before its softmax: pixels [n, size, size, 3] to [n, classes]. */
    logits: async (pixels: Uint8Array): Promise<number[][]> => {
      const logits = tf.tidy(() => logitsOf(upTo(pixels))); // [n, classes]
      const values = await logits.array() as number[][];
      logits.dispose();
      return values;
    },
    /**
     * Grad-CAM (Selvaraju et al., ICCV 2017, equations 1 and 2) of one class an image: the channels
     * of the layer's activation, each weighted with the mean gradient of the class's logit over all
     * places, summed; what speaks against the class is set to 0. The channels of all members count
     * as those of one layer.
     *
     * @param pixels RGB, [n, size, size, 3].
     * @param classOf The index of the class, from an image's probabilities and place in the batch.
     * @returns Probabilities [n, classes] are as the model gives them, not calibrated.
     * @throws {ModelError} When the model gives no finite numbers.
     */
    explain: async (
      pixels: Uint8Array,
      classOf: (probabilities: readonly number[], row: number) => number,
    ) => {
      let classes: number[] = [];
      const [evidence, softmax] = tf.tidy(() => {
        const read = upTo(pixels);
        const activations = layers.map((name) => read.get(name)!); // [n, height, width, channels]
        let softmax: Tensor | undefined;
        // in inference mode images do not touch each other: the gradient of the sum is each one's own
        const gradients = tf.grads((...given: Tensor[]) => {
          const inputs = layers.map((name, i) => [name, given[i]!] as const);
          const logits = logitsOf(new Map([...read, ...inputs])); // [n, classes]
          softmax = tf.keep(logits.softmax()); // the gradient's own tidy would free it
          classes = (softmax.arraySync() as number[][]).map(classOf);
          const chosen = tf.oneHot(tf.tensor1d(classes, "int32"), logits.shape[1]!);
          return logits.mul(chosen).sum();
        })(activations);
        const evidence = activations.map((activation, i) => {
          const weights = gradients[i]!.mean([1, 2], true); // [n, 1, 1, channels]
          return activation.mul(weights).sum(3); // [n, height, width]
        });
        return [tf.addN(evidence).relu(), softmax!] as const;
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

/**
 * A layer whose activation has places, and its size; the last one when none is named. `layers`: of
 * each member, where they have their own.
 */
function spatialLayers({ graph, architecture }: Model, wanted: string | undefined) {
  const shapes = inferShapes(graph, inputShape(architecture));
  const found = graph.findLast(({ name }) => shapes.get(name)!.length === 3)!.name;
  const last = ofMember(found)?.own ?? found;
  const layer = wanted ?? last;
  const own = graph.map(({ name }) => name).filter((name) => ofMember(name)?.own === layer);
  const layers = own.length > 0 ? own : [layer];
  const shape = shapes.get(layers[0]!);
  if (shape?.length === 3) return { layers, layer, height: shape[0]!, width: shape[1]! };
  throw new ConfigError(
    shape === undefined
      ? `The model has no layer ${JSON.stringify(layer)}.`
      : `The layer ${layer} has no places in the image any more: it comes after the pooling.`,
    `Name a layer up to ${last}, or leave the layer out: ${last} is then taken.`,
  );
}

/**
 * Cuts a graph so that the part behind some layers is a function of their activations.
 *
 * @param layers None of them behind another.
 * @returns `before`: everything that does not depend on the activations, and the layers themselves.
 * `after`: what depends on them; it begins with one `input` layer for each name of `boundary`, which
 * is what it reads: the layers first, then others (such as shortcuts past them).
 */
export function cutAtLayers(
  graph: Graph,
  layers: readonly string[],
): { before: Graph; after: Graph; boundary: string[] } {
  const behind = new Set<string>();
  for (const { name, inputs } of graph) {
    if (inputs.some((input) => layers.includes(input) || behind.has(input))) behind.add(name);
  }
  const after = graph.filter(({ name }) => behind.has(name));
  const crossing = after.flatMap(({ inputs }) => inputs).filter((name) => !behind.has(name));
  const boundary = [...new Set([...layers, ...crossing])];
  const inputs = boundary.map((name): Layer => ({ name, inputs: [], op: "input" }));
  const before = graph.filter(({ name }) => !behind.has(name));
  return { before, after: [...inputs, ...after], boundary };
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
 * outwards, as `tf.image.resizeBilinear` (which sets the smallest numbers to 0).
 *
 * @returns Row-major [height, width]; within the range of the map's own values.
 */
export function resizeMap(map: HeatMap, height: number, width: number): Float32Array {
  // for each place of an axis the two of the map it lies between, and where between them
  const positions = (source: number, target: number) =>
    Array.from({ length: target }, (_, i) => {
      const place = Math.min(source - 1, Math.max(0, (i + 0.5) * source / target - 0.5));
      const from = Math.floor(place);
      return { from, to: Math.min(source - 1, from + 1), share: place - from };
    });
  const mix = (a: number, b: number, share: number) => a + (b - a) * share;
  const columns = positions(map.width, width);
  return Float32Array.from(
    positions(map.height, height).flatMap((row) => {
      const [above, below] = [row.from, row.to].map((line) => {
        const at = (column: number) => map.values[line * map.width + column]!;
        return columns.map(({ from, to, share }) => mix(at(from), at(to), share));
      });
      return above!.map((value, x) => mix(value, below![x]!, row.share));
    }),
  );
}

/** Places along each side, as of the last map of 224 pixels; covered images predicted at once. */
const [GRID, BATCH_SIZE] = [7, 25];

/** A fall of the logit, as a share of it, that may come from rounding alone. */
const ROUNDING = 1e-4;

/**
 * Occlusion sensitivity (Zeiler and Fergus, ECCV 2014) of one image: how far a class's logit falls
 * when a square around each of 7 × 7 places is covered with the image's mean colour. A square is
 * two places wide, so that neighbours overlap and small structures are covered whole somewhere.
 * Slow, but it looks at predictions alone: an independent check of maps by gradient.
 *
 * @param pixels RGB, [size, size, 3].
 * @param label Index of the class.
 * @throws {ModelError} When the model gives no finite numbers.
 */
export async function occlusionMap(
  { logits, imageSize }: Pick<ReturnType<typeof createExplainer>, "logits" | "imageSize">,
  pixels: Uint8Array,
  label: number,
): Promise<HeatMap> {
  const sums = [0, 0, 0];
  pixels.forEach((value, i) => sums[i % 3]! += value);
  const colour = sums.map((sum) => Math.round(3 * sum / pixels.length));
  const uncovered = (await logits(pixels))[0]![label]!;
  const least = ROUNDING * Math.max(1, Math.abs(uncovered));
  const falls = new Float32Array(GRID * GRID);
  for (let start = 0; start < falls.length; start += BATCH_SIZE) {
    const count = Math.min(BATCH_SIZE, falls.length - start);
    const batch = new Uint8Array(count * pixels.length); // [n, size, size, 3]
    for (let i = 0; i < count; i++) {
      batch.set(covered(pixels, imageSize, start + i, colour), i * pixels.length);
    }
    for (const [i, row] of (await logits(batch)).entries()) {
      const fall = uncovered - row[label]!;
      falls[start + i] = Math.abs(fall) < least ? 0 : fall;
    }
    await breathe();
  }
  return toHeatMap(falls, { height: GRID, width: GRID });
}

/** A copy with the square around a place of the grid in one colour. */
function covered(pixels: Uint8Array, size: number, place: number, colour: readonly number[]) {
  const cell = size / GRID;
  const [[top, bottom], [left, right]] = [Math.floor(place / GRID), place % GRID].map((at) => [
    Math.max(0, Math.round((at - 0.5) * cell)),
    Math.min(size, Math.round((at + 1.5) * cell)),
  ]) as [[number, number], [number, number]];
  const line = Uint8Array.from({ length: 3 * (right - left) }, (_, i) => colour[i % 3]!);
  const copy = pixels.slice();
  for (let y = top; y < bottom; y++) copy.set(line, 3 * (y * size + left));
  return copy;
}
