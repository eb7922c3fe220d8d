import assert from "node:assert/strict";
import { join } from "node:path";
import { sha256File } from "../../lib/core/files.ts";
import { type TensorFlow, tf } from "../../lib/core/tensorflow.ts";
import { preprocess } from "../../lib/model/forward.ts";
import { backbones, disposeModel, type Model } from "../../lib/model/model.ts";
import { createPredictor } from "../../lib/model/predict.ts";
import { loadModel, saveModel } from "../../lib/model/saved.ts";
import { inFolder, put } from "../data/test_images.ts";
import { someImages } from "./ask_keras.ts";
import { testCard } from "./model_card.ts";
import { SMALL, smallModel } from "./small_model.ts";

const PIXELS = someImages(6, SMALL);

const namesIn = async (folder: string) =>
  (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).sort();

async function probabilities(model: Model): Promise<Float32Array> {
  const predictor = createPredictor(model);
  const values = await predictor.predict(PIXELS);
  predictor.dispose();
  return values;
}

for (const backbone of ["efficientnet_lite0", "resnet50"] as const) {
  Deno.test(`saveModel() writes a ${backbone} that loadModel() and tf.loadLayersModel() predict the same with`, () =>
    inFolder(async (folder) => {
      const before = tf.memory().numTensors;
      const model = smallModel(["no, 'a'", "<b>"], backbone);
      const expected = await probabilities(model);
      assert.equal(new Set(expected).size, expected.length, "the images are told apart");
      const draft = testCard(model.architecture);
      const card = await saveModel(folder, model, draft);

      const loaded = await loadModel(folder);
      assert.deepEqual(loaded.card, card);
      assert.deepEqual(loaded.model.architecture, model.architecture);
      assert.deepEqual(await probabilities(loaded.model), expected);
      for (const [name, tensor] of model.weights) {
        assert.deepEqual(loaded.model.weights.get(name)!.dataSync(), tensor.dataSync(), name);
      }
      disposeModel(loaded.model);
      disposeModel(model);
      assert.equal(tf.memory().numTensors, before);

      const layers = await tf.loadLayersModel(`file://${join(folder, "model.json")}`);
      const images = preprocess(PIXELS, SMALL, backbones[backbone].preprocessing);
      const theirs = layers.predict(images) as TensorFlow.Tensor;
      theirs.dataSync().forEach((value, i) => {
        assert.ok(Math.abs(value - expected[i]!) < 1e-5, `${value} and ${expected[i]}`);
      });
      tf.dispose([images, theirs]);
      layers.dispose();
    }));
}

Deno.test("saveModel() leaves the model, its card and its weights by their hash, and no older ones", () =>
  inFolder(async (folder) => {
    const model = smallModel();
    const first = await saveModel(folder, model, testCard(model.architecture));
    const firstFile = `weights-${first.weights.sha256.slice(0, 12)}.bin`;
    assert.deepEqual(await namesIn(folder), ["model.json", "model_card.json", firstFile].sort());
    assert.equal(await sha256File(join(folder, firstFile)), first.weights.sha256);
    const { size } = await Deno.stat(join(folder, firstFile));
    assert.equal(size, 4 * first.weights.parameters);
    assert.deepEqual(
      JSON.parse(await Deno.readTextFile(join(folder, "model_card.json"))),
      first,
    );

    const mine = ["weights-mine.bin", "notes.txt", "checkpoints"];
    await put(folder, "weights-mine.bin", "");
    await put(folder, "notes.txt", "");
    await put(folder, "checkpoints/weights-0001.bin", "");
    const bias = model.weights.get("predictions/bias")!;
    model.weights.set("predictions/bias", tf.tensor([1, -1]));
    bias.dispose();
    const second = await saveModel(folder, model, testCard(model.architecture));
    const secondFile = `weights-${second.weights.sha256.slice(0, 12)}.bin`;
    assert.notEqual(secondFile, firstFile);
    assert.deepEqual(
      await namesIn(folder),
      ["model.json", "model_card.json", secondFile, ...mine].sort(),
    );
    await saveModel(folder, model, testCard(model.architecture)); // the same once more
    const { model: loaded, card } = await loadModel(folder);
    assert.deepEqual(card, second);
    disposeModel(loaded);
    disposeModel(model);
  }));

Deno.test("saveModel() leaves the old model whole when it is interrupted", () =>
  inFolder(async (folder) => {
    const model = smallModel();
    const old = await saveModel(folder, model, testCard(model.architecture));
    const isOld = async () => {
      const { model: loaded, card } = await loadModel(folder);
      disposeModel(loaded);
      assert.deepEqual(card, old);
    };
    const [name, bias] = ["predictions/bias", model.weights.get("predictions/bias")!];
    model.weights.delete(name); // the last weight: all others are on disk when it fails
    await assert.rejects(
      saveModel(folder, model, testCard(model.architecture)),
      /predictions\/bias/,
    );
    await isOld();
    // killed when the new weights were in place and model.json was not
    await put(folder, "weights-0123456789ab.bin", "other weights");
    await isOld();
    model.weights.set(name, bias);
    await saveModel(folder, model, testCard(model.architecture));
    assert.equal((await namesIn(folder)).length, 3, "what was left over is gone");
    disposeModel(model);
  }));
