import fc from "fast-check";
import assert from "node:assert/strict";
import { ModelError } from "../../lib/core/errors.ts";
import { correlation } from "../../lib/core/stats.ts";
import { tf } from "../../lib/core/tensorflow.ts";
import { shuffleWeights } from "../../lib/metrics/explain.ts";
import {
  createExplainer,
  cutAtLayers,
  occlusionMap,
  resizeMap,
  toHeatMap,
} from "../../lib/metrics/grad_cam.ts";
import { resnet50 } from "../../lib/model/architectures.ts";
import { preprocess, type Preprocessing } from "../../lib/model/forward.ts";
import type { Graph } from "../../lib/model/graph.ts";
import {
  type Architecture,
  backbones,
  createModel,
  disposeModel,
  estimateMoments,
  INPUT_LAYER,
  type Model,
} from "../../lib/model/model.ts";
import { createPredictor } from "../../lib/model/predict.ts";
import { inFolder } from "../data/test_images.ts";
import { askKeras, disturbBatchNorms, handOver, someImages } from "../model/ask_keras.ts";
import { smallModel } from "../model/small_model.ts";

/** Side of the toy's input; its map is as large. */
const SIDE = 14;

/** Pixels as they are, 0 to 1. */
const AS_THEY_ARE: Preprocessing = { channels: "RGB", mean: [0, 0, 0], scale: 255 };

/**
 * A network small enough to explain on paper: two channels, the red and the blue of each pixel, and
 * two classes, whose logits are (mean blue − ½ mean red) and (mean red − ½ mean blue).
 */
function redOrBlue(): Model {
  const graph: Graph = [
    { name: INPUT_LAYER, inputs: [], op: "input" },
    {
      ...{ name: "colours", inputs: [INPUT_LAYER], op: "conv2d", padding: "valid", bias: false },
      ...{ filters: 2, kernelSize: 1, stride: 1 },
    },
    { name: "map", inputs: ["colours"], op: "activation", activation: "relu" },
    { name: "head_pool", inputs: ["map"], op: "globalAveragePool" },
    { name: "predictions", inputs: ["head_pool"], op: "dense", units: 2, activation: "softmax" },
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

/** Declares a test with the toy made ready to be explained, and frees both. */
function test(
  name: string,
  body: (explainer: ReturnType<typeof createExplainer>) => Promise<void>,
  model = redOrBlue(),
): void {
  Deno.test(name, async () => {
    const explainer = createExplainer(model, { layer: "map", preprocessing: AS_THEY_ARE });
    await body(explainer);
    explainer.dispose();
    disposeModel(model);
  });
}

/** A black image, RGB, with rectangles of colours: [first row, first column, height, width]. */
function painted(
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

const RED = { at: [2, 3, 4, 5], colour: [255, 0, 0] } as const;

const PALE_RED = { at: [8, 1, 3, 3], colour: [51, 0, 0] } as const;

const BLUE = { at: [9, 8, 4, 4], colour: [0, 0, 255] } as const;

/** What every place of the toy's image should have. */
function expected(of: (x: { red: number; blue: number }) => number, pixels: Uint8Array): number[] {
  const at = (p: number) => ({ red: pixels[3 * p]! / 255, blue: pixels[3 * p + 2]! / 255 });
  return Array.from({ length: SIDE * SIDE }, (_, p) => of(at(p)));
}

function assertClose(ours: ArrayLike<number>, theirs: readonly number[]): void {
  assert.equal(ours.length, theirs.length);
  theirs.forEach((value, i) => assert.ok(Math.abs(value - ours[i]!) < 1e-6, `place ${i}`));
}

test("a Grad-CAM map is what was worked out on paper, of each image's own class", async (explainer) => {
  const pixels = painted(RED, PALE_RED, BLUE);
  const both = new Uint8Array([...pixels, ...pixels]);
  const own = (_: unknown, row: number) => row === 0 ? 1 : 0;
  const { maps, classes, probabilities } = await explainer.explain(both, own);
  assert.deepEqual(classes, [1, 0]);
  // mean gradients are (1, -½) / 196 and (-½, 1) / 196; what is negative is cut off
  assertClose(maps[0]!.values, expected(({ red, blue }) => Math.max(0, red - blue / 2), pixels));
  assertClose(maps[1]!.values, expected(({ red, blue }) => Math.max(0, blue - red / 2), pixels));
  const sum = (of: (x: { red: number; blue: number }) => number) =>
    expected(of, pixels).reduce((a, b) => a + b, 0) / SIDE ** 2;
  const [red, blue] = [sum((x) => x.red), sum((x) => x.blue)];
  const odds = Math.exp((red - blue / 2) - (blue - red / 2));
  assertClose(probabilities[0]!, [1 / (1 + odds), odds / (1 + odds)]);
  assertClose((await explainer.logits(pixels))[0]!, [blue - red / 2, red - blue / 2]);
});

test("an occlusion map is highest where the class's colour is, and 0 where there is none", async (explainer) => {
  const pixels = painted({ at: [0, 0, 4, 4], colour: [255, 0, 0] }); // two places wide
  const { values, height, width } = await occlusionMap(explainer, pixels, 1);
  assert.deepEqual([height, width], [7, 7]);
  const at = (row: number, column: number) => values[row * 7 + column]!;
  // squares are 4 pixels wide, from half a place (1 pixel) before theirs to half a place behind it
  assert.equal(Math.max(...values), 1);
  assert.ok([at(0, 0), at(0, 1), at(1, 0), at(1, 1)].every((value) => value > 0.4));
  const far = [...values].filter((_, i) => Math.floor(i / 7) > 2 || i % 7 > 2);
  assert.ok(far.every((value) => value === 0), "covering black with dark red is no fall");
});

Deno.test("images of one colour and maps of one place give 0 or 1, and nothing else", async () => {
  const model = smallModel(); // its last map is 1 × 1
  const explainer = createExplainer(model);
  assert.deepEqual([explainer.layer, explainer.size], ["top_activation", { height: 1, width: 1 }]);
  const early = createExplainer(model, { layer: "block2b_add" });
  for (const grey of [0, 128, 255]) {
    const pixels = new Uint8Array(32 * 32 * 3).fill(grey);
    for (const label of [0, 1]) {
      const { maps: [map] } = await explainer.explain(pixels, () => label);
      assert.deepEqual([...map!.values], [map!.isZero ? 0 : 1]);
      const { maps: [other] } = await early.explain(pixels, () => label);
      assert.ok(other!.values.every((value) => value >= 0 && value <= 1));
    }
    const { values, isZero } = await occlusionMap(explainer, pixels, 1);
    assert.ok(isZero && values.every((value) => value === 0), "covered, it is the same image");
  }
  explainer.dispose();
  early.dispose();
  disposeModel(model);
});

Deno.test("no tensor is left behind by any map", async () => {
  const before = tf.memory().numTensors;
  const model = smallModel();
  const own = tf.memory().numTensors;
  const explainer = createExplainer(model, { layer: "block4a_dwconv" });
  const ready = tf.memory().numTensors;
  const pixels = new Uint8Array(2 * 32 * 32 * 3).map((_, i) => i % 251);
  await explainer.explain(pixels, () => 1);
  await occlusionMap(explainer, pixels.slice(0, 32 * 32 * 3), 0);
  const random = await shuffleWeights(model, 10, 1);
  random.dispose();
  assert.equal(tf.memory().numTensors, ready);
  explainer.dispose();
  assert.equal(tf.memory().numTensors, own);
  disposeModel(model);
  assert.equal(tf.memory().numTensors, before);
});

Deno.test("cutAtLayers() puts what passes a layer by on the boundary, and loses no layer", () => {
  const graph = resnet50();
  const inside = cutAtLayers(graph, ["conv5_block1_1_relu"]);
  assert.deepEqual(inside.boundary, ["conv5_block1_1_relu", "conv5_block1_0_bn"]);
  assert.equal(inside.before.length + inside.after.length, graph.length + 2);
  const last = cutAtLayers(graph, ["conv5_block2_out"]);
  assert.deepEqual(last.boundary, ["conv5_block2_out"]);
  assert.deepEqual(cutAtLayers(graph, [INPUT_LAYER]).before.map(({ name }) => name), [INPUT_LAYER]);
});

Deno.test("a layer that is misspelt, or has no places, is refused with one that would do", () => {
  const model = smallModel();
  for (const layer of ["conv9", "head_pool"]) {
    const refused = { name: "ConfigError", message: RegExp(layer), remedy: /top_activation/ };
    assert.throws(() => createExplainer(model, { layer }), refused);
  }
  disposeModel(model);
});

function withoutNumbers(): Model {
  const model = redOrBlue();
  model.weights.get("predictions/kernel")!.dispose();
  model.weights.set("predictions/kernel", tf.tensor([NaN, 1, 1, 1], [2, 2]));
  return model;
}

test("a model whose weights are no numbers is refused", async (explainer) => {
  await assert.rejects(explainer.explain(painted(RED), () => 0), ModelError);
  await assert.rejects(occlusionMap(explainer, painted(RED), 0), ModelError);
}, withoutNumbers());

Deno.test("shuffleWeights() changes the last layers alone, keeps their values and is repeatable", async () => {
  const model = smallModel();
  const [random, again] = [await shuffleWeights(model, 1, 4), await shuffleWeights(model, 1, 4)];
  for (const [name, weight] of model.weights) {
    const other = random.model.weights.get(name)!;
    assert.equal(other === weight, !name.startsWith("predictions/"), name);
  }
  const name = "predictions/kernel";
  const [before, after, same] = [model, random.model, again.model]
    .map(({ weights }) => [...weights.get(name)!.dataSync()]);
  assert.notDeepEqual(after, before);
  assert.deepEqual(after, same);
  assert.deepEqual(after!.toSorted(), before!.toSorted());
  random.dispose();
  again.dispose();
  disposeModel(model);
});

const evidence = fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 }))
  .chain(([height, width]) => {
    const length = height * width;
    const value = fc.float({ noNaN: true, noDefaultInfinity: true });
    const values = fc.array(value, { minLength: length, maxLength: length });
    return fc.record({ height: fc.constant(height), width: fc.constant(width), values });
  });

Deno.test("toHeatMap() reaches from 0 to 1, or is 0 everywhere and says so", () => {
  fc.assert(fc.property(evidence, ({ height, width, values }) => {
    const map = toHeatMap(Float32Array.from(values), { height, width });
    assert.ok(map.values.every((value) => value >= 0 && value <= 1));
    assert.equal(Math.max(...map.values), map.isZero ? 0 : 1);
    assert.equal(map.isZero, !values.some((value) => value > 0));
    // what is larger stays so, and what speaks against the class is 0
    assert.ok(values.every((value, i) => value > 0 || map.values[i] === 0));
  }));
});

Deno.test("resizeMap() is TensorFlow's bilinear resize, and stays within the map's own range", () => {
  fc.assert(
    fc.property(evidence, fc.integer({ min: 1, max: 40 }), (drawn, extent) => {
      const map = toHeatMap(Float32Array.from(drawn.values), drawn);
      const [height, width] = [map.height + extent, map.width + 2 * extent];
      const ours = resizeMap(map, height, width);
      const theirs = tf.tidy(() => {
        const image = tf.tensor4d(map.values, [1, map.height, map.width, 1]);
        return tf.image.resizeBilinear(image, [height, width], false, true).dataSync();
      });
      assert.equal(ours.length, theirs.length);
      ours.forEach((value, i) => assert.ok(Math.abs(value - theirs[i]!) < 1e-5));
      const [least, most] = [Math.min(...map.values), Math.max(...map.values)];
      assert.ok(ours.every((value) => value >= least && value <= most));
    }),
    { numRuns: 50 },
  );
});

for (const attention of ["se", "cbam"] as const) {
  Deno.test(`createExplainer() explains a model with attention ${attention} at the attended map, or below`, async () => {
    const before = tf.memory().numTensors;
    const model = smallModel(undefined, undefined, { attention, imageSize: SIZE });
    const predictor = createPredictor(model);
    const expected = [...await predictor.predict(seenPixels)];
    predictor.dispose();
    const last = { se: "head_attention_channels", cbam: "head_attention_places" }[attention];
    for (const layer of [undefined, "top_activation"]) {
      const explainer = createExplainer(model, { layer });
      assert.deepEqual([explainer.layer, explainer.size], [layer ?? last, { height: 4, width: 4 }]);
      const found = await Promise.all([0, 1].map((c) => explainer.explain(seenPixels, () => c)));
      assertClose(found[0]!.probabilities.flat(), expected);
      assert.ok(found.flatMap(({ maps }) => maps).some(({ isZero }) => !isZero));
      explainer.dispose();
    }
    disposeModel(model);
    assert.equal(tf.memory().numTensors, before);
  });
}

/** The last maps are then 4 × 4. */
const SIZE = 128;

const IMAGES = 3;

/** The last map, layers inside and at the end of blocks, before a BatchNorm and before a ReLU. */
const LAYERS = {
  efficientnet_lite0: [
    "top_activation",
    "block7a_project_bn",
    "block5b_add",
    "block4a_dwconv",
    "block2b_expand_activation",
  ],
  resnet50: ["conv5_block3_out", "conv5_block2_2_conv", "conv5_block1_1_relu", "conv3_block4_out"],
} as const;

const seenPixels = someImages(IMAGES, SIZE, 4);

function randomModel(backbone: Architecture["backbone"]): Model {
  const model = createModel({ backbone, imageSize: SIZE, classes: ["negative", "positive"] }, 3);
  const images = preprocess(someImages(8, SIZE, 2), SIZE, backbones[backbone].preprocessing);
  estimateMoments(model, images);
  images.dispose();
  disturbBatchNorms(model);
  return model;
}

Deno.test("createExplainer() gives Keras' Grad-CAM at any layer, for either class", async () => {
  const names = ["efficientnet_lite0", "resnet50"] as const;
  const cases = names.map((name) =>
    LAYERS[name].map((layer, i) => ({ layer: layer as string, class: i % 2 }))
  );
  const models = names.map(randomModel);
  let answers: number[][][][][] = []; // [model, case, image, height, width]
  await inFolder(async (folder) => {
    const handed = await Promise.all(models.map(async (model, i) => ({
      ...await handOver(folder, model, seenPixels),
      cases: cases[i],
    })));
    const request = { question: "class_activation_maps", models: handed };
    answers = await askKeras(request) as typeof answers;
  });
  let compared = 0;
  for (const [m, model] of models.entries()) {
    for (const [c, { layer, class: label }] of cases[m]!.entries()) {
      const explainer = createExplainer(model, { layer });
      const { maps } = await explainer.explain(seenPixels, () => label);
      maps.forEach((map, i) => {
        const theirs = toHeatMap(Float32Array.from(answers[m]![c]![i]!.flat()), map);
        const r = correlation(map.values, theirs.values);
        assert.equal(map.isZero, theirs.isZero, `${layer} ${i}`);
        if (r === null) return;
        compared += 1;
        assert.ok(r > 0.999, `${layer} ${i}: correlation ${r}`);
      });
      explainer.dispose();
    }
    disposeModel(model);
  }
  assert.ok(compared > 20, `${compared} maps were compared`);
});
