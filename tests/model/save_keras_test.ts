import assert from "node:assert/strict";
import { join } from "node:path";
import { sha256File } from "../../lib/core/files.ts";
import { tf } from "../../lib/core/tensorflow.ts";
import { preprocess } from "../../lib/model/forward.ts";
import { saveKeras } from "../../lib/model/keras_files.ts";
import {
  type Architecture,
  backbones,
  createModel,
  disposeModel,
  estimateMoments,
} from "../../lib/model/model.ts";
import { createPredictor } from "../../lib/model/predict.ts";
import { loadModel, saveModel } from "../../lib/model/saved.ts";
import { loadWeights } from "../../lib/model/start.ts";
import { askPython } from "../ask_python.ts";
import { disturbBatchNorms, someImages } from "./ask_keras.ts";
import { testCard } from "./model_card.ts";

const SIZE = 64;

const script = join(import.meta.dirname!, "keras_files_oracle.py");

const CASES: Pick<Architecture, "backbone" | "head">[] = [
  { backbone: "resnet50" },
  { backbone: "efficientnet_lite0", head: { units: [40, 300, 7], dropout: [0, 0.5, 0.1] } },
  { backbone: "efficientnet_lite0", head: { units: [], dropout: [] } },
];

for (const { backbone, head } of CASES) {
  const name = head ? `${backbone} with head [${head.units}]` : backbone;
  Deno.test(`saveKeras() writes a ${name} that Keras loads and predicts the same with`, async () => {
    const before = tf.memory().numTensors;
    const folder = await Deno.makeTempDir();
    try {
      const model = createModel(
        { backbone, imageSize: SIZE, classes: ["no, 'a'", "<b>"], ...head && { head } },
        3,
      );
      const some = preprocess(someImages(16, SIZE, 2), SIZE, backbones[backbone].preprocessing);
      estimateMoments(model, some);
      some.dispose();
      disturbBatchNorms(model);
      const card = await saveModel(folder, model, testCard(model.architecture));
      const path = await saveKeras(folder, model, card);
      const { model: loaded } = await loadModel(folder);
      assert.deepEqual(loaded.architecture, model.architecture);
      disposeModel(loaded);
      const entries = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).sort();
      assert.deepEqual(
        entries.filter((name) => !name.startsWith("weights-")),
        ["model.json", "model.keras", "model_card.json"],
        "nothing else is left",
      );

      const pixels = someImages(4, SIZE);
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
      assert.deepEqual(keras.layers, model.graph.map(({ name }) => name));
      assert.deepEqual(keras.card, card);
      const predictor = createPredictor(model, card.preprocessing);
      const ours = await predictor.predict(pixels);
      predictor.dispose();
      const theirs = keras.probabilities.flat();
      const difference = Math.max(...theirs.map((value, i) => Math.abs(value - ours[i]!)));
      assert.ok(difference < 1e-4, `largest difference ${difference}`);
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
