import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { ModelError } from "../../lib/core/errors.ts";
import { sha256File } from "../../lib/core/files.ts";
import { runTool, venvPython } from "../../lib/core/python.ts";
import { tf } from "../../lib/core/tensorflow.ts";
import { saveKeras } from "../../lib/model/keras_files.ts";
import { type Architecture, createModel, disposeModel, type Model } from "../../lib/model/model.ts";
import { createPredictor } from "../../lib/model/predict.ts";
import { saveModel } from "../../lib/model/saved.ts";
import { loadWeights } from "../../lib/model/start.ts";
import { askPython } from "../ask_python.ts";
import { assertWithin, someImages } from "./ask_keras.ts";
import { testCard } from "./model_card.ts";
import { disturbedModel } from "./small_model.ts";

const EXPORTED_SIZE = 64;

const script = join(import.meta.dirname!, "keras_files_oracle.py");

const CASES: Pick<Architecture, "backbone" | "head" | "attention" | "ensemble">[] = [
  { backbone: "resnet50" },
  { backbone: "efficientnet_lite0", head: { units: [40, 300, 7], dropout: [0, 0.5, 0.1] } },
  { backbone: "efficientnet_lite0", head: { units: [], dropout: [] } },
  { backbone: "efficientnet_lite0", attention: "se" },
  { backbone: "efficientnet_lite0", attention: "cbam" },
  {
    backbone: "efficientnet_lite0",
    attention: "cbam",
    ensemble: { members: 3, frozenLayers: 111 },
  },
  { backbone: "efficientnet_lite0", ensemble: { members: 2, frozenLayers: 141 } },
  { backbone: "resnet50", ensemble: { members: 2, frozenLayers: 145 } },
];

for (const { backbone, ...top } of CASES) {
  const { attention, head, ensemble } = top;
  const name = `${backbone} with ${attention ?? `head [${head?.units ?? "by default"}]`}` +
    (ensemble ? ` of ${ensemble.members} members` : "");
  Deno.test(`saveKeras() writes a ${name} that Keras loads and predicts the same with`, async () => {
    const before = tf.memory().numTensors;
    const folder = await Deno.makeTempDir();
    try {
      const shape = { backbone, imageSize: EXPORTED_SIZE, classes: ["no, 'a'", "<b>"] };
      const model = disturbedModel({ ...shape, ...top }, 3);
      const card = await saveModel(folder, model, testCard(model.architecture));
      const path = await saveKeras(folder, model, card);
      const entries = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).sort();
      assert.deepEqual(
        entries.filter((name) => !name.startsWith("weights-")),
        ["model.json", "model.keras", "model_card.json"],
        "nothing else is left",
      );

      const pixels = someImages(4, EXPORTED_SIZE);
      const images = join(folder, "images.bin");
      await Deno.writeFile(images, pixels);
      const resave = join(folder, "from_keras.h5");
      const keras = await askPython(script, { question: "load", path, images, resave }) as {
        probabilities: number[][];
        layers: string[];
        warnings: string[];
        card: unknown;
      };
      assert.deepEqual(keras.warnings, []);
      const isInKeras = ({ name }: { name: string }) => !(ensemble && name === "head_pool");
      assert.deepEqual(
        keras.layers,
        model.graph.filter((layer) => isInKeras(layer) || ensemble!.frozenLayers === 141)
          .map(({ name }) => name),
      );
      assert.deepEqual(keras.card, card);
      const predictor = createPredictor(model, card.preprocessing);
      const ours = await predictor.predict(pixels);
      predictor.dispose();
      const theirs = keras.probabilities.flat();
      assertWithin(1e-4, ours, theirs);
      assert.ok(new Set(theirs).size > 4, "the images are told apart");

      const again = createModel(model.architecture, 4);
      for (const file of [path, resave]) {
        assert.deepEqual(await loadWeights(again, file), {
          kind: "file",
          note: `Keras file ${file}: backbone and head`,
          sha256: await sha256File(file),
        });
        for (const [name, tensor] of model.weights) {
          const [a, b] = [tensor.dataSync(), again.weights.get(name)!.dataSync()];
          assert.ok(a.every((value, i) => value === b[i]), `${name} comes back as it was`);
        }
      }
      [model, again].forEach(disposeModel);
      assert.equal(tf.memory().numTensors, before);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

const SIZE = 32;

const CLASSES = ["negative", "positive"];

const folder = await Deno.makeTempDir();

const pixels = someImages(4, SIZE);

await Deno.writeFile(join(folder, "images.bin"), pixels);

const expected = (await askPython(script, {
  question: "write",
  folder,
  imageSize: SIZE,
  images: join(folder, "images.bin"),
}) as number[][]).flat();

globalThis.addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));

const start = createModel({ backbone: "resnet50", imageSize: SIZE, classes: CLASSES }, 1);

const startWeights = partsOf(start);

const SMALLEST = { backbone: "efficientnet_lite0", imageSize: SIZE, classes: CLASSES } as const;

function freshModel(): Model {
  return {
    ...start,
    weights: new Map([...start.weights].map(([name, tensor]) => [name, tensor.clone()])),
  };
}

/** SHA-256 of the weights of backbone and head. */
function partsOf(model: Model): string[] {
  const hashes = [createHash("sha256"), createHash("sha256")];
  for (const [name, tensor] of [...model.weights].sort(([a], [b]) => a < b ? -1 : 1)) {
    const { buffer, byteOffset, byteLength } = tensor.dataSync() as Float32Array;
    const hash = hashes[/^(head_|predictions)/.test(name) ? 1 : 0]!;
    hash.update(new Uint8Array(buffer, byteOffset, byteLength));
  }
  return hashes.map((hash) => hash.digest("hex"));
}

async function load(file: string): Promise<{ model: Model; note: string }> {
  const model = freshModel();
  const { kind, note, sha256 } = await loadWeights(model, join(folder, file));
  assert.equal(kind, "file");
  assert.match(sha256!, /^[0-9a-f]{64}$/);
  return { model, note };
}

/** Known after the first test, which holds it to what Keras computes with it. */
let recipeBackbone: string | undefined;

Deno.test("loadWeights() takes backbone and head of a whole Keras model, to its probabilities", async () => {
  const { model, note } = await load("recipe.keras");
  assert.match(note, /backbone and head/);
  const predictor = createPredictor(model);
  const ours = await predictor.predict(pixels);
  assertWithin(1e-4, ours, expected);
  [recipeBackbone] = partsOf(model);
  predictor.dispose();
  disposeModel(model);
});

const BACKBONE_FILES = [
  ...["backbone.weights.h5", "no_names.weights.h5", "backbone.h5", "backbone.keras"],
  ...["official.h5", "nested.h5", "nested.keras", "nested_no_names.weights.h5"],
];

for (const file of BACKBONE_FILES) {
  Deno.test(`loadWeights() takes just the backbone of ${file}`, async () => {
    const before = tf.memory().numTensors;
    const { model, note } = await load(file);
    assert.match(note, /head starts at random/);
    assert.deepEqual(partsOf(model), [recipeBackbone, startWeights[1]]);
    disposeModel(model);
    assert.equal(tf.memory().numTensors, before);
  });
}

async function refuses(path: string, message: RegExp): Promise<void> {
  const model = freshModel();
  await assert.rejects(loadWeights(model, path), { name: ModelError.name, message });
  assert.deepEqual(partsOf(model), startWeights, "nothing was loaded");
  disposeModel(model);
}

const inFolder = (name: string) => join(folder, name);

/** Runs a line of Python on a `path`. */
const python = (code: string, path: string) =>
  runTool(venvPython, ["-c", `import h5py, sys, zipfile; path = sys.argv[1]\n${code}`, path]);

Deno.test("loadWeights() refuses other architectures, naming the first mismatch", async () => {
  await refuses(inFolder("resnet101.h5"), /conv4_block\d+_1_conv" is not one of this backbone/);
  await refuses(inFolder("resnet101.weights.h5"), /"conv2d_\d+" is not one of this backbone/);
  await refuses(inFolder("mobilenet.keras"), /"Conv1" is not one of this backbone/);
});

/** A copy of the official file, changed by Python in which `d` names a dataset of the file `f`. */
async function spoil(name: string, code: string): Promise<string> {
  await Deno.copyFile(inFolder("official.h5"), inFolder(name));
  const dataset = "conv2_block1_0_conv/conv2_block1_0_conv/kernel:0";
  await python(
    `f = h5py.File(path, "a"); d = "${dataset}"; v = f[d][()]; del f[d]; ${code}`,
    inFolder(name),
  );
  return inFolder(name);
}

for (
  const [how, code, message] of [
    ["missing", "pass", /kernel is missing/],
    ["misshapen", "f[d] = v[..., :-1]", /kernel is \[1,1,64,255\] where \[1,1,64,256\] is needed/],
    ["double", 'f[d] = v.astype("f8")', /kernel is not stored as 32-bit floats/],
    ["nan", 'v.flat[0] = float("nan"); f[d] = v', /kernel holds values that are no numbers/],
  ] as const
) {
  Deno.test(`loadWeights() refuses a file with a ${how} tensor`, async () => {
    await refuses(await spoil(`${how}.h5`, code), message);
  });
}

Deno.test("loadWeights() refuses what is cut off, no Keras file, or not there", async () => {
  for (const name of ["official.h5", "backbone.keras"]) {
    const path = inFolder(`cut_${name}`);
    await Deno.copyFile(inFolder(name), path);
    await Deno.truncate(path, 5_000_000);
    await refuses(path, /cannot be used: it is cut off/);
  }
  for (const text of ["", "<html>404</html>"]) {
    await Deno.writeTextFile(inFolder("text.h5"), text);
    await refuses(inFolder("text.h5"), /neither an HDF5 file/);
  }
  await refuses("nowhere/at_all.h5", /there is nothing at .*nowhere/);
});

Deno.test("loadWeights() refuses a .keras archive with a damaged or missing weights file", async () => {
  const bytes = await Deno.readFile(inFolder("backbone.keras"));
  bytes[bytes.length >> 1]! ^= 1;
  await Deno.writeFile(inFolder("flipped.keras"), bytes);
  await refuses(inFolder("flipped.keras"), /a file in it is damaged/);
  const hollow = `zipfile.ZipFile(path, "w").writestr("config.json", "{}")`;
  await python(hollow, inFolder("hollow.keras"));
  await refuses(inFolder("hollow.keras"), /no model.weights.h5 inside/);
});

Deno.test("loadWeights() follows no link out of a file, and reads nothing that is far too large", async () => {
  const secret = inFolder("secret.bin");
  await Deno.writeFile(secret, new Uint8Array(4 * 64 * 256));
  await refuses(
    await spoil("linked.h5", `f[d] = h5py.ExternalLink("backbone.h5", d)`),
    /conv2_block1_0_conv\/kernel is missing/,
  );
  const external = `f.create_dataset(d, (1, 1, 64, 256), "<f4", external="${secret}")`;
  await refuses(
    await spoil("external.h5", external),
    /conv2_block1_0_conv\/kernel is kept in another file/,
  );
  await python(
    `z = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED)
with z.open("model.weights.h5", "w") as entry:
    for _ in range(1025): entry.write(bytes(1 << 20))
z.close()`,
    inFolder("bomb.keras"),
  );
  await refuses(inFolder("bomb.keras"), /far too large/);
});

Deno.test("loadWeights() takes just the backbone of a Keras file with another attention", async () => {
  const models = (["none", "se", "cbam"] as const).map((attention, seed) =>
    createModel({ ...SMALLEST, attention }, seed)
  );
  for (const [i, model] of models.entries()) {
    const card = { ...testCard(model.architecture), weights: { sha256: "", parameters: 1 } };
    await Deno.mkdir(inFolder(`attention-${i}`));
    const path = await saveKeras(inFolder(`attention-${i}`), model, card);
    for (const [k, other] of models.entries()) {
      if (k === i) continue;
      const fresh = createModel(other.architecture, 7 + k);
      const [, head] = partsOf(fresh);
      assert.match((await loadWeights(fresh, path)).note, /head starts at random/);
      assert.deepEqual(partsOf(fresh), [partsOf(model)[0], head]);
      disposeModel(fresh);
    }
  }
  models.forEach(disposeModel);
});

Deno.test("loadWeights() takes backbone and head of a model folder", async () => {
  await saveModel(inFolder("saved"), start, testCard(start.architecture));
  const model = createModel(start.architecture, 2);
  const { kind, note } = await loadWeights(model, inFolder("saved"));
  assert.equal(kind, "model");
  assert.match(note, /run test, epoch 1/);
  assert.deepEqual(partsOf(model), startWeights);
  disposeModel(model);
});

Deno.test("loadWeights() refuses a model folder of other classes, and a folder without a model", async () => {
  const before = tf.memory().numTensors;
  const architecture = { ...start.architecture, classes: ["a", "b"] };
  await saveModel(inFolder("other"), { ...start, architecture }, testCard(architecture));
  await refuses(inFolder("other"), /\["a","b"\] where data.classes is \["negative","positive"\]/);
  const wide = { ...start.architecture, head: { units: [8], dropout: [0] } };
  const model = createModel(wide, 1, () => false);
  await saveModel(inFolder("wide"), model, testCard(wide));
  disposeModel(model);
  await refuses(inFolder("wide"), /"units":\[8\].* where model.head is/);
  const attentive = { ...start.architecture, attention: "se" } as const;
  const other = createModel(attentive, 1, () => false);
  await saveModel(inFolder("attentive"), other, testCard(attentive));
  disposeModel(other);
  await refuses(inFolder("attentive"), /has "se" where model.attention is "none"/);
  await Deno.mkdir(inFolder("bare"));
  await refuses(inFolder("bare"), /There is no model in/);
  assert.equal(tf.memory().numTensors, before);
});
