import { nativeBackend, type TensorFlow, tf } from "../setup/tensorflow.ts";
import { createResourceVariable, type ResourceVariable } from "./resource_variable.ts";

type Tensor = TensorFlow.Tensor;

const BETA_1 = 0.9;
const BETA_2 = 0.999;
const EPSILON = 1e-7;

/** A weight that Adam changes, with its first and second moment. */
export interface AdamVariable {
  value: ResourceVariable;
  first: ResourceVariable;
  second: ResourceVariable;
}

/** Adam's memory: steps taken, and the weights by name. */
export interface AdamState {
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
