import { type TensorFlow, tf } from "../setup/tensorflow.ts";

/** How pixels become a network's input: reorder, then `(value - mean) / scale`, per channel. */
export interface Preprocessing {
  channels: "RGB" | "BGR";
  /** In the order of `channels`, on the 0-255 scale. */
  mean: [number, number, number];
  scale: number;
}

/**
 * RGB pixels as the network's input.
 *
 * @param pixels RGB, 0-255, row-major, [n, size, size, 3].
 * @returns [n, size, size, 3], float32; the caller disposes it.
 */
export function preprocess(
  pixels: Uint8Array,
  size: number,
  { channels, mean, scale }: Preprocessing,
): TensorFlow.Tensor4D {
  const n = pixels.length / (size * size * 3);
  return tf.tidy(() => {
    const rgb = tf.tensor4d(pixels, [n, size, size, 3], "int32").toFloat(); // [n, size, size, 3]
    const ordered = channels === "BGR" ? rgb.reverse(3) : rgb;
    const centred = ordered.sub(tf.tensor1d(mean));
    return (scale === 1 ? centred : centred.div(scale)) as TensorFlow.Tensor4D;
  });
}
