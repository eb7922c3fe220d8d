import { type TensorFlow, tf } from "../setup/tensorflow.ts";

type Tensor = TensorFlow.Tensor;
type Variable = TensorFlow.Variable;

const BETA_1 = 0.9;
const BETA_2 = 0.999;
const EPSILON = 1e-7;

/** Adam's memory: steps taken, and a first and second moment for each variable. */
export interface AdamState {
  step: number;
  first: Map<string, Variable>;
  second: Map<string, Variable>;
}

/** Adam before the first step, with moments of zero. The caller disposes them. */
export function startAdam(variables: ReadonlyMap<string, Variable>): AdamState {
  const zeros = () =>
    new Map([...variables].map(([name, variable]) => [name, zeroVariable(variable.shape)]));
  return { step: 0, first: zeros(), second: zeros() };
}

/** A variable of zeros that holds no other tensor alive. */
function zeroVariable(shape: number[]): Variable {
  return tf.tidy(() => tf.variable(tf.zeros(shape)));
}

/**
 * One step of Adam (Kingma and Ba, ICLR 2015) in the form and with the defaults of
 * `keras.optimizers.Adam`: the bias corrections are in the step size and epsilon, 1e-7, is added to
 * the uncorrected root.
 *
 * @param gradients By variable name; not disposed.
 */
export function stepAdam(
  state: AdamState,
  variables: ReadonlyMap<string, Variable>,
  gradients: Readonly<Record<string, Tensor>>,
  learningRate: number,
): void {
  state.step += 1;
  const rate = learningRate * Math.sqrt(1 - BETA_2 ** state.step) / (1 - BETA_1 ** state.step);
  for (const [name, variable] of variables) {
    const gradient = gradients[variable.name];
    const first = state.first.get(name)!;
    const second = state.second.get(name)!;
    if (!gradient) throw new Error(`there is no gradient for ${name}`);
    tf.tidy(() => {
      first.assign(first.add(gradient.sub(first).mul(1 - BETA_1)));
      second.assign(second.add(gradient.square().sub(second).mul(1 - BETA_2)));
      variable.assign(variable.sub(first.mul(rate).div(second.sqrt().add(EPSILON))));
    });
  }
}

/** Adam as before its first step, as for a new phase of training. */
export function resetAdam(state: AdamState): void {
  state.step = 0;
  for (const moment of [...state.first.values(), ...state.second.values()]) {
    tf.tidy(() => moment.assign(tf.zerosLike(moment)));
  }
}

/** Frees the moments. */
export function disposeAdam(state: AdamState): void {
  tf.dispose([...state.first.values(), ...state.second.values()]);
}
