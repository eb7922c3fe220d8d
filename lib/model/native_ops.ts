import { nativeBackend, type TensorFlow, tf } from "../setup/tensorflow.ts";

type Tensor = TensorFlow.Tensor;

/**
 * Operations with TensorFlow's own gradient kernels. tfjs makes the gradient of ReLU of five
 * elementwise operations and that of a bias of a sum and a reshape; one kernel does each.
 */

function run(name: string, inputs: Tensor[]): Tensor {
  const backend = nativeBackend();
  const { TF_ATTR_TYPE, TF_FLOAT } = backend.binding;
  const attributes = [{ name: "T", type: TF_ATTR_TYPE, value: TF_FLOAT }];
  return backend.executeSingleOutput(name, attributes, inputs);
}

/** An elementwise function and TensorFlow's kernel for its gradient, which reads its output. */
function withGradient(
  forward: (x: Tensor) => Tensor,
  gradient: string,
): (x: Tensor) => Tensor {
  return tf.customGrad((...given: unknown[]) => {
    const [x, save] = given as [Tensor, TensorFlow.GradSaveFunc];
    const y = forward(x);
    save([y]);
    return {
      value: y,
      gradFunc: (dy: Tensor, saved: Tensor[]) => run(gradient, [dy, saved[0]!]),
    };
  }) as (x: Tensor) => Tensor;
}

/** max(x, 0). */
export const relu: (x: Tensor) => Tensor = withGradient((x) => x.relu(), "ReluGrad");

/** min(max(x, 0), 6). */
export const relu6: (x: Tensor) => Tensor = withGradient((x) => x.relu6(), "Relu6Grad");

/** x [..., channels] + bias [channels]. */
export const addBias: (x: Tensor, bias: Tensor) => Tensor = tf.customGrad(
  (...given: unknown[]) => {
    const [x, bias] = given as [Tensor, Tensor];
    return {
      value: run("BiasAdd", [x, bias]),
      gradFunc: (dy: Tensor) => [dy.clone(), run("BiasAddGrad", [dy])],
    };
  },
) as (x: Tensor, bias: Tensor) => Tensor;
