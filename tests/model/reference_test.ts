import fc from "fast-check";
import assert from "node:assert/strict";
import { join } from "node:path";
import sharp, { type Sharp } from "sharp";
import { ProjectError } from "../../lib/core/errors.ts";
import { writeJson } from "../../lib/core/files.ts";
import { createRandom } from "../../lib/core/random.ts";
import { tf } from "../../lib/core/tensorflow.ts";
import { imageTraits } from "../../lib/images/traits.ts";
import { isHeadLayer } from "../../lib/model/architectures.ts";
import { weightSpecs } from "../../lib/model/graph.ts";
import { loadEfficientnetLite0 } from "../../lib/model/imagenet.ts";
import { createModel, disposeModel, inputShape, type Model } from "../../lib/model/model.ts";
import { type Appearance, createPredictor, type Predictor } from "../../lib/model/predict.ts";
import {
  conformalLimit,
  fitReference,
  type Flag,
  readFlagger,
  REFERENCE_FILE,
  usualRange,
} from "../../lib/model/reference.ts";
import { createDraw } from "../../tools/sample_drawing.ts";
import { planSampleSet } from "../../tools/sample_plan.ts";
import { inFolder, picturePixels } from "../data/test_images.ts";
import { areThere, realCrops } from "../real_crops.ts";

const [SIZE, CHANNELS] = [32, 1280];

const card = { weights: { sha256: "a".repeat(64), parameters: 1 } };

const random = createRandom("appearances");

/** A picture of a certain size whose features say nothing. */
function appearance(seed: number, side = 200): Appearance {
  const features = Float32Array.from({ length: CHANNELS }, () => Math.abs(random.normal()));
  const size = { width: side, height: side };
  return { traits: imageTraits(picturePixels(seed, SIZE, SIZE), SIZE, size), features };
}

const train = Array.from({ length: 24 }, (_, i) => appearance(i));

const validation = Array.from({ length: 12 }, (_, i) => appearance(100 + i));

const options = { share: 0.01, weightsSha256: card.weights.sha256 };

const reference = fitReference([{ train, validation }], options)!;

/** A model of the least weight, for its shapes alone. */
const shapes = createModel(
  { backbone: "efficientnet_lite0", imageSize: SIZE, classes: ["a", "b"] },
  1,
  () => false,
);

disposeModel(shapes);

Deno.test("fitReference() says what it rests on, and nothing of too few images", () => {
  assert.deepEqual(reference.images, { train: 24, validation: 12 });
  assert.ok(Math.abs(reference.chance - 2 / 13) < 1e-12); // of twelve the largest, twice
  assert.equal(reference.features.variances.length, 6);
  assert.equal(fitReference([{ train: train.slice(0, 19), validation }], options), null);
  assert.equal(fitReference([{ train, validation: validation.slice(0, 9) }], options), null);
});

Deno.test("readFlagger() reads a reference, for these weights alone", () =>
  inFolder(async (folder) => {
    assert.equal(await readFlagger(folder, shapes, card), null);
    await writeJson(join(folder, REFERENCE_FILE), reference);
    const flagger = (await readFlagger(folder, shapes, card))!;
    const [{ features }] = validation as [Appearance];
    const original = picturePixels(100, SIZE, SIZE);
    const flags = (width: number, height: number) => flagger({ original, features, width, height });
    assert.deepEqual(flags(200, 200), []);
    assert.deepEqual(flags(20, 20), ["unusual_size"]);
    assert.deepEqual(flags(2000, 2000), ["unusual_size"]);
    assert.deepEqual(flags(600, 67), ["unusual_shape"]);
    const broken = { original, features: features.map(() => NaN), width: 200, height: 200 };
    assert.deepEqual(flagger(broken), ["unfamiliar"]);
    const others = { weights: { ...card.weights, sha256: "b".repeat(64) } };
    assert.equal(await readFlagger(folder, shapes, others), null);
  }));

Deno.test("readFlagger() refuses a file that was tampered with, before it makes room for anything", () =>
  inFolder(async (folder) => {
    const path = join(folder, REFERENCE_FILE);
    const refused = async (pattern: RegExp) =>
      await assert.rejects(readFlagger(folder, shapes, card), (error: unknown) => {
        assert(error instanceof ProjectError, String(error));
        assert.match(error.message, pattern);
        assert.match(error.message, /notebook 06/);
        return true;
      });
    for (const [text, pattern] of [["{", /not valid JSON/], ["[]", /this version/]] as const) {
      await Deno.writeTextFile(path, text);
      await refused(pattern);
    }
    const { mean, directions, variances } = reference.features;
    const NaNs = new Uint8Array(2 * CHANNELS).fill(0x7d).toBase64();
    const { blur: _, ...ranges } = reference.traits.ranges;
    for (
      const [part, change, pattern] of [
        ["", { format: 2 }, /this version \(format/],
        ["features", { channels: 1e9 }, /features\.channels/],
        ["features", { channels: 2048 }, /this model's features/],
        ["features", { mean: mean.slice(4) }, /this model's features/],
        ["features", { directions: "!".repeat(directions.length) }, /this model's features/],
        ["features", { mean: NaNs }, /this model's features/],
        ["features", { variances: [...variances, 1] }, /this model's features/],
        ["features", { rest: 0 }, /features\.rest/],
        ["traits", { ranges }, /traits\.ranges/],
        ["traits", { limit: 0 }, /traits\.limit/],
      ] as const
    ) {
      const copy = structuredClone(reference);
      Object.assign(part === "" ? copy : copy[part], change);
      await writeJson(path, copy);
      await refused(pattern);
    }
    await Deno.writeFile(path, new Uint8Array(3_000_000));
    await refused(/too large/);
  }));

Deno.test("usualRange() has a side for each direction, and is not moved by one wild number", () => {
  // of 0 to 100: median 50, 5th 5 and 95th 95; above the median everything doubled
  const values = Array.from({ length: 101 }, (_, i) => i <= 50 ? i : 2 * i - 50);
  const range = usualRange(values, 1);
  assert.equal(range.median, 50);
  assert.ok(Math.abs(range.below - 45 / 1.6449) < 1e-9);
  assert.ok(Math.abs(range.above - 90 / 1.6449) < 1e-9);
  assert.deepEqual(usualRange([...values.slice(0, -1), 1e9], 1), range);
  assert.deepEqual(usualRange([3, 3, 3], 0.5), { median: 3, below: 0.5, above: 0.5 });
});

Deno.test("conformalLimit() takes the number that the share asks for, by hand", () => {
  const values = Array.from({ length: 199 }, (_, i) => 199 - i); // 1 to 199
  // ⌈200 × 0.99⌉ = 198, ⌈200 × 0.995⌉ = 199
  assert.equal(conformalLimit(values, 0.01).limit, 198);
  assert.ok(Math.abs(conformalLimit(values, 0.01).chance - 0.01) < 1e-12);
  assert.equal(conformalLimit(values, 0.005).limit, 199);
  // too few numbers for the share: the largest one, and the chance that it vouches for
  assert.deepEqual(conformalLimit([3, 1, 2], 0.01), { limit: 3, chance: 0.25 });
});

Deno.test("conformalLimit() is exceeded as seldom as it says, whatever the distribution", () => {
  fc.assert(
    fc.property(fc.integer({ min: 5, max: 60 }), fc.integer({ min: 1, max: 30 }), (m, percent) => {
      const random = createRandom(`${m}/${percent}`);
      const heavy = () => Math.exp(3 * random.normal());
      const rounds = 1500;
      let [exceeded, chance] = [0, 0];
      for (let round = 0; round < rounds; round++) {
        const found = conformalLimit(Array.from({ length: m }, heavy), percent / 100);
        chance = found.chance;
        if (heavy() > found.limit) exceeded++;
      }
      const spread = Math.sqrt(chance * (1 - chance) / rounds);
      assert.ok(
        Math.abs(exceeded / rounds - chance) < 5 * spread,
        `${exceeded / rounds}: ${chance}`,
      );
      assert.ok(chance <= Math.max(percent / 100, 1 / (m + 1)) + 1e-9);
    }),
    { numRuns: 12, seed: 3 },
  );
});

/** Side of the pictures that outliers are planted among. */
const SIDE = 96;

/** The network with ImageNet weights, as a training starts with it. */
async function imagenetModel(): Promise<Model> {
  const model = createModel({ ...shapes.architecture, imageSize: SIDE }, 3, isHeadLayer);
  const specs = weightSpecs(model.graph, inputShape(model.architecture))
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
    const reference = fitReference([{
      train: await appearances(predictor, train),
      validation: await appearances(predictor, validation),
    }], options);
    assert.ok(reference !== null);
    const flags: string[][] = [];
    await inFolder(async (folder) => {
      await writeJson(join(folder, REFERENCE_FILE), reference);
      const flag = await readFlagger(folder, model, card);
      const seen = await appearances(predictor, others);
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
    [train, validation, test].map((files) => Promise.all(files.map((file) => see(sharp(file))))),
  );
  const planted = await outliersOf(test[0]!);
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
async function see(image: Sharp): Promise<Picture> {
  const { width, height } = await image.metadata();
  const pixels = await image.flatten({ background: "#ffffff" })
    .resize(SIDE, SIDE, { fit: "fill", kernel: "linear" }).removeAlpha().raw().toBuffer();
  return { pixels: new Uint8Array(pixels), width, height };
}

/** Traits and features of pictures. */
async function appearances(
  predictor: Predictor,
  pictures: readonly Picture[],
): Promise<Appearance[]> {
  const result: Appearance[] = [];
  for (let start = 0; start < pictures.length; start += 16) {
    const batch = pictures.slice(start, start + 16);
    const pixels = Uint8Array.from(batch.flatMap((picture) => [...picture.pixels]));
    const { features } = await predictor.predictWithFeatures(pixels);
    const channels = features.length / batch.length;
    batch.forEach((picture, i) => {
      result.push({
        traits: imageTraits(picture.pixels, SIDE, picture),
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
async function outliersOf(crop: Uint8Array): Promise<Outlier[]> {
  const { width, height } = await sharp(crop).metadata();
  const plain = () => sharp(crop).flatten({ background: "#ffffff" });
  const changed = async (change: (image: Sharp) => Sharp) =>
    await see(sharp(await change(plain()).png().toBuffer()));
  const pixels = (draw: (i: number) => number): Picture => ({
    pixels: Uint8Array.from({ length: SIDE * SIDE * 3 }, (_, i) => draw(i)),
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
      await see(sharp(new TextEncoder().encode(text))),
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
