import assert from "node:assert/strict";
import { join } from "node:path";
import { tf } from "../../lib/core/tensorflow.ts";
import { SYMMETRIES } from "../../lib/data/look.ts";
import { applySymmetry } from "../../lib/images/augment.ts";
import { decodeImage } from "../../lib/images/decode.ts";
import { FEATURE_LAYER } from "../../lib/model/architectures.ts";
import { forward, preprocess } from "../../lib/model/forward.ts";
import { backbones, disposeModel, INPUT_LAYER } from "../../lib/model/model.ts";
import {
  averageSymmetries,
  createPredictor,
  type PredictedImage,
  predictImages,
  type Predictor,
} from "../../lib/model/predict.ts";
import { inFolder, picture, put } from "../data/test_images.ts";
import { assertWithin, someImages } from "./ask_keras.ts";
import { SMALL, smallModel } from "./small_model.ts";

const SIZE = 8;

const OPTIONS = { size: SIZE, resize: "squash" as const, maxMegapixels: 1, batchSize: 4 };

/** Gives the mean red and green of each image, its pixels as features, and the sizes of the batches. */
function meanColours(): Predictor & { batches: number[] } {
  const batches: number[] = [];
  const predict = (pixels: Uint8Array) => {
    const n = pixels.length / (SIZE * SIZE * 3);
    batches.push(n);
    const means = Array.from({ length: 2 * n }, (_, i) => {
      const image = pixels.subarray((i >> 1) * SIZE * SIZE * 3, ((i >> 1) + 1) * SIZE * SIZE * 3);
      const channel = image.filter((_, p) => p % 3 === i % 2);
      return channel.reduce((sum, value) => sum + value, 0) / channel.length;
    });
    return Promise.resolve(Float32Array.from(means));
  };
  return {
    batches,
    predict,
    predictWithFeatures: async (pixels) => ({
      probabilities: await predict(pixels),
      features: Float32Array.from(pixels),
      members: [],
    }),
    dispose: () => {},
  };
}

/** Twelve files: 4, 5, 6, 7 and 11 are no images. */
async function files(folder: string): Promise<string[]> {
  const names: string[] = [];
  for (let i = 0; i < 12; i++) {
    const bad = [4, 5, 6, 7, 11].includes(i);
    const bytes = bad ? "no image" : await picture(i, 20 + i, 16).png().toBuffer();
    await put(folder, `${i}.png`, bytes);
    names.push(join(folder, `${i}.png`));
  }
  return names;
}

Deno.test("predictImages() gives a result a path, in order, whatever is unreadable between", () =>
  inFolder(async (folder) => {
    const paths = [...await files(folder), join(folder, "missing.png")];
    const alone = new Map<string, PredictedImage>();
    for (const path of paths) {
      const options = { ...OPTIONS, batchSize: 1 };
      for await (const result of predictImages(meanColours(), [path], options)) {
        if ("probabilities" in result) alone.set(path, result);
      }
    }
    assert.equal(alone.size, 7);
    for (const batchSize of [1, 2, 4, 5, 100]) {
      const predictor = meanColours();
      const options = { ...OPTIONS, batchSize };
      const results = await Array.fromAsync(predictImages(predictor, paths, options));
      assert.deepEqual(results.map(({ path }) => path), paths);
      for (const [index, result] of results.entries()) {
        if ("error" in result) {
          assert.ok([4, 5, 6, 7, 11, 12].includes(index));
          assert.equal(result.error.path, result.path);
          assert.match(result.error.reason, index === 12 ? /not there/ : /text file/);
        } else {
          assert.deepEqual(result, alone.get(result.path));
          assert.deepEqual([result.width, result.height], [20 + index, 16]);
        }
      }
      assert.ok(Math.max(...predictor.batches) <= batchSize && !predictor.batches.includes(0));
      assert.equal(predictor.batches.reduce((sum, n) => sum + n, 0), 7);
    }
  }));

Deno.test("predictImages() reads only a few batches ahead of its consumer", () =>
  inFolder(async (folder) => {
    await put(folder, "a.png", await picture(1, 20, 20).png().toBuffer());
    let asked = 0;
    const paths = function* () {
      for (; asked < 10_000; asked++) yield join(folder, "a.png");
    };
    let seen = 0;
    for await (const _ of predictImages(meanColours(), paths(), OPTIONS)) {
      if (++seen === 10) break;
    }
    assert.ok(asked < 100, `${asked} paths were taken for ${seen} results`);
  }));

Deno.test("predictImages() of no images is nothing, and passes on what is no image's fault", async () => {
  assert.deepEqual(await Array.fromAsync(predictImages(meanColours(), [], OPTIONS)), []);
  await inFolder(async (folder) => {
    const paths = await files(folder);
    const predictWithFeatures = () => Promise.reject(new Error("out of memory"));
    const failing: Predictor = { ...meanColours(), predictWithFeatures };
    await assert.rejects(Array.fromAsync(predictImages(failing, paths, OPTIONS)), /out of memory/);
  });
});

Deno.test("predictImages() gives the features of what the model sees, and the pixels before stains", () =>
  inFolder(async (folder) => {
    const paths = await files(folder);
    const stain = {
      method: "reinhard" as const,
      mean: [-1, 0, 0] as [number, number, number],
      deviation: [0.3, 0.05, 0.05] as [number, number, number],
    };
    for (const options of [OPTIONS, { ...OPTIONS, stain }]) {
      let changed = 0;
      for await (const image of predictImages(meanColours(), paths, options)) {
        if ("error" in image) continue;
        const { original, features } = image;
        const { pixels } = await decodeImage(image.path, options);
        assert.deepEqual(features, Float32Array.from(pixels));
        assert.deepEqual(original, (await decodeImage(image.path, OPTIONS)).pixels);
        if (pixels.some((value, at) => value !== original[at])) changed++;
      }
      assert.equal(changed > 0, options !== OPTIONS);
    }
  }));

const LENGTH = SMALL * SMALL * 3;

function turnedAll(pixels: Uint8Array, symmetry: number): Uint8Array {
  const result = new Uint8Array(pixels.length);
  for (let at = 0; at < pixels.length; at += LENGTH) {
    result.set(applySymmetry(pixels.subarray(at, at + LENGTH), SMALL, symmetry), at);
  }
  return result;
}

Deno.test("createPredictor() gives the head's input as features, with the same probabilities", async () => {
  const model = smallModel();
  const before = tf.memory().numTensors;
  const pixels = someImages(3, SMALL, 1);
  const predictor = createPredictor(model);
  const { probabilities, features } = await predictor.predictWithFeatures(pixels);
  assert.deepEqual(probabilities, await predictor.predict(pixels));
  predictor.dispose();
  const expected = tf.tidy(() => {
    const { preprocessing } = backbones[model.architecture.backbone];
    const inputs = new Map([[INPUT_LAYER, preprocess(pixels, SMALL, preprocessing)]]);
    return forward(model.graph, model.weights, inputs, [FEATURE_LAYER])[0]!.dataSync();
  });
  assert.equal(features.length, 3 * 1280);
  assertWithin(1e-4, features, expected);
  assert.equal(tf.memory().numTensors, before);
  disposeModel(model);
});

Deno.test("createPredictor() that consumes its model answers the same from as many weights as are needed", async () => {
  const before = tf.memory().numTensors;
  const [kept, consumed] = [smallModel(), smallModel()];
  const pixels = someImages(3, SMALL, 1);
  const expected = createPredictor(kept);
  const predictor = createPredictor(consumed, undefined, { consume: true });
  const spared = [...kept.weights.keys()].filter((name) => !consumed.weights.has(name));
  assert.ok(spared.some((name) => name.endsWith("/kernel")) && spared.length > 100);
  assert.ok(consumed.weights.has("predictions/kernel"), "which nothing replaces");
  assert.deepEqual(await predictor.predict(pixels), await expected.predict(pixels));
  predictor.dispose();
  expected.dispose();
  disposeModel(kept);
  disposeModel(consumed);
  assert.equal(tf.memory().numTensors, before);
});

Deno.test("averageSymmetries() gives the mean over the eight copies, by hand", async () => {
  const seen: number[] = [];
  /** Answers with the top left red value of each image, as a share of 255. */
  const corner: Predictor = {
    predict: (pixels) => {
      const n = pixels.length / 12;
      const p = Array.from({ length: n }, (_, i) => pixels[12 * i]! / 255);
      seen.push(...p);
      return Promise.resolve(Float32Array.from(p.flatMap((value) => [1 - value, value])));
    },
    predictWithFeatures: async (pixels) => ({
      probabilities: await corner.predict(pixels),
      features: Float32Array.of(pixels[0]!),
      members: [],
    }),
    dispose: () => void seen.push(-1),
  };
  const averaged = averageSymmetries(corner, 2);
  // two images of 2 × 2 pixels, of which each is at the top left twice
  const pixels = Uint8Array.from(
    [[0, 51, 102, 255], [255, 255, 0, 0]].flat().flatMap((value) => [value, 7, 7]),
  );
  const result = await averaged.predict(pixels);
  assertWithin(1e-6, result, [0.6, 0.4, 0.5, 0.5]);
  assert.equal(seen.length, 16);
  const { probabilities, features } = await averaged.predictWithFeatures(pixels);
  assert.deepEqual(probabilities, result);
  assert.deepEqual(features, Float32Array.of(0)); // of the image as it is
  averaged.dispose();
  assert.equal(seen.at(-1), -1);
});

Deno.test("averageSymmetries() answers the same for every symmetry of an image, as a network does not", async () => {
  const model = smallModel();
  const before = tf.memory().numTensors;
  const plain = createPredictor(model);
  const averaged = averageSymmetries(plain, SMALL);
  const pixels = someImages(4, SMALL, 2);
  const own = await plain.predict(pixels);
  const expected = await averaged.predict(pixels);
  let moved = 0;
  for (let symmetry = 1; symmetry < SYMMETRIES.length; symmetry++) {
    const turned = turnedAll(pixels, symmetry);
    assertWithin(1e-5, await averaged.predict(turned), expected);
    const values = await plain.predict(turned);
    moved = Math.max(moved, ...values.map((value, i) => Math.abs(value - own[i]!)));
  }
  assert.ok(moved > 1e-3, `without it a turn changes a probability by ${moved} at most`);
  for (let i = 0; i < expected.length; i += 2) {
    assert.ok(Math.abs(expected[i]! + expected[i + 1]! - 1) < 1e-5);
  }
  averaged.dispose();
  assert.equal(tf.memory().numTensors, before);
  disposeModel(model);
});
