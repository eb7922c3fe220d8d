import assert from "node:assert/strict";
import { join } from "node:path";
import { DataError, ModelError } from "../../lib/core/errors.ts";
import { sha256File } from "../../lib/core/files.ts";
import { type TensorFlow, tf } from "../../lib/core/tensorflow.ts";
import { preprocess } from "../../lib/model/forward.ts";
import {
  backbones,
  disposeModel,
  type Model,
  readTensors,
  writeTensors,
} from "../../lib/model/model.ts";
import { createPredictor } from "../../lib/model/predict.ts";
import { loadModel, loadRunModel, saveModel } from "../../lib/model/saved.ts";
import type { Run } from "../../lib/run/run.ts";
import { writeSplit } from "../../lib/run/split_file.ts";
import { inFolder, put } from "../data/test_images.ts";
import { assertWithin, someImages } from "./ask_keras.ts";
import { testCard } from "./model_card.ts";
import { SMALL, smallModel } from "./small_model.ts";

const PIXELS = someImages(6, SMALL);

const namesIn = async (folder: string) =>
  (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).sort();

async function probabilities(model: Model, pixels = PIXELS): Promise<Float32Array> {
  const predictor = createPredictor(model);
  const values = await predictor.predict(pixels);
  predictor.dispose();
  return values;
}

const SAVED = [
  ["efficientnet_lite0", "none", SMALL],
  ["resnet50", "none", SMALL],
  ["efficientnet_lite0", "se", 70], // a map of 3 × 3
  ["efficientnet_lite0", "cbam", 70],
] as const;

for (const [backbone, attention, imageSize] of SAVED) {
  Deno.test(`saveModel() writes a ${backbone} with attention ${attention} that loadModel() and tf.loadLayersModel() predict the same with`, () =>
    inFolder(async (folder) => {
      const before = tf.memory().numTensors;
      const pixels = someImages(6, imageSize);
      const model = smallModel(["no, 'a'", "<b>"], backbone, { attention, imageSize });
      const expected = await probabilities(model, pixels);
      assert.equal(new Set(expected).size, expected.length, "the images are told apart");
      const draft = testCard(model.architecture);
      const card = await saveModel(folder, model, draft);

      const loaded = await loadModel(folder);
      assert.deepEqual(loaded.card, card);
      assert.deepEqual(loaded.model.architecture, model.architecture);
      assert.deepEqual(await probabilities(loaded.model, pixels), expected);
      for (const [name, tensor] of model.weights) {
        assert.deepEqual(loaded.model.weights.get(name)!.dataSync(), tensor.dataSync(), name);
      }
      disposeModel(loaded.model);
      disposeModel(model);
      assert.equal(tf.memory().numTensors, before);

      const layers = await tf.loadLayersModel(`file://${join(folder, "model.json")}`);
      const images = preprocess(pixels, imageSize, backbones[backbone].preprocessing);
      const theirs = layers.predict(images) as TensorFlow.Tensor;
      assertWithin(1e-5, theirs.dataSync(), expected);
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
    const written = JSON.parse(await Deno.readTextFile(join(folder, "model_card.json")));
    assert.deepEqual(written, first);

    const mine = ["weights-mine.bin", "notes.txt", "checkpoints"];
    for (const path of [...mine.slice(0, 2), "checkpoints/1.bin"]) await put(folder, path, "");
    const bias = model.weights.get("predictions/bias")!;
    model.weights.set("predictions/bias", tf.tensor([1, -1]));
    bias.dispose();
    const second = await saveModel(folder, model, testCard(model.architecture));
    const secondFile = `weights-${second.weights.sha256.slice(0, 12)}.bin`;
    assert.notEqual(secondFile, firstFile);
    const names = ["model.json", "model_card.json", secondFile, ...mine];
    assert.deepEqual(await namesIn(folder), names.sort());
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
    const saved = saveModel(folder, model, testCard(model.architecture));
    await assert.rejects(saved, /predictions\/bias/);
    await isOld();
    // killed when the new weights were in place and model.json was not
    await put(folder, "weights-0123456789ab.bin", "other weights");
    await isOld();
    model.weights.set(name, bias);
    await saveModel(folder, model, testCard(model.architecture));
    assert.equal((await namesIn(folder)).length, 3, "what was left over is gone");
    disposeModel(model);
  }));

/** What a test may spoil of model.json: its only manifest, and the card. */
interface ModelJson {
  weightsManifest: {
    paths: string[];
    weights: { name: string; shape: number[]; dtype: string }[];
  }[];
  userDefinedMetadata: Record<string, Record<string, unknown>>;
}

/** Runs with a saved model, its model.json, and the path of its weights. */
function withModel(
  test: (folder: string, json: ModelJson, weights: string) => Promise<void>,
): () => Promise<void> {
  return () =>
    inFolder(async (root) => {
      const folder = join(root, "model");
      const model = smallModel();
      await saveModel(folder, model, testCard(model.architecture));
      disposeModel(model);
      const json: ModelJson = JSON.parse(await Deno.readTextFile(join(folder, "model.json")));
      await test(folder, json, join(folder, json.weightsManifest[0]!.paths[0]!));
    });
}

async function refused(folder: string, reason: RegExp): Promise<void> {
  const before = tf.memory().numTensors;
  await assert.rejects(loadModel(folder), (error: unknown) => {
    assert(error instanceof ModelError, String(error));
    assert.match(error.message, reason);
    assert.ok(error.message.includes(folder), `no folder in ${error.message}`);
    assert.ok(error.message.length < 1000, "short enough to be read");
    return true;
  });
  assert.equal(tf.memory().numTensors, before);
}

async function accepted(folder: string): Promise<void> {
  const { model } = await loadModel(folder);
  disposeModel(model);
}

Deno.test(
  "loadModel() refuses a folder that is missing, empty or without its weights",
  withModel(async (folder, _, weights) => {
    await refused(join(folder, "other"), /There is no model in/);
    await Deno.mkdir(join(folder, "empty"));
    await refused(join(folder, "empty"), /There is no model in/);
    await refused(weights, /There is no model in/); // a file where a folder is expected
    await Deno.remove(weights);
    await refused(folder, /weights-[0-9a-f]{12}\.bin cannot be read/);
    await Deno.mkdir(weights);
    await refused(folder, /weights-[0-9a-f]{12}\.bin has \d+ bytes where/);
  }),
);

Deno.test(
  "loadModel() refuses weights that are truncated, longer or flipped in one bit",
  withModel(async (folder, _, weights) => {
    const { size } = await Deno.stat(weights);
    const bytes = await Deno.readFile(weights);
    await Deno.truncate(weights, size - 4);
    await refused(folder, new RegExp(`has ${size - 4} bytes where ${size} were written`));
    await Deno.truncate(weights, 0);
    await refused(folder, /has 0 bytes/);
    await Deno.writeFile(weights, new Uint8Array([...new Uint8Array(4)]), { append: true });
    await refused(folder, /has 4 bytes/);
    for (const at of [0, size >> 1, size - 1]) {
      const spoilt = bytes.slice();
      spoilt[at]! ^= 1;
      await Deno.writeFile(weights, spoilt);
      await refused(folder, /is damaged: its content is not what was written/);
    }
    await Deno.writeFile(weights, bytes);
    await accepted(folder);
  }),
);

Deno.test(
  "loadModel() refuses a model.json that is damaged, huge or of another version",
  withModel(async (folder, json) => {
    const path = join(folder, "model.json");
    const whole = JSON.stringify(json);
    for (
      const [text, reason] of [
        [whole.slice(0, 1000), /is damaged: it is not JSON/],
        ["", /is damaged: it is not JSON/],
        ["{}", /not written by this version of the project \(weightsManifest/],
        ["[]", /not written by this version/],
        [`{"a":"${"x".repeat(6e6)}"}`, /is far too large for a model/],
      ] as const
    ) {
      await Deno.writeTextFile(path, text);
      await refused(folder, reason);
    }
    for (
      const [part, field, value, place = ""] of [
        ["", "format", 1],
        ["decision", "threshold", "high"],
        ["architecture", "classes", ["a", "../b"], ".1"],
        ["architecture", "imageSize", 1e9],
        ["architecture", "attention", "full"],
        ["data", "groupPattern", "((("],
      ] as const
    ) {
      const copy = structuredClone(json);
      const card = copy.userDefinedMetadata;
      Object.assign(part === "" ? card : card[part]!, { [field]: value });
      await Deno.writeTextFile(path, JSON.stringify(copy));
      const at = ["userDefinedMetadata", part, field].filter((name) => name !== "").join("\\.");
      await refused(folder, new RegExp(`not written by this version.*${at}${place}`));
    }
    await Deno.writeTextFile(path, whole);
    await accepted(folder);
    await Deno.remove(path);
    await Deno.mkdir(path);
    await refused(folder, /is damaged/);
  }),
);

Deno.test(
  "loadModel() refuses a manifest that is not that of the architecture",
  withModel(async (folder, json) => {
    const spoil = async (
      reason: RegExp,
      change: (
        weights: ModelJson["weightsManifest"][0]["weights"],
        card: ModelJson["userDefinedMetadata"],
      ) => void,
    ) => {
      const copy = structuredClone(json);
      change(copy.weightsManifest[0]!.weights, copy.userDefinedMetadata);
      await Deno.writeTextFile(join(folder, "model.json"), JSON.stringify(copy));
      await refused(folder, reason);
    };
    const last = json.weightsManifest[0]!.weights.at(-1)!;
    assert.equal(last.name, "predictions/bias");
    await spoil(/predictions\/bias \[2\] is missing or misshapen/, (weights) => weights.pop());
    await spoil(/it has too many/, (weights) => weights.push({ ...last, name: "extra" }));
    await spoil(/misshapen/, (weights) => weights.at(-1)!.shape = [3]);
    await spoil(/misshapen/, (weights) => weights.at(-1)!.shape = [1e9, 1e9]);
    await spoil(/shape/, (weights) => weights.at(-1)!.shape = [-2]);
    await spoil(/misshapen/, (weights) => weights.at(-1)!.name = "predictions/other");
    await spoil(/misshapen/, (weights) => weights.reverse());
    await spoil(/dtype/, (weights) => weights.at(-1)!.dtype = "string");
    for (
      const [reason, part, change] of [
        [/does not hold the weights of resnet50/, "architecture", { backbone: "resnet50" }],
        [/architecture\.backbone/, "architecture", { backbone: "__proto__" }],
        [/is damaged/, "weights", { sha256: "0".repeat(64) }],
      ] as const
    ) await spoil(reason, (_, card) => Object.assign(card[part]!, change));
  }),
);

Deno.test(
  "loadModel() reads no weights from outside its folder",
  withModel(async (folder, json, weights) => {
    const outside = join(folder, "..", "stolen.bin");
    await Deno.copyFile(weights, outside);
    const outsiders = ["../stolen.bin", "..", "", ".", await Deno.realPath(outside), "stolen.bin"];
    for (const paths of [...outsiders.map((path) => [path]), ["a.bin", "b.bin"], []]) {
      const copy = structuredClone(json);
      copy.weightsManifest[0]!.paths = paths;
      await Deno.writeTextFile(join(folder, "model.json"), JSON.stringify(copy));
      await refused(folder, /weightsManifest\.0\.paths/);
    }
  }),
);

Deno.test("readTensors() gives back every bit that writeTensors() wrote", () =>
  inFolder(async (folder) => {
    const before = tf.memory().numTensors;
    const path = join(folder, "weights.bin");
    const odd = [0, -0, 1e-45, 3.4e38, -1.5, 1 / 3];
    const tensors = new Map([
      ["a/kernel", tf.tensor(odd, [3, 2])],
      ["a/bias", tf.tensor([NaN, Infinity], [2])],
      ["scalar", tf.tensor([7], [1, 1, 1])],
    ]);
    const { entries, sha256 } = await writeTensors(path, tensors);
    assert.deepEqual(entries, [
      { name: "a/kernel", shape: [3, 2], dtype: "float32" },
      { name: "a/bias", shape: [2], dtype: "float32" },
      { name: "scalar", shape: [1, 1, 1], dtype: "float32" },
    ]);
    assert.deepEqual([sha256, (await Deno.stat(path)).size], [await sha256File(path), 4 * 9]);
    const file = new DataView((await Deno.readFile(path)).buffer);
    odd.forEach((value, i) =>
      assert.ok(Object.is(file.getFloat32(4 * i, true), Math.fround(value)))
    );

    const read = await readTensors(path, entries, sha256);
    assert.deepEqual([...read.keys()], [...tensors.keys()]);
    for (const [name, tensor] of tensors) {
      assert.deepEqual(read.get(name)!.shape, tensor.shape);
      assert.deepEqual(read.get(name)!.dataSync(), tensor.dataSync());
    }
    tf.dispose([...tensors.values(), ...read.values()]);
    assert.equal(tf.memory().numTensors, before);
  }));

Deno.test("loadRunModel() refuses a split that the model was not trained on", () =>
  inFolder(async (folder) => {
    const paths = { split: join(folder, "split.csv"), model: folder } as Run["paths"];
    const row = { path: "a/1.png", label: "a", group: "1", sha256: "0".repeat(64) };
    await writeSplit(paths.split, [{ ...row, subset: "train" }]);
    const model = smallModel();
    const card = testCard(model.architecture);
    const data = { ...card.data, splitSha256: await sha256File(paths.split) };
    await saveModel(folder, model, { ...card, data });
    const loaded = await loadRunModel({ paths } as Run);
    assert.deepEqual(loaded.split.map(({ subset }) => subset), ["train"]);
    await writeSplit(paths.split, [{ ...row, subset: "test" }]);
    const before = tf.memory().numTensors;
    await assert.rejects(loadRunModel({ paths } as Run), DataError);
    assert.equal(tf.memory().numTensors, before);
    [model, loaded.model].forEach(disposeModel);
  }));
