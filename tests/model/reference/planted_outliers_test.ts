import assert from "node:assert/strict";
import { join } from "node:path";
import sharp from "sharp";
import { createRandom } from "../../../lib/core/random.ts";
import { tf } from "../../../lib/core/tensorflow.ts";
import { isHeadLayer } from "../../../lib/model/architectures.ts";
import { weightSpecs } from "../../../lib/model/graph.ts";
import {
  type Architecture,
  createModel,
  disposeModel,
  inputShape,
  type Model,
} from "../../../lib/model/model.ts";
import { fitReference, readFlagger, writeReference } from "../../../lib/model/ordinary.ts";
import { createPredictor } from "../../../lib/model/predict.ts";
import { loadEfficientnetLite0 } from "../../../lib/model/torch_tensors.ts";
import { createNoise, drawCrop, encodeCrop, planSampleSet } from "../../../tools/sample_drawing.ts";
import { inFolder } from "../../data/test_images.ts";
import { areThere, realCrops } from "../../real_crops.ts";
import { appearances, outliersOf, type Picture, see } from "./planted_outliers.ts";

const SIZE = 96;

const SHA256 = "a".repeat(64);

/** The network with ImageNet weights, as a training starts with it. */
async function imagenetModel(): Promise<Model> {
  const architecture: Architecture = {
    backbone: "efficientnet_lite0",
    imageSize: SIZE,
    classes: ["negative", "positive"],
  };
  const model = createModel(architecture, 3, isHeadLayer);
  const specs = weightSpecs(model.graph, inputShape(architecture))
    .filter(({ layer }) => !isHeadLayer(layer));
  const { values } = await loadEfficientnetLite0(specs);
  for (const { name, shape } of specs) {
    model.weights.get(name)!.dispose();
    model.weights.set(name, tf.tensor(values.get(name)!, shape));
  }
  return model;
}

/** Fits a reference, and compares new pictures with it through the file that it is stored in. */
async function flagsOf(
  train: readonly Picture[],
  validation: readonly Picture[],
  others: readonly Picture[],
): Promise<string[][]> {
  const model = await imagenetModel();
  const predictor = createPredictor(model);
  try {
    const reference = fitReference({
      train: await appearances(predictor, train, SIZE),
      validation: await appearances(predictor, validation, SIZE),
    }, { share: 0.01, weightsSha256: SHA256 });
    assert.ok(reference !== null);
    const flags: string[][] = [];
    await inFolder(async (folder) => {
      await writeReference(folder, reference);
      const card = { weights: { sha256: SHA256, parameters: 1 } };
      const flag = await readFlagger(folder, model, card);
      const seen = await appearances(predictor, others, SIZE);
      for (const [i, { features }] of seen.entries()) {
        const { pixels: original, width, height } = others[i]!;
        flags.push(flag!({ original, features, width, height }).flags);
      }
    });
    return flags;
  } finally {
    predictor.dispose();
    disposeModel(model);
  }
}

async function checkOutliers(
  { train, validation, test }: Record<"train" | "validation" | "test", Uint8Array[]>,
): Promise<number> {
  const [a, b, c] = await Promise.all(
    [train, validation, test].map((files) =>
      Promise.all(files.map((file) => see(sharp(file), SIZE)))
    ),
  );
  const planted = await outliersOf(test[0]!, SIZE);
  const pictures = [...c!, ...planted.map(({ picture }) => picture)];
  const flags = await flagsOf(a!, b!, pictures);
  for (const [i, { name, expected }] of planted.entries()) {
    const own = flags[c!.length + i]!;
    assert.ok(expected.some((flag) => own.includes(flag)), `${name}: [${own}], not ${expected}`);
  }
  return flags.slice(0, c!.length).filter((own) => own.length > 0).length;
}

Deno.test("fitReference() of drawn crops flags every kind of planted outlier, each for its reason", async () => {
  const noise = createNoise(createRandom("noise"));
  const plan = createRandom("order").shuffle(planSampleSet(7, 96, 0)).slice(0, 48);
  const files = await Promise.all(
    plan.map(async (crop) =>
      await encodeCrop(
        drawCrop(crop, createRandom(crop.name), noise),
        "x.png",
        createRandom(crop.name),
      )
    ),
  );
  const falseAlarms = await checkOutliers({
    train: files.slice(0, 24),
    validation: files.slice(24, 38),
    test: files.slice(38),
  });
  assert.ok(falseAlarms <= 2, `${falseAlarms} of 10 ordinary crops are flagged`);
});

Deno.test({
  name: "fitReference() of real crops flags planted outliers, and few crops of slides never seen",
  ignore: !areThere,
  fn: async () => {
    const label = join(realCrops, "non_globally_sclerotic_glomeruli");
    const bySlide = Map.groupBy(
      (await Array.fromAsync(Deno.readDir(label))).map(({ name }) => name).sort(),
      (name) => name.replace(/-[^-]+$/, ""),
    );
    const slides = createRandom("slides").shuffle([...bySlide.keys()].sort());
    const read = async (from: number, to: number, most: number) =>
      await Promise.all(
        slides.slice(from, to).flatMap((slide) => bySlide.get(slide)!).slice(0, most)
          .map((name) => Deno.readFile(join(label, name))),
      );
    const test = await read(15, 20, 60);
    const falseAlarms = await checkOutliers({
      train: await read(0, 10, 120),
      validation: await read(10, 15, 60),
      test,
    });
    assert.ok(falseAlarms <= 0.1 * test.length, `${falseAlarms} of ${test.length} are flagged`);
  },
});
