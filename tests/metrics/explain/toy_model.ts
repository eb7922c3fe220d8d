import { tf } from "../../../lib/core/tensorflow.ts";
import type { Preprocessing } from "../../../lib/model/forward.ts";
import type { Graph } from "../../../lib/model/graph.ts";
import { INPUT_LAYER, type Model } from "../../../lib/model/model.ts";

/** Side of the toy's input; its map is as large. */
export const SIDE = 14;

/** Pixels as they are, 0 to 1. */
export const AS_THEY_ARE: Preprocessing = { channels: "RGB", mean: [0, 0, 0], scale: 255 };

/**
 * A network small enough to explain on paper: two channels, the red and the blue of each pixel, and
 * two classes, whose logits are (mean blue − ½ mean red) and (mean red − ½ mean blue).
 */
export function redOrBlue(): Model {
  const graph: Graph = [
    { name: INPUT_LAYER, inputs: [], op: "input" },
    {
      name: "colours",
      inputs: [INPUT_LAYER],
      op: "conv2d",
      filters: 2,
      kernelSize: 1,
      stride: 1,
      padding: "valid",
      bias: false,
    },
    { name: "map", inputs: ["colours"], op: "activation", activation: "relu" },
    { name: "head_pool", inputs: ["map"], op: "globalAveragePool" },
    {
      name: "predictions",
      inputs: ["head_pool"],
      op: "dense",
      units: 2,
      activation: "softmax",
    },
  ];
  return {
    architecture: { backbone: "efficientnet_lite0", imageSize: SIDE, classes: ["blue", "red"] },
    graph,
    weights: new Map([
      ["colours/kernel", tf.tensor([1, 0, 0, 0, 0, 1], [1, 1, 3, 2])],
      ["predictions/kernel", tf.tensor([-0.5, 1, 1, -0.5], [2, 2])],
      ["predictions/bias", tf.tensor([0, 0])],
    ]),
  };
}

/** A black image, RGB, with rectangles of colours: [first row, first column, height, width]. */
export function painted(
  ...rectangles: { at: readonly [number, number, number, number]; colour: readonly number[] }[]
): Uint8Array {
  const pixels = new Uint8Array(SIDE * SIDE * 3);
  for (const { at: [top, left, height, width], colour } of rectangles) {
    for (let y = top; y < top + height; y++) {
      for (let x = left; x < left + width; x++) pixels.set(colour, 3 * (y * SIDE + x));
    }
  }
  return pixels;
}
