import assert from "node:assert/strict";
import { join } from "node:path";
import sharp from "sharp";
import { ConfigError, ImageError } from "../../../lib/core/errors.ts";
import { tf } from "../../../lib/core/tensorflow.ts";
import { checkMaps, explainImages } from "../../../lib/metrics/explain.ts";
import { disposeModel } from "../../../lib/model/model.ts";
import type { ModelCard } from "../../../lib/run/model_card.ts";
import { someImages } from "../../model/ask_keras.ts";
import { inFolder } from "../../data/test_images.ts";
import { testCard } from "../../model/model_card.ts";
import { SMALL, smallModel } from "../../model/small_model.ts";

const weights = { sha256: "0".repeat(64), parameters: 1 };

const card: ModelCard = {
  ...testCard({
    backbone: "efficientnet_lite0",
    imageSize: SMALL,
    classes: ["negative", "positive"],
  }),
  weights,
};

const COUNT = 10;

// more than a batch

async function writeImages(folder: string): Promise<string[]> {
  const length = SMALL * SMALL * 3;
  const pixels = someImages(COUNT, SMALL, 6);
  return await Promise.all(Array.from({ length: COUNT }, async (_, i) => {
    const path = join(folder, `${i}.png`);
    const raw = { width: SMALL, height: SMALL, channels: 3 } as const;
    await sharp(pixels.slice(i * length, (i + 1) * length), { raw }).png().toFile(path);
    return path;
  }));
}

Deno.test("explainImages() explains the answer of the card's threshold, or the class asked for", () =>
  inFolder(async (folder) => {
    const paths = await writeImages(folder);
    const model = smallModel();
    const tensors = tf.memory().numTensors;
    const seen: [number, number][] = [];
    const images = await explainImages(model, card, paths, {
      layer: "block2b_add",
      onProgress: (done, total) => seen.push([done, total]),
    });
    assert.deepEqual(images.map(({ path }) => path), paths);
    assert.deepEqual(seen, paths.map((_, i) => [i + 1, COUNT]));
    assert.deepEqual(
      images[3]!.pixels,
      someImages(COUNT, SMALL, 6).slice(3 * 3 * SMALL ** 2, 4 * 3 * SMALL ** 2),
    );
    assert.deepEqual([images[0]!.map.height, images[0]!.map.width], [8, 8]);
    assert.equal(new Set(images.map(({ explained }) => explained)).size, 2);
    for (const { probabilities: [, positive], predicted, explained } of images) {
      assert.equal(predicted, positive! >= 0.5 ? "positive" : "negative");
      assert.equal(explained, predicted);
    }
    const decision = { ...card.decision, threshold: 0 };
    const classes = paths.map((_, i) => i % 2 === 0 ? "negative" : "positive");
    const others = await explainImages(model, { ...card, decision }, paths, {
      layer: "block2b_add",
      classes,
    });
    assert.ok(others.every(({ predicted }) => predicted === "positive"));
    assert.deepEqual(others.map(({ explained }) => explained), classes);
    images.forEach(({ map, explained }, i) => {
      assert.equal(
        map.values.every((value, p) => Math.abs(value - others[i]!.map.values[p]!) < 1e-5),
        explained === classes[i],
        "the map of one class is not that of the other",
      );
    });
    assert.equal(tf.memory().numTensors, tensors);
    disposeModel(model);
  }));

Deno.test("explainImages() names an unreadable image, and a class that the model does not have", () =>
  inFolder(async (folder) => {
    const path = join(folder, "text.png");
    await Deno.writeTextFile(path, "no image");
    const model = smallModel();
    const tensors = tf.memory().numTensors;
    await assert.rejects(
      explainImages(model, card, [path]),
      (error) => error instanceof ImageError && error.path === path,
    );
    await assert.rejects(
      explainImages(model, card, [path], { classes: ["positve"] }),
      (error) => error instanceof ConfigError && /negative, positive/.test(error.remedy),
    );
    assert.deepEqual(await explainImages(model, card, []), []);
    assert.equal(tf.memory().numTensors, tensors);
    disposeModel(model);
  }));

Deno.test("checkMaps() says how far maps depend on the weights, and leaves the model as it was", () =>
  inFolder(async (folder) => {
    const paths = (await writeImages(folder)).slice(0, 3);
    const model = smallModel();
    const tensors = tf.memory().numTensors;
    const early = { layer: "block2b_add" } as const;
    const images = await explainImages(model, card, paths, early);
    const check = await checkMaps(model, card, images, { ...early, seed: 1 });
    assert.equal(check.images, 3);
    for (const value of [check.randomHead, check.randomLastLayers, check.occlusion]) {
      assert.ok(value !== null && Math.abs(value) <= 1);
    }
    assert.ok(check.randomLastLayers! < 0.8, `${check.randomLastLayers}`);
    const highest = Math.max(check.randomHead!, check.randomLastLayers!);
    assert.equal(check.doubtful, highest >= 0.5);
    assert.equal(/do not read them as reasons/.test(check.sentence), check.doubtful);
    assert.match(check.sentence, /Checked on 3 images\. .*randomised: -?\d\.\d\d; /);
    assert.deepEqual(await explainImages(model, card, paths, early), images);

    const single = await explainImages(model, card, paths);
    const undefinedOnes = await checkMaps(model, card, single, { seed: 1 });
    assert.deepEqual([undefinedOnes.randomHead, undefinedOnes.occlusion], [null, null]);
    assert.match(undefinedOnes.sentence, /undefined/);
    assert.equal(undefinedOnes.doubtful, false);
    assert.equal(tf.memory().numTensors, tensors);
    disposeModel(model);
  }));
