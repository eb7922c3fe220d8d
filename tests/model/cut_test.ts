import assert from "node:assert/strict";
import { tf } from "../../lib/core/tensorflow.ts";
import { OUTPUT_LAYER } from "../../lib/model/architectures.ts";
import { forward } from "../../lib/model/forward.ts";
import { cutGraph, type Graph, inferShapes } from "../../lib/model/graph.ts";
import {
  type Architecture,
  buildGraph,
  createModel,
  disposeModel,
  frozenLayerCount,
  INPUT_LAYER,
  inputShape,
  summariseStages,
} from "../../lib/model/model.ts";

const architecture = (
  backbone: Architecture["backbone"],
  imageSize: number,
  attention: Architecture["attention"] = "none",
): Architecture => ({ backbone, imageSize, classes: ["a", "b"], attention });

const cutOf = (backbone: Architecture["backbone"], unfreezeLast: number) =>
  cutGraph(
    buildGraph(architecture(backbone, 224)),
    frozenLayerCount(backbone, unfreezeLast),
  );

/** Boundary tensors and their shapes for one image. */
function boundaryShapes(unfreezeLast: number): Record<string, number[]> {
  const { frozen, boundary } = cutOf("resnet50", unfreezeLast);
  const shapes = inferShapes(frozen, inputShape(architecture("resnet50", 224)));
  return Object.fromEntries(boundary.map((name) => [name, [...shapes.get(name)!]]));
}

Deno.test("cutGraph() hands over just what the last 30 layers of ResNet50 read", () => {
  assert.deepEqual(boundaryShapes(30), {
    conv5_block1_1_relu: [7, 7, 512], // a ReLU never learns: it is applied once
    conv4_block6_out_subsampled: [7, 7, 1024], // read by a 1×1 convolution of stride 2 alone
  });
  assert.deepEqual(boundaryShapes(0), { head_pool: [2048] });
  assert.deepEqual(boundaryShapes(4), {
    conv5_block2_out: [7, 7, 2048],
    conv5_block3_2_relu: [7, 7, 512],
  });
  assert.deepEqual(boundaryShapes(175), { conv1_pad: [230, 230, 3] });
  assert.deepEqual(boundaryShapes(1000), boundaryShapes(175));
});

Deno.test("attention is the head's: read from the frozen map, counted and trained with the head", () => {
  const [none, se, cbam] = (["none", "se", "cbam"] as const).map((attention) => {
    const shape = architecture("efficientnet_lite0", 224, attention);
    const { boundary } = cutGraph(buildGraph(shape), frozenLayerCount(shape.backbone, 0));
    const { layers, parameters, trainable } = summariseStages(shape, 141).at(-1)!;
    return { boundary, layers, parameters, untrained: parameters - trainable };
  });
  assert.deepEqual(se!.boundary, ["top_activation", "head_attention_mean"]);
  assert.deepEqual(cbam!.boundary, ["top_activation", "head_attention_channel_pools"]);
  const perceptron = 2 * 1280 * 80 + 80 + 1280;
  assert.deepEqual([se, cbam].map((own) => own!.parameters - none!.parameters), [
    perceptron,
    perceptron + 7 * 7 * 2 + 1,
  ]);
  assert.deepEqual([se, cbam].map((own) => own!.layers - none!.layers), [4, 15]);
  for (const { untrained } of [se!, cbam!]) assert.equal(untrained, none!.untrained);
});

Deno.test("cutGraph() leaves every layer that has weights on its own side of the boundary", () => {
  for (const backbone of ["resnet50", "efficientnet_lite0"] as const) {
    const graph = buildGraph(architecture(backbone, 224));
    for (let unfreezeLast = 0; unfreezeLast <= graph.length; unfreezeLast += 7) {
      const { frozen, trainable, boundary } = cutOf(backbone, unfreezeLast);
      const frozenLayers = frozenLayerCount(backbone, unfreezeLast);
      const isFrozen = new Set(frozen.map(({ name }) => name));
      const isTrained = new Set(
        trainable.filter(({ op }) => op !== "input").map(({ name }) => name),
      );
      graph.forEach(({ name, op }, index) => {
        assert.notEqual(isFrozen.has(name), isTrained.has(name), name);
        const hasWeights = ["conv2d", "depthwiseConv2d", "batchNorm", "dense"].includes(op);
        if (hasWeights) assert.equal(isFrozen.has(name), index < frozenLayers, name);
        if (op === "dropout") assert.ok(isTrained.has(name), "dropout is never the same twice");
      });
      assertRunnable(frozen);
      assertRunnable(trainable);
      assert.deepEqual(
        trainable.filter(({ op }) => op === "input").map(({ name }) => name),
        boundary,
      );
    }
  }
});

/** Each layer reads only earlier ones. */
function assertRunnable(graph: Graph): void {
  const seen = new Set<string>();
  for (const { name, inputs } of graph) {
    assert.ok(inputs.every((input) => seen.has(input)), name);
    seen.add(name);
  }
}

const DEPTHS = [
  ["resnet50", [32, 40], "none"],
  ["efficientnet_lite0", [40], "none"],
  ["efficientnet_lite0", [40], "se"],
  ["efficientnet_lite0", [40], "cbam"],
] as const;

for (const [backbone, sizes, attention] of DEPTHS) {
  Deno.test(`cutGraph() changes no result of ${backbone} with attention ${attention}, whatever the depth`, () => {
    for (const size of sizes) {
      const model = createModel(architecture(backbone, size, attention), 3);
      const images = tf.randomNormal([2, size, size, 3], 0, 1, "float32", 1);
      const inputs = new Map([[INPUT_LAYER, images]]);
      const whole = forward(model.graph, model.weights, inputs, [OUTPUT_LAYER], { logits: true });
      const expected = whole[0]!.dataSync();
      const scale = Math.max(...expected.map(Math.abs));
      for (const unfreezeLast of [0, 1, 2, 4, 10, 29, 30, 31, 34, 60, 100, 120, 200]) {
        const cut = cutGraph(model.graph, frozenLayerCount(backbone, unfreezeLast));
        const crossing = forward(cut.frozen, model.weights, inputs, cut.boundary);
        const [logits] = forward(
          cut.trainable,
          model.weights,
          new Map(cut.boundary.map((name, index) => [name, crossing[index]!])),
          [OUTPUT_LAYER],
          { logits: true },
        );
        logits!.dataSync().forEach((value, i) => {
          const difference = Math.abs(value - expected[i]!);
          assert.ok(difference < 1e-4 * scale, `${unfreezeLast}: ${value} and ${expected[i]}`);
        });
        tf.dispose([...crossing, logits!]);
      }
      tf.dispose([images, ...whole]);
      disposeModel(model);
    }
  });
}

Deno.test("cutGraph() subsamples only where all that read beyond the boundary skip as much", () => {
  const conv = { op: "conv2d", filters: 1, padding: "valid", bias: true } as const;
  const graph = (other: { kernelSize: number; stride: number }): Graph => [
    { name: "input_layer", inputs: [], op: "input" },
    { name: "frozen", inputs: ["input_layer"], ...conv, kernelSize: 1, stride: 1 },
    { name: "a", inputs: ["frozen"], ...conv, kernelSize: 1, stride: 2 },
    { name: "b", inputs: ["frozen"], ...conv, ...other },
    { name: "sum", inputs: ["a", "b"], op: "add" },
  ];
  const same = cutGraph(graph({ kernelSize: 1, stride: 2 }), 2);
  assert.deepEqual(same.boundary, ["frozen_subsampled"]);
  assert.deepEqual(
    same.trainable.flatMap((layer) => layer.op === "conv2d" ? [[layer.inputs, layer.stride]] : []),
    [[["frozen_subsampled"], 1], [["frozen_subsampled"], 1]],
  );
  for (const other of [{ kernelSize: 1, stride: 1 }, { kernelSize: 3, stride: 2 }]) {
    const given = graph(other);
    const { boundary, trainable } = cutGraph(given, 2);
    assert.deepEqual(boundary, ["frozen"]);
    assert.deepEqual(trainable.slice(1), given.slice(2));
  }
});
