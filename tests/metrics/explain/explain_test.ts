import assert from "node:assert/strict";
import { ConfigError, ModelError } from "../../../lib/core/errors.ts";
import { tf } from "../../../lib/core/tensorflow.ts";
import { shuffleWeights } from "../../../lib/metrics/explain.ts";
import { createExplainer, cutAtLayer, occlusionMap } from "../../../lib/metrics/grad_cam.ts";
import { resnet50 } from "../../../lib/model/architectures.ts";
import { disposeModel, INPUT_LAYER } from "../../../lib/model/model.ts";
import { smallModel } from "../../model/small_model.ts";
import { AS_THEY_ARE, painted, redOrBlue, SIDE } from "./toy_model.ts";

const RED = { at: [2, 3, 4, 5], colour: [255, 0, 0] } as const;

const PALE_RED = { at: [8, 1, 3, 3], colour: [51, 0, 0] } as const;

const BLUE = { at: [9, 8, 4, 4], colour: [0, 0, 255] } as const;

/** What every place of the toy's image should have. */
function expected(of: (x: { red: number; blue: number }) => number, pixels: Uint8Array): number[] {
  return Array.from(
    { length: SIDE * SIDE },
    (_, p) => of({ red: pixels[3 * p]! / 255, blue: pixels[3 * p + 2]! / 255 }),
  );
}

function assertClose(ours: ArrayLike<number>, theirs: readonly number[]): void {
  assert.equal(ours.length, theirs.length);
  theirs.forEach((value, i) => assert.ok(Math.abs(value - ours[i]!) < 1e-6, `place ${i}`));
}

Deno.test("a Grad-CAM map is what was worked out on paper, of each image's own class", async () => {
  const model = redOrBlue();
  const explainer = createExplainer(model, { layer: "map", preprocessing: AS_THEY_ARE });
  const pixels = painted(RED, PALE_RED, BLUE);
  const both = new Uint8Array([...pixels, ...pixels]);
  const { maps, classes, probabilities } = await explainer.explain(
    both,
    "grad_cam",
    (_, row) => row === 0 ? 1 : 0,
  );
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
  explainer.dispose();
  disposeModel(model);
});

Deno.test("a Grad-CAM++ map leaves out the channels that speak against the class", async () => {
  const model = redOrBlue();
  const explainer = createExplainer(model, { preprocessing: AS_THEY_ARE });
  const pixels = painted(RED, PALE_RED, BLUE);
  const { maps } = await explainer.explain(pixels, "grad_cam_plus_plus", () => 1);
  assertClose(maps[0]!.values, expected(({ red }) => red, pixels));
  explainer.dispose();
  disposeModel(model);
});

Deno.test("an occlusion map is highest where the class's colour is, and 0 where there is none", async () => {
  const model = redOrBlue();
  const explainer = createExplainer(model, { preprocessing: AS_THEY_ARE });
  const pixels = painted({ at: [0, 0, 4, 4], colour: [255, 0, 0] }); // two places wide
  const { values, height, width } = await occlusionMap(explainer, pixels, 1);
  assert.deepEqual([height, width], [7, 7]);
  const at = (row: number, column: number) => values[row * 7 + column]!;
  // squares are 4 pixels wide, from half a place (1 pixel) before theirs to half a place behind it
  assert.equal(Math.max(...values), 1);
  assert.ok([at(0, 0), at(0, 1), at(1, 0), at(1, 1)].every((value) => value > 0.4));
  const far = [...values].filter((_, i) => Math.floor(i / 7) > 2 || i % 7 > 2);
  assert.ok(far.every((value) => value === 0), "covering black with dark red is no fall");
  explainer.dispose();
  disposeModel(model);
});

Deno.test("images of one colour and maps of one place give 0 or 1, and nothing else", async () => {
  const model = smallModel(); // its last map is 1 × 1
  const explainer = createExplainer(model);
  assert.deepEqual([explainer.layer, explainer.size], ["top_activation", { height: 1, width: 1 }]);
  const early = createExplainer(model, { layer: "block2b_add" });
  for (const grey of [0, 128, 255]) {
    const pixels = new Uint8Array(32 * 32 * 3).fill(grey);
    for (const method of ["grad_cam", "grad_cam_plus_plus"] as const) {
      for (const label of [0, 1]) {
        const { maps: [map] } = await explainer.explain(pixels, method, () => label);
        assert.deepEqual([...map!.values], [map!.isZero ? 0 : 1]);
        const { maps: [other] } = await early.explain(pixels, method, () => label);
        assert.ok(other!.values.every((value) => value >= 0 && value <= 1));
      }
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
  for (const method of ["grad_cam", "grad_cam_plus_plus"] as const) {
    await explainer.explain(pixels, method, () => 1);
  }
  await occlusionMap(explainer, pixels.slice(0, 32 * 32 * 3), 0);
  const random = await shuffleWeights(model, 10, 1);
  random.dispose();
  assert.equal(tf.memory().numTensors, ready);
  explainer.dispose();
  assert.equal(tf.memory().numTensors, own);
  disposeModel(model);
  assert.equal(tf.memory().numTensors, before);
});

Deno.test("cutAtLayer() puts what passes a layer by on the boundary, and loses no layer", () => {
  const graph = resnet50();
  const inside = cutAtLayer(graph, "conv5_block1_1_relu");
  assert.deepEqual(inside.boundary, ["conv5_block1_1_relu", "conv5_block1_0_bn"]);
  assert.equal(inside.before.length + inside.after.length, graph.length + 2);
  const last = cutAtLayer(graph, "conv5_block2_out");
  assert.deepEqual(last.boundary, ["conv5_block2_out"]);
  assert.deepEqual(cutAtLayer(graph, INPUT_LAYER).before.map(({ name }) => name), [INPUT_LAYER]);
});

Deno.test("a layer that is misspelt, or has no places, is refused with one that would do", () => {
  const model = smallModel();
  for (
    const [layer, message] of [["conv9", /no layer "conv9"/], [
      "head_pool",
      /head_pool has no/,
    ]] as const
  ) {
    assert.throws(
      () => createExplainer(model, { layer }),
      (error) =>
        error instanceof ConfigError && message.test(error.message) &&
        /top_activation/.test(error.remedy),
    );
  }
  disposeModel(model);
});

Deno.test("a model whose weights are no numbers is refused", async () => {
  const model = redOrBlue();
  model.weights.get("predictions/kernel")!.dispose();
  model.weights.set("predictions/kernel", tf.tensor([NaN, 1, 1, 1], [2, 2]));
  const explainer = createExplainer(model, { preprocessing: AS_THEY_ARE });
  const pixels = painted(RED);
  await assert.rejects(explainer.explain(pixels, "grad_cam", () => 0), ModelError);
  await assert.rejects(occlusionMap(explainer, pixels, 0), ModelError);
  explainer.dispose();
  disposeModel(model);
});

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
