import assert from "node:assert/strict";
import { DEFAULT_HEAD } from "../../lib/core/settings.ts";
import { tf } from "../../lib/core/tensorflow.ts";
import { forward, preprocess } from "../../lib/model/forward.ts";
import { cutGraph, inferShapes, weightSpecs } from "../../lib/model/graph.ts";
import {
  type Architecture,
  backbones,
  createModel,
  disposeModel,
  frozenLayerCount,
  INPUT_LAYER,
  type Model,
} from "../../lib/model/model.ts";
import { createPredictor } from "../../lib/model/predict.ts";
import { createFeatureExtractor } from "../../lib/training/features.ts";
import {
  createTrainable,
  disposeTrainable,
  momentsOf,
  trainStep,
} from "../../lib/training/trainable.ts";
import { askKeras, askKerasAbout, assertWithin, someImages } from "./ask_keras.ts";
import { disturbedModel } from "./small_model.ts";

/** Odd extents on the way down (58, 29, 15, 8, 4, 2), where "same" padding is not symmetric. */
const SIZE = 58;

/**
 * Small steps, because rounding errors grow: Adam divides every gradient by its own size, and what
 * is noise in both programs becomes a full step in either direction.
 */
const [IMAGES, BATCH_SIZE, STEPS, LEARNING_RATE] = [24, 12, 20, 2e-6];

const testModel = (of: Pick<Architecture, "backbone" | "head" | "attention">) =>
  disturbedModel({ ...of, imageSize: SIZE, classes: ["negative", "positive"] }, 7);

for (const [backbone, layers] of [["resnet50", 175], ["efficientnet_lite0", 141]] as const) {
  Deno.test(`${backbone} has Keras' layers in Keras' order, with its shapes and weights`, async () => {
    const expected = await askKeras({ question: "layers", backbone }) as { name: string }[];
    const graph = backbones[backbone].graph();
    const inputs = new Map([[INPUT_LAYER, [224, 224, 3]]]);
    const shapes = inferShapes(graph, inputs);
    const specs = weightSpecs(graph, inputs);
    assert.equal(graph.length, layers);
    assert.deepEqual(
      graph.map(({ name }) => ({
        name,
        shape: [...shapes.get(name)!],
        weights: specs.filter(({ layer }) => layer === name).map(({ shape }) => shape),
      })).slice(1), // Keras numbers its input layers
      expected.filter(({ name }) => backbone === "resnet50" || !/_pad$/.test(name)).slice(1),
    );
  });
}

Deno.test("preprocess() equals keras.applications.resnet50.preprocess_input exactly", async () => {
  const pixels = someImages(2, 32);
  const model = createModel({ backbone: "resnet50", imageSize: 32, classes: ["a", "b"] }, 1);
  const expected = await askKerasAbout(model, pixels, { question: "preprocess" }) as number[];
  const ours = preprocess(pixels, 32, backbones.resnet50.preprocessing);
  assert.deepEqual([...ours.dataSync()], expected);
  ours.dispose();
  disposeModel(model);
});

const HEADS = [
  ["resnet50", DEFAULT_HEAD],
  ["efficientnet_lite0", DEFAULT_HEAD],
  ["efficientnet_lite0", { units: [40, 300, 7], dropout: [0, 0.5, 0.1] }],
  ["efficientnet_lite0", { units: [], dropout: [] }],
  ["efficientnet_lite0", DEFAULT_HEAD, "se"],
  ["efficientnet_lite0", DEFAULT_HEAD, "cbam"],
  ["resnet50", DEFAULT_HEAD, "cbam"],
] as const;

for (const [backbone, { units, dropout }, attention = "none"] of HEADS) {
  Deno.test(`${backbone}, attention ${attention}, head [${units}]: forward() and createPredictor() give Keras' probabilities within 1e-4`, async () => {
    const head = { units: [...units], dropout: [...dropout] };
    const model = testModel({ backbone, head, attention });
    const pixels = someImages(8, SIZE);
    const question = { question: "predict", units, attention };
    const expected = (await askKerasAbout(model, pixels, question) as number[][]).flat();
    const images = preprocess(pixels, SIZE, backbones[backbone].preprocessing);
    const [unfolded] = forward(model.graph, model.weights, new Map([[INPUT_LAYER, images]]), [
      "predictions",
    ]);
    const predictor = createPredictor(model);
    const folded = await predictor.predict(pixels);
    for (const ours of [unfolded!.dataSync(), folded]) assertWithin(1e-4, ours, expected);
    const spread = expected.filter((_, i) => i % 2 === 1);
    assert.ok(Math.max(...spread) - Math.min(...spread) > 1e-3, "the images are told apart");
    predictor.dispose();
    tf.dispose([images, unfolded!]);
    disposeModel(model);
  });
}

const TRAINED = [
  ["resnet50", "none"],
  ["efficientnet_lite0", "none"],
  ["efficientnet_lite0", "se"],
  ["efficientnet_lite0", "cbam"],
] as const;

for (const [backbone, attention] of TRAINED) {
  Deno.test(`${backbone}, attention ${attention}: trainStep() follows Keras' loss within 1e-3 for 20 steps, at every freeze depth and with both BatchNorm policies`, async () => {
    const model = testModel({ backbone, attention });
    const cases = casesOf(backbone);
    const pixels = someImages(IMAGES, SIZE);
    const labels = Int32Array.from({ length: IMAGES }, (_, i) => i % 3 === 0 ? 1 : 0);
    const expected = await askKerasAbout(model, pixels, {
      question: "train_each",
      attention,
      labels: [...labels],
      batchSize: BATCH_SIZE,
      steps: STEPS,
      learningRate: LEARNING_RATE,
      cases,
    }) as { losses: number[]; moving_variance: number[] }[];
    const faults: string[] = [];
    for (const [i, { unfreezeLast, batchNorm }] of cases.entries()) {
      const trained = await train(model, pixels, labels, unfreezeLast, batchNorm);
      const { losses, movingVariance } = trained;
      const difference = largestDifference(losses, expected[i]!.losses);
      const moving = largestDifference(movingVariance, expected[i]!.moving_variance);
      const falls = losses.at(-1)! < losses[0]!;
      if (difference < 1e-3 && moving < 1e-3 && falls) continue;
      faults.push(
        `last ${unfreezeLast} layers, BatchNorm ${batchNorm}: the loss differs by ${difference}, ` +
          `the moving variance by ${moving}; losses ${losses}`,
      );
    }
    disposeModel(model);
    assert.deepEqual(faults, []);
  });
}

for (const attention of ["se", "cbam"] as const) {
  Deno.test(`trainStep() has Keras' gradients of attention ${attention} and of what is below it`, async () => {
    const backbone = "efficientnet_lite0";
    const model = testModel({ backbone, attention });
    const pixels = someImages(BATCH_SIZE, SIZE);
    const labels = Int32Array.from({ length: BATCH_SIZE }, (_, i) => i % 2);
    const names = [...model.weights.keys()].filter((name) => name.startsWith("head_attention_"));
    names.push("top_bn/gamma", "block7a_bn/beta");
    const question = {
      question: "gradients",
      attention,
      unfreezeLast: 30,
      labels: [...labels],
      names,
    };
    const expected = await askKerasAbout(model, pixels, question) as number[][];
    const cut = cutGraph(model.graph, frozenLayerCount(backbone, 30));
    const extractor = createFeatureExtractor(model, cut);
    const part = createTrainable(model, cut, extractor.shapes, "frozen");
    const features = extractor.extract(pixels);
    const options = { learningRate: LEARNING_RATE, classWeights: [], random: null };
    await trainStep(part, { features, labels }, options);
    const moments = momentsOf(part); // after one step, a tenth of the gradient
    for (const [i, name] of names.entries()) {
      const ours = moments.get(`adam_first/${name}`)!.dataSync().map((value) => 10 * value);
      const most = Math.max(...expected[i]!.map(Math.abs));
      assert.ok(most > 1e-7, `${name} has a gradient`);
      const difference = largestDifference(ours, expected[i]!) / most;
      assert.ok(difference < 1e-3, `${name}: ${difference} of the largest`);
    }
    tf.dispose([...features.values(), ...moments.values()]);
    disposeTrainable(part);
    extractor.dispose();
    disposeModel(model);
  });
}

/** Freeze depths and policies: all depths for the default backbone, the default one for others. */
function casesOf(backbone: Architecture["backbone"]) {
  const all = backbones[backbone].graph().length;
  const depths = backbone === "resnet50"
    ? { frozen: [0, 10, 30, 60, all], trained: [30, all] }
    : { frozen: [30], trained: [30] };
  return (["frozen", "trained"] as const).flatMap((batchNorm) =>
    depths[batchNorm].map((unfreezeLast) => ({ unfreezeLast, batchNorm }))
  );
}

/** Trains a copy of the model's last layers and the head, without dropout. */
async function train(
  model: Model,
  pixels: Uint8Array,
  labels: Int32Array,
  unfreezeLast: number,
  batchNorm: "frozen" | "trained",
) {
  const cut = cutGraph(model.graph, frozenLayerCount(model.architecture.backbone, unfreezeLast));
  const extractor = createFeatureExtractor(model, cut);
  const part = createTrainable(model, cut, extractor.shapes, batchNorm);
  const length = SIZE * SIZE * 3;
  const losses: number[] = [];
  for (let step = 0; step < STEPS; step++) {
    const [start, end] = [step * BATCH_SIZE % IMAGES, step * BATCH_SIZE % IMAGES + BATCH_SIZE];
    const features = extractor.extract(pixels.subarray(start * length, end * length));
    const batch = { features, labels: labels.subarray(start, end) };
    const options = { learningRate: LEARNING_RATE, classWeights: [], random: null };
    losses.push((await trainStep(part, batch, options)).loss);
    tf.dispose([...features.values()]);
  }
  const moving = part.weights.get("head_bn_1/moving_variance")!;
  const movingVariance = await moving.data() as Float32Array;
  disposeTrainable(part);
  extractor.dispose();
  return { losses, movingVariance };
}

function largestDifference(ours: ArrayLike<number>, expected: readonly number[]): number {
  return Math.max(...expected.map((value, i) => Math.abs(value - ours[i]!)));
}
