import assert from "node:assert/strict";
import { join } from "node:path";
import { decodeImage } from "../../lib/images/decode.ts";
import { type PredictedImage, predictImages, type Predictor } from "../../lib/model/predict.ts";
import { inFolder, picture, put } from "../data/test_images.ts";

const SIZE = 8;

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
    const options = { size: SIZE, resize: "squash" as const, maxMegapixels: 1 };
    const alone = new Map<string, PredictedImage>();
    for (const path of paths) {
      for await (
        const result of predictImages(meanColours(), [path], { ...options, batchSize: 1 })
      ) {
        if ("probabilities" in result) alone.set(path, result);
      }
    }
    assert.equal(alone.size, 7);
    for (const batchSize of [1, 2, 4, 5, 100]) {
      const predictor = meanColours();
      const results = await Array.fromAsync(
        predictImages(predictor, paths, { ...options, batchSize }),
      );
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
    for await (
      const _ of predictImages(meanColours(), paths(), {
        size: SIZE,
        resize: "squash" as const,
        maxMegapixels: 1,
        batchSize: 4,
      })
    ) {
      if (++seen === 10) break;
    }
    assert.ok(asked < 100, `${asked} paths were taken for ${seen} results`);
  }));

Deno.test("predictImages() of no images is nothing, and passes on what is no image's fault", async () => {
  const options = { size: SIZE, resize: "squash" as const, maxMegapixels: 1, batchSize: 4 };
  assert.deepEqual(await Array.fromAsync(predictImages(meanColours(), [], options)), []);
  await inFolder(async (folder) => {
    const paths = await files(folder);
    const failing: Predictor = {
      ...meanColours(),
      predictWithFeatures: () => Promise.reject(new Error("out of memory")),
    };
    await assert.rejects(Array.fromAsync(predictImages(failing, paths, options)), /out of memory/);
  });
});

Deno.test("predictImages() gives the features of what the model sees, and the pixels before stains", () =>
  inFolder(async (folder) => {
    const paths = await files(folder);
    const stain = { method: "reinhard", mean: [-1, 0, 0], deviation: [0.3, 0.05, 0.05] } as const;
    const shape = { size: SIZE, resize: "squash" as const, maxMegapixels: 1, batchSize: 5 };
    for (const options of [shape, { ...shape, stain: { ...stain } }]) {
      let changed = 0;
      for await (const image of predictImages(meanColours(), paths, options as typeof shape)) {
        if ("error" in image) continue;
        const { original, features } = image;
        const { pixels } = await decodeImage(image.path, options as typeof shape);
        assert.deepEqual(features, Float32Array.from(pixels));
        assert.deepEqual(original, (await decodeImage(image.path, shape)).pixels);
        if (pixels.some((value, at) => value !== original[at])) changed++;
      }
      assert.equal(changed > 0, options !== shape);
    }
  }));
