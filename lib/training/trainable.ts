import type { Random } from "../core/random.ts";
import type { Config } from "../core/settings.ts";
import type { OnProgress, StopRequested } from "../core/stop.ts";
import { nativeBackend, type TensorFlow, tf } from "../core/tensorflow.ts";
import type { DecodeOptions } from "../images/decode.ts";
import { isHeadLayer, OUTPUT_LAYER } from "../model/architectures.ts";
import { forward, type Moments } from "../model/forward.ts";
import { type Cut, isTrainable, type Shape, weightSpecs } from "../model/graph.ts";
import type { Model } from "../model/model.ts";
import type { HistoryRow, TrainingEvent } from "../run/history.ts";
import type { LabelledFile } from "../run/split_file.ts";
import type { FeatureBatch } from "./features.ts";

/** What a training run is made of. */
export interface TrainingJob {
  /** The model to start from; its weights are not changed. */
  model: Model;
  train: readonly LabelledFile[];
  validation: readonly LabelledFile[];
  /** How images are read. */
  decode: DecodeOptions;
  config: Config;
  /** Folder of checkpoints. */
  checkpoints: string;
  /** Folder in which the frozen layers' outputs of all runs are kept. */
  features: string;
  /** Text that is equal only for runs that may continue each other's checkpoints. */
  fingerprint: string;
  /** Called with the whole model whenever an epoch is the best yet; the model is only lent. */
  onBest: (model: Model, row: HistoryRow) => Promise<void>;
  /** Called after every epoch with all rows and events so far. */
  onEpoch?: (history: HistoryRow[], events: TrainingEvent[]) => Promise<void> | void;
  onProgress?: OnProgress;
  /** Whether the person has asked to stop. */
  stopRequested?: StopRequested;
}

type Tensor = TensorFlow.Tensor;

/** The part of a model that training changes, with its optimizer. */
export interface Trainable {
  cut: Cut;
  /** All weights of the part by name, as they are now. */
  weights: Map<string, Tensor>;
  /** Those of them that gradient descent changes. */
  adam: AdamState;
  usesBatchStatistics: (batchNorm: string) => boolean;
  /** Momentum of each BatchNorm layer. */
  momentum: Map<string, number>;
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
  const adam = startAdam(
    new Map(names.filter(isTrainable).map((name) => [name, model.weights.get(name)!])),
  );
  const weights = new Map(names.map((name) => [
    name,
    adam.variables.get(name)?.value.read() ?? model.weights.get(name)!.clone(),
  ]));
  const momentum = new Map(
    cut.trainable.flatMap((layer) =>
      layer.op === "batchNorm" ? [[layer.name, layer.momentum]] : []
    ),
  );
  return {
    cut,
    weights,
    adam,
    usesBatchStatistics: (name) => batchNorm === "trained" || isHeadLayer(name),
    momentum,
  };
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
 * @param classWeights Weight of an image's loss by its label, as Keras' `class_weight`; the mean is
 * over images, not over weights, as there.
 * @param random Source of dropout masks; `null` turns dropout off.
 * @param headOnly Trains the head alone; unfrozen backbone layers then behave as frozen ones.
 */
export async function trainStep(
  part: Trainable,
  { features, labels }: FeatureBatch,
  options: {
    learningRate: number;
    classWeights: readonly number[];
    random: Random | null;
    headOnly?: boolean;
  },
): Promise<BatchResult> {
  const moments = new Map<string, Moments>();
  const isTrained = (name: string) => !options.headOnly || isHeadLayer(name);
  const trained = [...part.adam.variables.keys()].filter(isTrained);
  let logits: Tensor | undefined;
  const { value, grads } = tf.engine().gradients(() => {
    [logits] = forward(part.cut.trainable, part.weights, features, [OUTPUT_LAYER], {
      logits: true,
      training: {
        usesBatchStatistics: (name) => isTrained(name) && part.usesBatchStatistics(name),
        random: options.random,
        moments,
      },
    });
    tf.keep(logits!); // [batch, classes]
    return crossEntropy(logits!, labels, options.classWeights);
  }, trained.map((name) => part.weights.get(name)!));
  const gradients = new Map(trained.map((name, index) => [name, grads[index]!]));
  stepAdam(part.adam, part.weights, gradients, options.learningRate);
  for (const [layer, batch] of moments) updateMoving(part, layer, batch);
  const softmax = logits!.softmax();
  const [loss, probabilities] = await Promise.all([value.data(), softmax.data()]);
  tf.dispose([value, logits!, softmax, ...grads]);
  return { loss: loss[0]!, probabilities: probabilities as Float32Array };
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
  const [value, probabilities] = await Promise.all([loss.data(), softmax.data()]);
  tf.dispose([loss, softmax]);
  return { loss: value[0]!, probabilities: probabilities as Float32Array };
}

/** Mean over the batch of `-weight · log softmax(logits)[label]`, a scalar. */
function crossEntropy(
  logits: Tensor,
  labels: Int32Array,
  classWeights: readonly number[],
): TensorFlow.Scalar {
  const target = tf.oneHot(tf.tensor1d(labels, "int32"), logits.shape[1]!); // [batch, classes]
  const each = logits.logSoftmax().mul(target).sum(1).neg(); // [batch]
  const weights = tf.tensor1d(Float32Array.from(labels, (label) => classWeights[label] ?? 1));
  return each.mul(weights).mean();
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

/**
 * All weights of the part as they are now; the caller disposes them. No copy is made: a step puts
 * others in their place.
 */
export function snapshot(part: Trainable): Map<string, Tensor> {
  return new Map([...part.weights].map(([name, value]) => [name, value.clone()]));
}

/** Puts weights back that {@linkcode snapshot} took; the given tensors are not disposed. */
export function restore(part: Trainable, weights: ReadonlyMap<string, Tensor>): void {
  for (const [name, value] of weights) {
    const copy = tf.tidy(() => value.mul(1));
    part.adam.variables.get(name)?.value.assign(copy);
    part.weights.get(name)?.dispose();
    part.weights.set(name, copy);
  }
}

/** The whole model again: `weights` of the trainable part laid over the model's own. */
export function withWeights(model: Model, weights: ReadonlyMap<string, Tensor>): Model {
  return { ...model, weights: new Map([...model.weights, ...weights]) };
}

/** Frees weights and moments. */
export function disposeTrainable(part: Trainable): void {
  tf.dispose([...part.weights.values()]);
  disposeAdam(part.adam);
}

const BETA_1 = 0.9;

const BETA_2 = 0.999;

const EPSILON = 1e-7;

/** A weight that Adam changes, with its first and second moment. */
interface AdamVariable {
  value: ResourceVariable;
  first: ResourceVariable;
  second: ResourceVariable;
}

/** Adam's memory: steps taken, and the weights by name. */
interface AdamState {
  step: number;
  variables: ReadonlyMap<string, AdamVariable>;
}

/** Adam before the first step, with copies of the weights and moments of zero. */
export function startAdam(weights: ReadonlyMap<string, Tensor>): AdamState {
  const variables = new Map([...weights].map(([name, weight]) => [name, {
    value: variableOf(() => weight.mul(1)), // a buffer of its own, which may be changed in place
    first: variableOf(() => tf.zeros(weight.shape)),
    second: variableOf(() => tf.zeros(weight.shape)),
  }]));
  return { step: 0, variables };
}

/** A variable that is alone in holding the value that `make` gives. */
function variableOf(make: () => Tensor): ResourceVariable {
  const value = tf.tidy(make);
  const variable = createResourceVariable(value);
  value.dispose();
  return variable;
}

/**
 * One step of Adam (Kingma and Ba, ICLR 2015) in the form and with the defaults of
 * `keras.optimizers.Adam`: the bias corrections are in the step size and epsilon, 1e-7, is added to
 * the uncorrected root. It is TensorFlow's fused kernel: one pass over each weight where a dozen
 * elementwise operations would make as many.
 *
 * @param weights Their tensors are disposed and replaced by the new values, for the names that have a
 *   gradient; the caller owns these.
 * @param gradients By weight name; not disposed.
 */
export function stepAdam(
  state: AdamState,
  weights: Map<string, Tensor>,
  gradients: ReadonlyMap<string, Tensor>,
  learningRate: number,
): void {
  state.step += 1;
  const backend = nativeBackend();
  const { TF_ATTR_BOOL, TF_ATTR_TYPE, TF_FLOAT } = backend.binding;
  const attributes = [
    { name: "T", type: TF_ATTR_TYPE, value: TF_FLOAT },
    { name: "use_locking", type: TF_ATTR_BOOL, value: false },
    { name: "use_nesterov", type: TF_ATTR_BOOL, value: false },
  ];
  tf.tidy(() => {
    const { step } = state;
    const numbers = [BETA_1 ** step, BETA_2 ** step, learningRate, BETA_1, BETA_2, EPSILON]
      .map((value) => tf.scalar(value));
    for (const [name, gradient] of gradients) {
      const { value, first, second } = state.variables.get(name)!;
      weights.get(name)?.dispose(); // else the kernel would have to copy
      const inputs = [value.handle, first.handle, second.handle, ...numbers, gradient];
      backend.executeMultipleOutputs("ResourceApplyAdam", attributes, inputs, 0);
      weights.set(name, tf.keep(value.read()));
    }
  });
}

/** Adam as before its first step, as for a new phase of training; the weights stay. */
export function resetAdam(state: AdamState): void {
  state.step = 0;
  for (const { first, second } of state.variables.values()) {
    tf.tidy(() => {
      first.assign(tf.zeros(first.shape));
      second.assign(tf.zeros(second.shape));
    });
  }
}

/** Frees weights and moments. */
export function disposeAdam(state: AdamState): void {
  for (const { value, first, second } of state.variables.values()) {
    for (const variable of [value, first, second]) variable.dispose();
  }
}

/**
 * A variable that TensorFlow itself holds, so that its fused optimizer kernels can change it in
 * place. tfjs' own variables are tensors that are replaced.
 */
interface ResourceVariable {
  /** What TensorFlow's kernels take. */
  handle: TensorFlow.Tensor;
  shape: number[];
  /**
   * The value now; the caller disposes it. No copy is made: as long as it is there, the next change
   * makes one.
   */
  read(): TensorFlow.Tensor;
  /** Takes a value over; the tensor stays the caller's. */
  assign(value: TensorFlow.Tensor): void;
  dispose(): void;
}

/** TensorFlow's name for variables that live as long as their handle (`ResourceHandle`). */
const ANONYMOUS = "cd2c89b7-88b7-44c8-ad83-06c2a9158347";

/** A variable of 32-bit floats that begins with this value; the tensor stays the caller's. */
function createResourceVariable(value: TensorFlow.Tensor): ResourceVariable {
  const backend = nativeBackend();
  const { TF_ATTR_TYPE, TF_ATTR_SHAPE, TF_ATTR_STRING, TF_FLOAT } = backend.binding;
  const dtype = { name: "dtype", type: TF_ATTR_TYPE, value: TF_FLOAT };
  const { shape } = value;
  const handle = backend.executeSingleOutput("VarHandleOp", [
    dtype,
    { name: "shape", type: TF_ATTR_SHAPE, value: shape },
    { name: "container", type: TF_ATTR_STRING, value: "" },
    { name: "shared_name", type: TF_ATTR_STRING, value: ANONYMOUS },
  ], []);
  const assign = (next: TensorFlow.Tensor): void => {
    backend.executeMultipleOutputs("AssignVariableOp", [dtype], [handle, next], 0);
  };
  assign(value);
  return {
    handle,
    shape,
    read: () => backend.executeSingleOutput("ReadVariableOp", [dtype], [handle]),
    assign,
    dispose: () => handle.dispose(),
  };
}
