import assert from "node:assert/strict";
import { join } from "node:path";
import sharp from "sharp";
import { parseConfig } from "../../lib/core/config.ts";
import { tf } from "../../lib/core/tensorflow.ts";
import { checkMaps, explainImages } from "../../lib/metrics/explain.ts";
import { disposeModel } from "../../lib/model/model.ts";
import { loadModel, saveModel } from "../../lib/model/saved.ts";
import type { ModelCard } from "../../lib/run/model_card.ts";
import type { Prediction } from "../../lib/run/predictions.ts";
import { inProjectCopy, ofConfig } from "../copy_project.ts";
import { inFolder, picture, put } from "../data/test_images.ts";
import { someImages } from "../model/ask_keras.ts";
import { testCard } from "../model/model_card.ts";
import { SMALL, smallModel } from "../model/small_model.ts";

const CLASSES: [string, string] = ["negative", "positive"];

const card: ModelCard = {
  ...testCard({ backbone: "efficientnet_lite0", imageSize: SMALL, classes: CLASSES }),
  weights: { sha256: "0".repeat(64), parameters: 1 },
};

/** More than a batch. */
const COUNT = 10;

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
    const third = someImages(COUNT, SMALL, 6).slice(3 * 3 * SMALL ** 2, 4 * 3 * SMALL ** 2);
    assert.deepEqual(images[3]!.pixels, third);
    assert.deepEqual([images[0]!.map.height, images[0]!.map.width], [8, 8]);
    assert.equal(new Set(images.map(({ explained }) => explained)).size, 2);
    for (const { probabilities: [, positive], predicted, explained } of images) {
      assert.equal(predicted, positive! >= 0.5 ? "positive" : "negative");
      assert.equal(explained, predicted);
    }
    const decision = { ...card.decision, threshold: 0 };
    const classes = paths.map((_, i) => i % 2 === 0 ? "negative" : "positive");
    const options = { layer: "block2b_add", classes };
    const others = await explainImages(model, { ...card, decision }, paths, options);
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
    await assert.rejects(explainImages(model, card, [path]), { name: "ImageError", path });
    const misspelt = { name: "DataError", message: /"positve" .* negative, positive/ };
    await assert.rejects(explainImages(model, card, [path], { classes: ["positve"] }), misspelt);
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
    assert.deepEqual(await explainImages(model, card, paths, early), images);

    const single = await explainImages(model, card, paths);
    const undefinedOnes = await checkMaps(model, card, single, { seed: 1 });
    assert.deepEqual([undefinedOnes.randomHead, undefinedOnes.occlusion], [null, null]);
    assert.equal(undefinedOnes.doubtful, false);
    assert.equal(tf.memory().numTensors, tensors);
    disposeModel(model);
  }));

Deno.test("explainRun() explains the run's own model on the images worth a look, and checks it", () =>
  inProjectCopy(async ({ root, load }) => {
    type Explain = typeof import("../../lib/metrics/explain.ts").explainRun;
    const explainRun = await ofConfig<Explain>({ load }, "lib/metrics/explain.ts", "explainRun");
    const model = smallModel(CLASSES);
    await saveModel(join(root, "model/default"), model, testCard(model.architecture));
    disposeModel(model);
    const rows: Prediction[] = [];
    for (const [i, probability] of [0.9, 0.45, 0.1].entries()) {
      const path = `negative/=${i},"x".png`;
      await put(root, `data/${path}`, await picture(i, 40, 40).png().toBuffer());
      const predicted = CLASSES[probability >= 0.5 ? 1 : 0]!;
      const rest = { probability, uncalibrated: probability, group: `${i}` };
      rows.push({ path, label: "negative", predicted, ...rest });
    }
    const predictions = { rows, classes: CLASSES, threshold: 0.5 };
    const config = parseConfig({ data: { classes: CLASSES } });
    const before = tf.memory().numTensors;
    const { groups, check } = await explainRun(config, predictions, { layer: "block3b_add" });
    assert.equal(tf.memory().numTensors, before);
    const shown = groups.map(({ examples }) => examples.map((example) => example.probability));
    assert.deepEqual(shown, [[0.9], [0.45, 0.1], [], []]);
    for (const { path, image } of groups.flatMap(({ examples }) => examples)) {
      assert.equal(image.path, join(root, "data", path));
      assert.deepEqual([image.size, image.map.height, image.map.width], [32, 4, 4]);
    }
    assert.equal(check!.images, 3);
    const written = join(root, "results/default/explanation_check.json");
    assert.deepEqual(JSON.parse(await Deno.readTextFile(written)), check);
    const loaded = await loadModel(join(root, "model/default"));
    const early = { layer: "block3b_add", loaded };
    assert.deepEqual((await explainRun(config, predictions, early)).groups, groups);
    assert.deepEqual((await explainRun(config, { ...predictions, rows: [] }, early)).check, null);
    disposeModel(loaded.model);
    assert.equal(tf.memory().numTensors, before);
  }));
