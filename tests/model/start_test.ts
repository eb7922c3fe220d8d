import assert from "node:assert/strict";
import { parseConfig } from "../../lib/core/config.ts";
import { ModelError, WeightsMissingError } from "../../lib/core/errors.ts";
import { tf } from "../../lib/core/tensorflow.ts";
import { forward, preprocess } from "../../lib/model/forward.ts";
import { sizeOf } from "../../lib/model/graph.ts";
import type { ImagenetWeights } from "../../lib/model/imagenet.ts";
import {
  backbones,
  createModel,
  disposeModel,
  estimateMoments,
  INPUT_LAYER,
} from "../../lib/model/model.ts";
import { startingModel, type StartingOptions, startRun } from "../../lib/model/start.ts";
import { runOf } from "../../lib/run/run.ts";
import { someImages } from "./ask_keras.ts";

const config = parseConfig({ model: { imageSize: 32 } });

const there = (title: string): ImagenetWeights => ({
  title,
  load: (specs) => {
    const halves = (shape: readonly number[]) => new Float32Array(sizeOf(shape)).fill(0.5);
    const values = new Map(specs.map(({ name, shape }) => [name, halves(shape)]));
    return Promise.resolve({ values, sha256: "a".repeat(64) });
  },
});

const failing = (title: string, error: Error): ImagenetWeights => ({
  title,
  load: () => Promise.reject(error),
});

const missing = (title: string) => failing(title, new WeightsMissingError("no network", "get one"));

/** What a start gives, its tensors freed. */
async function start(
  resnet50: ImagenetWeights,
  efficientnet_lite0: ImagenetWeights,
  fallBack: boolean,
) {
  const before = tf.memory().numTensors;
  const imagenetOf: StartingOptions["imagenetOf"] = (backbone) =>
    ({ resnet50, efficientnet_lite0 })[backbone];
  try {
    const { model, startingWeights } = await startingModel(config, [], {
      fallBack,
      decode: { size: config.model.imageSize, resize: "squash", maxMegapixels: 1 },
      imagenetOf,
    });
    const kernel = [...model.weights.values()][0]!.dataSync()[0];
    const { backbone } = model.architecture;
    disposeModel(model);
    return { backbone, kernel, ...startingWeights };
  } finally {
    assert.equal(tf.memory().numTensors, before);
  }
}

Deno.test("startingModel() takes the ImageNet weights of the backbone that was asked for", async () => {
  assert.deepEqual(await start(there("R"), there("E"), true), {
    backbone: "resnet50",
    kernel: 0.5,
    kind: "imagenet",
    note: "R",
    sha256: "a".repeat(64),
  });
});

Deno.test("startingModel() goes on with the other backbone, and says so, only where it may", async () => {
  const { backbone, kernel, kind, note } = await start(missing("R"), there("E"), true);
  assert.deepEqual([backbone, kernel, kind], ["efficientnet_lite0", 0.5, "imagenet"]);
  assert.match(note, /^E, in place of R, which cannot be obtained here/);
  await assert.rejects(start(missing("R"), there("E"), false), WeightsMissingError);
});

Deno.test("startingModel() starts at random where no ImageNet weights are, only where it may", async () => {
  const { backbone, kernel, kind, note, sha256 } = await start(missing("R"), missing("E"), true);
  assert.deepEqual([backbone, kind, sha256], ["resnet50", "random", null]);
  assert.notEqual(kernel, 0.5);
  assert.match(note, /Expect a much worse model/);
});

Deno.test("startingModel() stops at damaged weights, whatever the images", async () => {
  const damaged = failing("R", new ModelError("damaged", "delete it"));
  await assert.rejects(start(damaged, there("E"), true), /damaged/);
});

Deno.test("startRun() refuses to start a run from its own model", async () => {
  for (const weights of ["model/some", "model/some/model.keras", "./model/../model/some/"]) {
    await assert.rejects(
      startRun(runOf(parseConfig({ run: "some", model: { weights } }))),
      /cannot start from .* name of its own/s,
    );
  }
});

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
