import assert from "node:assert/strict";
import { join } from "node:path";
import { ModelError } from "../../lib/core/errors.ts";
import { tf } from "../../lib/core/tensorflow.ts";
import { disposeModel } from "../../lib/model/model.ts";
import { loadModel, saveModel } from "../../lib/model/saved.ts";
import { inFolder } from "../data/test_images.ts";
import { testCard } from "./model_card.ts";
import { smallModel } from "./small_model.ts";

/** What a test may spoil of model.json. */
interface ModelJson {
  weightsManifest: {
    paths: string[];
    weights: { name: string; shape: number[]; dtype: string }[];
  }[];
  userDefinedMetadata: {
    format: number;
    decision: { threshold: unknown };
    architecture: { backbone: string; imageSize: number; classes: string[] };
    weights: { sha256: string };
    data: { groupPattern: string | null };
  };
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
    const write = (value: unknown) => Deno.writeTextFile(path, JSON.stringify(value));
    const spoil = async (change: (copy: ModelJson) => void) => {
      const copy = structuredClone(json);
      change(copy);
      await write(copy);
    };
    await Deno.truncate(path, 1000);
    await refused(folder, /is damaged: it is not JSON/);
    await Deno.writeTextFile(path, "");
    await refused(folder, /is damaged: it is not JSON/);
    await write({});
    await refused(folder, /not written by this version of the project \(weightsManifest/);
    await write([]);
    await refused(folder, /not written by this version/);
    await spoil((copy) => copy.userDefinedMetadata.format = 1);
    await refused(folder, /not written by this version.*userDefinedMetadata\.format/);
    await spoil((copy) => copy.userDefinedMetadata.decision.threshold = "high");
    await refused(folder, /userDefinedMetadata\.decision\.threshold/);
    await spoil((copy) => copy.userDefinedMetadata.architecture.classes = ["a", "../b"]);
    await refused(folder, /userDefinedMetadata\.architecture\.classes\.1/);
    await spoil((copy) => copy.userDefinedMetadata.architecture.imageSize = 1e9);
    await refused(folder, /userDefinedMetadata\.architecture\.imageSize/);
    await spoil((copy) => copy.userDefinedMetadata.data.groupPattern = "(((");
    await refused(folder, /userDefinedMetadata\.data\.groupPattern/);
    await Deno.writeTextFile(path, `{"a":"${"x".repeat(6e6)}"}`);
    await refused(folder, /is far too large for a model/);
    await spoil(() => {});
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
      change: (weights: ModelJson["weightsManifest"][0]["weights"], copy: ModelJson) => void,
    ) => {
      const copy = structuredClone(json);
      change(copy.weightsManifest[0]!.weights, copy);
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
    await spoil(/does not hold the weights of resnet50/, (_, copy) => {
      copy.userDefinedMetadata.architecture.backbone = "resnet50";
    });
    await spoil(/architecture\.backbone/, (_, copy) => {
      copy.userDefinedMetadata.architecture.backbone = "__proto__";
    });
    await spoil(/is damaged/, (_, copy) => {
      copy.userDefinedMetadata.weights.sha256 = "0".repeat(64);
    });
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
