import { nativeBackend, type TensorFlow, tf } from "../core/tensorflow.ts";

type Tensor = TensorFlow.Tensor;

/**
 * Handle of a variable that TensorFlow itself holds, so that its fused optimizer kernels change it in
 * place. tfjs' own variables are tensors that are replaced.
 */
type Variable = Tensor;

/** Adam's memory: steps taken, and by name each weight with its first and second moment. */
export interface AdamState {
  step: number;
  variables: ReadonlyMap<string, { value: Variable; first: Variable; second: Variable }>;
}

/** Defaults of `keras.optimizers.Adam`. */
const [BETA_1, BETA_2, EPSILON] = [0.9, 0.999, 1e-7];

/** Adam before the first step, with copies of the weights and moments of zero. */
export function startAdam(weights: ReadonlyMap<string, Tensor>): AdamState {
  const variables = new Map([...weights].map(([name, weight]) => [name, {
    value: createVariable(() => weight.mul(1)), // a buffer of its own, changed in place
    first: createVariable(() => tf.zeros(weight.shape)),
    second: createVariable(() => tf.zeros(weight.shape)),
  }]));
  return { step: 0, variables };
}

/**
 * One step of Adam (Kingma and Ba, ICLR 2015) in the form and with the defaults of
 * `keras.optimizers.Adam`: the bias corrections are in the step size and epsilon, 1e-7, is added to
 * the uncorrected root. TensorFlow's fused kernel makes one pass over each weight.
 *
 * @param weights Those that have a gradient are disposed and replaced; the caller owns the new ones.
 * @param gradients By weight name; not disposed.
 * @param factorOf Factor of the learning rate by weight name, as if each had an Adam of its own.
 */
export function stepAdam(
  state: AdamState,
  weights: Map<string, Tensor>,
  gradients: ReadonlyMap<string, Tensor>,
  learningRate: number,
  factorOf: (name: string) => number = () => 1,
): void {
  const backend = nativeBackend();
  const { TF_ATTR_BOOL, TF_ATTR_TYPE, TF_FLOAT } = backend.binding;
  const attributes = [
    { name: "T", type: TF_ATTR_TYPE, value: TF_FLOAT },
    { name: "use_locking", type: TF_ATTR_BOOL, value: false },
    { name: "use_nesterov", type: TF_ATTR_BOOL, value: false },
  ];
  const step = ++state.step;
  tf.tidy(() => {
    const powers = [BETA_1 ** step, BETA_2 ** step].map((value) => tf.scalar(value));
    const constants = [BETA_1, BETA_2, EPSILON].map((value) => tf.scalar(value));
    for (const [name, gradient] of gradients) {
      const { value, first, second } = state.variables.get(name)!;
      weights.get(name)?.dispose(); // else the kernel would have to copy
      const rate = tf.scalar(learningRate * factorOf(name));
      const inputs = [value, first, second, ...powers, rate, ...constants, gradient];
      backend.executeMultipleOutputs("ResourceApplyAdam", attributes, inputs, 0);
      weights.set(name, tf.keep(readVariable(value)));
    }
  });
}

/** Adam as before its first step, for a new phase of training; the weights stay. */
export function resetAdam(state: AdamState): void {
  state.step = 0;
  for (const moment of [...state.variables.values()].flatMap((of) => [of.first, of.second])) {
    tf.tidy(() => assignVariable(moment, readVariable(moment).zerosLike()));
  }
}

/** Frees weights and moments. */
export function disposeAdam(state: AdamState): void {
  tf.dispose([...state.variables.values()].flatMap((variable) => Object.values(variable)));
}

/** TensorFlow's name for variables that live as long as their handle (`ResourceHandle`). */
const ANONYMOUS = "cd2c89b7-88b7-44c8-ad83-06c2a9158347";

/** A variable of 32-bit floats that is alone in holding the value that `make` gives. */
function createVariable(make: () => Tensor): Variable {
  const value = tf.tidy(make);
  const backend = nativeBackend();
  const { TF_ATTR_SHAPE, TF_ATTR_STRING } = backend.binding;
  const variable = backend.executeSingleOutput("VarHandleOp", [
    floats(),
    { name: "shape", type: TF_ATTR_SHAPE, value: value.shape },
    { name: "container", type: TF_ATTR_STRING, value: "" },
    { name: "shared_name", type: TF_ATTR_STRING, value: ANONYMOUS },
  ], []);
  assignVariable(variable, value);
  value.dispose();
  return variable;
}

/** A variable's value now; the caller disposes it. As long as it is there, a change makes a copy. */
export function readVariable(variable: Variable): Tensor {
  return nativeBackend().executeSingleOutput("ReadVariableOp", [floats()], [variable]);
}

/** Gives a variable another value; the tensor stays the caller's. */
export function assignVariable(variable: Variable, value: Tensor): void {
  nativeBackend().executeMultipleOutputs("AssignVariableOp", [floats()], [variable, value], 0);
}

/** The attribute that says what a variable holds. */
function floats() {
  const { TF_ATTR_TYPE, TF_FLOAT } = nativeBackend().binding;
  return { name: "dtype", type: TF_ATTR_TYPE, value: TF_FLOAT };
}
