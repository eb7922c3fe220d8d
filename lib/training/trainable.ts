import type { Random } from "../core/random.ts";
import type { Config } from "../core/settings.ts";
import { type TensorFlow, tf } from "../core/tensorflow.ts";
import { isHeadLayer, OUTPUT_LAYER } from "../model/architectures.ts";
import { forward, type Moments } from "../model/forward.ts";
import { type Cut, cutGraph, isTrainable, type Shape, weightSpecs } from "../model/graph.ts";
import { frozenLayerCount, type Model } from "../model/model.ts";
import {
  type AdamState,
  assignVariable,
  disposeAdam,
  readVariable,
  startAdam,
  stepAdam,
} from "./adam.ts";
import { createFeatureExtractor, type FeatureBatch } from "./features.ts";

type Tensor = TensorFlow.Tensor;

/** Tensors by name. */
export type Tensors = ReadonlyMap<string, Tensor>;

/** The part of a model that training changes, with its optimizer. */
export interface Trainable {
  cut: Cut;
  /** All weights of the part by name, as they are now. */
  weights: Map<string, Tensor>;
  /** Those of them that gradient descent changes. */
  adam: AdamState;
  usesBatchStatistics: (layer: string) => boolean;
  /** Momentum of each BatchNorm layer. */
  momentum: ReadonlyMap<string, number>;
}

/**
 * Cuts a model before its last `config.model.unfreezeLast` backbone layers.
 *
 * @returns `extractor`: the frozen part, `part`: the trainable one, both ready to run.
 */
export function cutModel(model: Model, { model: { unfreezeLast }, training }: Config) {
  const cut = cutGraph(model.graph, frozenLayerCount(model.architecture.backbone, unfreezeLast));
  const extractor = createFeatureExtractor(model, cut);
  const part = createTrainable(model, cut, extractor.shapes, training.batchNorm);
  const dispose = () => {
    disposeTrainable(part);
    extractor.dispose();
  };
  return { cut, extractor, part, dispose };
}

/**
 * Copies the weights of a model's trainable part into variables.
 *
 * BatchNorm in the unfrozen backbone layers keeps its moving statistics unless `batchNorm` is
 * "trained": statistics of small batches of another domain would undo what the backbone learned
 * (Keras guide "Transfer learning & fine-tuning"). The head's BatchNorm starts from nothing and
 * always uses and updates batch statistics.
 *
 * @param shapes Shapes of the boundary tensors for one image.
 * @param batchNorm `config.training.batchNorm`.
 */
export function createTrainable(
  model: Model,
  cut: Cut,
  shapes: ReadonlyMap<string, Shape>,
  batchNorm: Config["training"]["batchNorm"],
): Trainable {
  const names = weightSpecs(cut.trainable, shapes).map(({ name }) => name);
  const trained = names.filter(isTrainable);
  const adam = startAdam(new Map(trained.map((name) => [name, model.weights.get(name)!])));
  const weights = new Map(names.map((name) => {
    const variable = adam.variables.get(name);
    return [name, variable ? readVariable(variable.value) : model.weights.get(name)!.clone()];
  }));
  const batchNorms = cut.trainable.filter((layer) => layer.op === "batchNorm");
  const momentum = new Map(batchNorms.map((layer) => [layer.name, layer.momentum]));
  const usesBatchStatistics = (layer: string) => batchNorm === "trained" || isHeadLayer(layer);
  return { cut, weights, adam, usesBatchStatistics, momentum };
}

/** Frees weights and moments. */
export function disposeTrainable(part: Trainable): void {
  tf.dispose([...part.weights.values()]);
  disposeAdam(part.adam);
}

/** Loss and probabilities of one batch, as plain numbers. */
export interface BatchResult {
  /** Mean categorical cross-entropy over the batch, class weights applied. */
  loss: number;
  /** [batch, classes], row-major. */
  probabilities: Float32Array;
}

/**
 * One step of gradient descent on one batch.
 *
 * @param options `classWeights`: of an image's loss by its label, as Keras' `class_weight`; the mean is
 * over images, not over weights, as there. `random`: of dropout masks; `null` turns dropout off.
 * `headOnly`: trains the head alone; unfrozen backbone layers then behave as frozen ones.
 * `backboneRate`: their learning rate, as a fraction of `learningRate`.
 */
export async function trainStep(
  part: Trainable,
  { features, labels }: FeatureBatch,
  { learningRate, classWeights, random, headOnly = false, backboneRate = 1 }: {
    learningRate: number;
    classWeights: readonly number[];
    random: Random | null;
    headOnly?: boolean;
    backboneRate?: number;
  },
): Promise<BatchResult> {
  const moments = new Map<string, Moments>();
  const isTrained = (name: string) => !headOnly || isHeadLayer(name);
  const trained = [...part.adam.variables.keys()].filter(isTrained);
  let logits: Tensor | undefined;
  const { value, grads } = tf.engine().gradients(() => {
    const usesBatchStatistics = (name: string) => isTrained(name) && part.usesBatchStatistics(name);
    [logits] = forward(part.cut.trainable, part.weights, features, [OUTPUT_LAYER], {
      logits: true,
      training: { usesBatchStatistics, random, moments },
    });
    tf.keep(logits!); // [batch, classes]
    return crossEntropy(logits!, labels, classWeights);
  }, trained.map((name) => part.weights.get(name)!));
  const gradients = new Map(trained.map((name, index) => [name, grads[index]!]));
  const factorOf = (name: string) => isHeadLayer(name) ? 1 : backboneRate;
  stepAdam(part.adam, part.weights, gradients, learningRate, factorOf);
  for (const [layer, batch] of moments) updateMoving(part, layer, batch);
  const softmax = logits!.softmax();
  tf.dispose([logits!, ...grads]);
  return await numbersOf(value, softmax);
}

/** Loss and probabilities of one batch in inference mode, without a step. */
export async function validateBatch(
  part: Trainable,
  { features, labels }: FeatureBatch,
): Promise<BatchResult> {
  const [loss, softmax] = tf.tidy(() => {
    const [logits] = forward(part.cut.trainable, part.weights, features, [OUTPUT_LAYER], {
      logits: true,
    });
    return [crossEntropy(logits!, labels, []), logits!.softmax()] as const;
  });
  return await numbersOf(loss, softmax);
}

/** Reads both tensors and disposes them. */
async function numbersOf(loss: Tensor, softmax: Tensor): Promise<BatchResult> {
  const [value, probabilities] = await Promise.all([loss.data(), softmax.data()]);
  tf.dispose([loss, softmax]);
  return { loss: value[0]!, probabilities: probabilities as Float32Array };
}

/** Mean over the batch of `-weight · log softmax(logits)[label]`, a scalar. */
function crossEntropy(logits: Tensor, labels: Int32Array, classWeights: readonly number[]) {
  const target = tf.oneHot(tf.tensor1d(labels, "int32"), logits.shape[1]!); // [batch, classes]
  const each = logits.logSoftmax().mul(target).sum(1).neg(); // [batch]
  const weights = tf.tensor1d(Float32Array.from(labels, (label) => classWeights[label] ?? 1));
  return each.mul(weights).mean() as TensorFlow.Scalar;
}

/** `moving = momentum · moving + (1 - momentum) · batch`, for mean and biased variance (Keras 3). */
function updateMoving(part: Trainable, layer: string, { mean, variance }: Moments): void {
  const momentum = part.momentum.get(layer)!;
  for (const [name, batch] of [["moving_mean", mean], ["moving_variance", variance]] as const) {
    const key = `${layer}/${name}`;
    const moving = part.weights.get(key)!;
    part.weights.set(key, tf.tidy(() => moving.mul(momentum).add(batch.mul(1 - momentum))));
    tf.dispose([moving, batch]);
  }
}

/** The part's weights, without a copy: a step puts others in their place. The caller disposes them. */
export const snapshot = ({ weights }: { weights: Tensors }): Map<string, Tensor> =>
  new Map([...weights].map(([name, value]) => [name, value.clone()]));

/** The whole model again: `weights` of the trainable part laid over the model's own. */
export function withWeights(model: Model, weights: Tensors): Model {
  return { ...model, weights: new Map([...model.weights, ...weights]) };
}

/** Adam's moments as they are now, as a checkpoint names them; the caller disposes them. */
export function momentsOf({ adam }: Trainable): Map<string, Tensor> {
  return new Map([...adam.variables].flatMap(([name, { first, second }]) => [
    [`adam_first/${name}`, readVariable(first)],
    [`adam_second/${name}`, readVariable(second)],
  ]));
}

/** Puts back what {@linkcode snapshot} and {@linkcode momentsOf} gave; `tensors` are not disposed. */
export function restore(part: Trainable, tensors: Tensors, adamStep: number): void {
  part.adam.step = adamStep;
  for (const [name, before] of part.weights) {
    const copy = tf.tidy(() => tensors.get(name)!.mul(1));
    const variable = part.adam.variables.get(name);
    if (variable) {
      assignVariable(variable.value, copy);
      assignVariable(variable.first, tensors.get(`adam_first/${name}`)!);
      assignVariable(variable.second, tensors.get(`adam_second/${name}`)!);
    }
    before.dispose();
    part.weights.set(name, copy);
  }
}
