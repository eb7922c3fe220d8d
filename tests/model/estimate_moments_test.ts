import assert from "node:assert/strict";
import { tf } from "../../lib/core/tensorflow.ts";
import { forward, preprocess } from "../../lib/model/forward.ts";
import {
  backbones,
  createModel,
  disposeModel,
  estimateMoments,
  INPUT_LAYER,
} from "../../lib/model/model.ts";
import { someImages } from "./ask_keras.ts";

const LAYERS = ["conv1_bn", "conv3_block1_0_bn", "conv5_block3_1_bn"];

Deno.test("estimateMoments() makes every BatchNorm's output standard, and touches nothing else", () => {
  const before = tf.memory().numTensors;
  const size = 64;
  const model = createModel({ backbone: "resnet50", imageSize: size, classes: ["a", "b"] }, 1);
  const others = [...model.weights].filter(([name]) => !/^conv.*\/moving_/.test(name));
  const images = preprocess(someImages(32, size), size, backbones.resnet50.preprocessing);
  /** How far means are from 0 and variances from 1, over all channels, layer by layer. */
  const distances = () => {
    const inputs = new Map([[INPUT_LAYER, images]]);
    return tf.tidy(() =>
      forward(model.graph, model.weights, inputs, LAYERS).map((output) => {
        const { mean, variance } = tf.moments(output, [0, 1, 2]); // [channels]
        return [mean, variance.sub(1)].map((off) => off.abs().max().dataSync()[0]!);
      })
    );
  };
  for (const [, variance] of distances()) assert.ok(variance! > 0.5);
  estimateMoments(model, images);
  for (const [index, [mean, variance]] of distances().entries()) {
    assert.ok(mean! < 1e-3 && variance! < 0.1, `${LAYERS[index]}: ${mean}, ${variance}`);
  }
  for (const [name, tensor] of others) assert.equal(model.weights.get(name), tensor, name);
  images.dispose();
  disposeModel(model);
  assert.equal(tf.memory().numTensors, before);
});
