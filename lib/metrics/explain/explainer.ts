import { backbones } from "../../model/backbone.ts";
import { foldBatchNorms, type Weights } from "../../model/fold.ts";
import { forward } from "../../model/forward.ts";
import type { Graph } from "../../model/graph.ts";
import { OUTPUT_LAYER } from "../../model/head.ts";
import { INPUT_LAYER, inputShape, type Model } from "../../model/model.ts";
import { preprocess, type Preprocessing } from "../../model/preprocess.ts";
import { type TensorFlow, tf } from "../../setup/tensorflow.ts";
import { type ClassActivation, classActivation } from "./class_activation.ts";
import { cutAtLayer, lastSpatialLayer, spatialSize } from "./cut_at_layer.ts";
import { type HeatMap, toHeatMap } from "./heat_map.ts";

type Tensor = TensorFlow.Tensor;

/**
 * Chooses the class that is explained.
 *
 * @param probabilities Of one image, one a class.
 * @param row Where the image is in the batch.
 * @returns Index of the class.
 */
export type ClassOf = (probabilities: readonly number[], row: number) => number;

/** What a batch of images was explained with. */
export interface Explained {
  /** One an image. */
  maps: HeatMap[];
  /** As the model gives them, not calibrated: one list an image, one a class. */
  probabilities: number[][];
  /** Index of the class that each map is of. */
  classes: number[];
}

/** A model made ready to be explained at one layer. */
export interface Explainer {
  /** Name of the layer. */
  layer: string;
  /** Of the layer's activation, and so of the maps. */
  size: { height: number; width: number };
  /** Side of the model's input in pixels. */
  imageSize: number;
  /** What the output layer has before its softmax: pixels [n, size, size, 3] to [n, classes]. */
  logits(pixels: Uint8Array): Promise<number[][]>;
  /**
   * Maps by the gradient of a class's logit.
   *
   * @param pixels RGB, [n, size, size, 3].
   * @throws {ModelError} When the model gives no finite numbers.
   */
  explain(pixels: Uint8Array, method: ClassActivation, classOf: ClassOf): Promise<Explained>;
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
    explain: async (pixels, method, classOf) => {
      let classes: number[] = [];
      const [evidence, softmax] = tf.tidy(() => {
        const read = upTo(pixels);
        const { gradient, logits } = logitGradient(after, read, chosen, (probabilities) => {
          classes = probabilities.map(classOf);
          return classes;
        });
        return [classActivation(method, read.get(chosen)!, gradient), logits.softmax()] as const;
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
