import { tf } from "../lib/core/tensorflow.ts";

/** Started by `binding.ts`: ends well only if the native backend multiplies two matrices. */
const product = tf.matMul(tf.tensor2d([[1, 2], [3, 4]]), tf.tensor2d([[5], [6]]));

// (2, 1)
const values = [...await product.data()];

if (tf.getBackend() !== "tensorflow" || values.join() !== "17,39") {
  throw new Error(`${tf.getBackend()} computed ${values} where 17,39 is right`);
}
