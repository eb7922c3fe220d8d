import assert from "node:assert/strict";
import { join } from "node:path";
import sharp, { type Sharp } from "sharp";
import { writeJson } from "../../lib/core/files.ts";
import { createRandom } from "../../lib/core/random.ts";
import { tf } from "../../lib/core/tensorflow.ts";
import { imageTraits } from "../../lib/images/traits.ts";
import { isHeadLayer } from "../../lib/model/architectures.ts";
import { weightSpecs } from "../../lib/model/graph.ts";
import {
  type Architecture,
  createModel,
  disposeModel,
  inputShape,
  type Model,
} from "../../lib/model/model.ts";
import { type Appearance, createPredictor, type Predictor } from "../../lib/model/predict.ts";
import { fitReference, type Flag, readFlagger, REFERENCE_FILE } from "../../lib/model/reference.ts";
import { loadEfficientnetLite0 } from "../../lib/model/imagenet.ts";
import { createDraw } from "../../tools/sample_drawing.ts";
import { planSampleSet } from "../../tools/sample_plan.ts";
import { inFolder } from "../data/test_images.ts";
import { areThere, realCrops } from "../real_crops.ts";

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
      await writeJson(join(folder, REFERENCE_FILE), reference);
      const card = { weights: { sha256: SHA256, parameters: 1 } };
      const flag = await readFlagger(folder, model, card);
      const seen = await appearances(predictor, others, SIZE);
      for (const [i, { features }] of seen.entries()) {
        const { pixels: original, width, height } = others[i]!;
        flags.push(flag!({ original, features, width, height }));
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
  const draw = createDraw(7);
  const plan = createRandom("order").shuffle(planSampleSet(7, 96, 0)).slice(0, 48);
  const files = await Promise.all(plan.map((crop, i) => draw({ ...crop, name: `${i}.png` })));
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

/** A picture as a model sees it, and the size of its file. */
interface Picture {
  /** RGB [size, size, 3]. */
  pixels: Uint8Array;
  width: number;
  height: number;
}

/** A kind of image that a model has never been shown; one flag of `expected` at least is right. */
type Outlier = { name: string; picture: Picture; expected: Flag[] };

/** Decodes an image as `decodeImage` does. */
async function see(image: Sharp, size: number): Promise<Picture> {
  const { width, height } = await image.metadata();
  const pixels = await image.flatten({ background: "#ffffff" })
    .resize(size, size, { fit: "fill", kernel: "linear" }).removeAlpha().raw().toBuffer();
  return { pixels: new Uint8Array(pixels), width, height };
}

/** Traits and features of pictures. */
async function appearances(
  predictor: Predictor,
  pictures: readonly Picture[],
  size: number,
): Promise<Appearance[]> {
  const result: Appearance[] = [];
  for (let start = 0; start < pictures.length; start += 16) {
    const batch = pictures.slice(start, start + 16);
    const pixels = Uint8Array.from(batch.flatMap((picture) => [...picture.pixels]));
    const { features } = await predictor.predictWithFeatures(pixels);
    const channels = features.length / batch.length;
    batch.forEach((picture, i) => {
      result.push({
        traits: imageTraits(picture.pixels, size, picture),
        features: features.slice(i * channels, (i + 1) * channels),
      });
    });
  }
  return result;
}

/**
 * What can be done to an ordinary crop to make an outlier of it, and pictures of nothing.
 *
 * @param crop At its own size.
 */
async function outliersOf(crop: Uint8Array, size: number): Promise<Outlier[]> {
  const { width, height } = await sharp(crop).metadata();
  const plain = () => sharp(crop).flatten({ background: "#ffffff" });
  const changed = async (change: (image: Sharp) => Sharp) =>
    await see(sharp(await change(plain()).png().toBuffer()), size);
  const pixels = (draw: (i: number) => number): Picture => ({
    pixels: Uint8Array.from({ length: size * size * 3 }, (_, i) => draw(i)),
    width,
    height,
  });
  const random = createRandom("outliers");
  const text = `<svg xmlns="http://www.w3.org/2000/svg" width="400" height="400">` +
    `<rect width="400" height="400" fill="white"/>${
      Array.from({ length: 20 }, (_, i) =>
        `<text x="5" y="${20 * i + 16}" font-size="16">Report ${i}: kidney, biopsy</text>`).join("")
    }</svg>`;
  const strip = { left: 0, top: 0, width, height: Math.round(height / 5) };
  const blue: Parameters<Sharp["recomb"]>[0] = [[0, 0, 1], [0.5, 0, 0.5], [1, 0, 0]];
  const kinds: [string, Picture | ((image: Sharp) => Sharp), ...Flag[]][] = [
    ["blurred", (i) => i.blur(5 * width / 224), "blurred", "unfamiliar"],
    ["colours turned by 60°", (i) => i.modulate({ hue: 60 }), "unusual_colour"],
    ["colours turned by 120°", (i) => i.modulate({ hue: 120 }), "unusual_colour"],
    ["colours turned by 240°", (i) => i.modulate({ hue: 240 }), "unusual_colour"],
    ["inverted", (i) => i.negate(), "unusual_colour"],
    ["another stain, blue", (i) => i.recomb(blue), "unusual_colour", "unfamiliar"],
    ["nearly black", (i) => i.linear(0.15, 0), "too_dark", "unusual_colour"],
    ["nearly white", (i) => i.linear(0.1, 228), "too_bright", "unusual_colour"],
    ["tiny", (i) => i.resize(24, 24), "unusual_size"],
    ["a strip", (i) => i.extract(strip), "unusual_shape"],
    ["noise", pixels(() => random.integer(256)), "unfamiliar"],
    ["one colour, that of tissue", pixels((i) => [200, 150, 190][i % 3]!), "blurred"],
    [
      "text",
      await see(sharp(new TextEncoder().encode(text)), size),
      "unusual_colour",
      "unfamiliar",
    ],
  ];
  return await Promise.all(kinds.map(async ([name, what, ...expected]) => ({
    name,
    picture: typeof what === "function" ? await changed(what) : what,
    expected,
  })));
}
