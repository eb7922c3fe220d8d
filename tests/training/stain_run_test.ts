import assert from "node:assert/strict";
import { join } from "node:path";
import sharp from "sharp";
import { sha256File } from "../../lib/core/files.ts";
import { createRandom } from "../../lib/core/random.ts";
import { normaliseStain } from "../../lib/images/stain.ts";
import { saveKeras } from "../../lib/model/keras_files.ts";
import { disposeModel } from "../../lib/model/model.ts";
import { loadModel, saveModel } from "../../lib/model/saved.ts";
import { fitStainReference } from "../../lib/model/start.ts";
import type { StainReference } from "../../lib/run/model_card.ts";
import { readSplit } from "../../lib/run/split_file.ts";
import { measureParity } from "../../tools/measure_parity.ts";
import { ofConfig } from "../copy_project.ts";
import { inFolder, put } from "../data/test_images.ts";
import { evaluateRows } from "../evaluation/with_new_images.ts";
import { testCard } from "../model/model_card.ts";
import { SMALL, smallModel } from "../model/small_model.ts";
import { CLASSES, testToyProject as test, writeToySplit } from "./toy.ts";

type TestRun = typeof import("../../lib/metrics/test.ts");

const raw = { width: SMALL, height: SMALL, channels: 3 } as const;

const png = (pixels: Uint8Array) => sharp(pixels, { raw }).png().toBuffer();

/** Two stains in random amounts, all of them stronger by a factor, [32 · 32, 3]. */
function stained(seed: string, strength: number): Uint8Array {
  const random = createRandom(seed);
  const pixels = new Uint8Array(SMALL * SMALL * 3);
  for (let i = 0; i < pixels.length; i += 3) {
    const [first, second] = [strength * random.next(), strength * (0.3 + random.next())];
    pixels[i] = 255 * Math.exp(-(0.65 * first + 0.2 * second));
    pixels[i + 1] = 255 * Math.exp(-(0.7 * first + 0.95 * second));
    pixels[i + 2] = 255 * Math.exp(-(0.29 * first + 0.2 * second));
  }
  return pixels;
}

/** Gives the split the hashes of the images as they are now, as notebooks 02 and 03 would. */
async function scanAgain(root: string): Promise<void> {
  const path = join(root, "results/default/split.csv");
  const rows = await Promise.all((await readSplit(path)).map(async (row) => ({
    ...row,
    sha256: await sha256File(join(root, "data", row.path)),
  })));
  await writeToySplit(root, rows);
}

for (const method of ["reinhard", "macenko"] as const) {
  Deno.test(`a saved model brings new images to its own ${method} reference, in Python Keras too`, () =>
    inFolder(async (root) => {
      const [folder, done] = [join(root, "new"), join(root, "done")];
      const modelFolder = join(root, "model");
      await put(root, "reference.png", await png(stained("reference", 0.6)));
      const decode = { size: SMALL, resize: "squash", maxMegapixels: 1 } as const;
      const options = { ...decode, method, seed: 1 };
      const stain = await fitStainReference([join(root, "reference.png")], options);
      for (let i = 0; i < 3; i++) {
        const pixels = stained(`new ${i}`, 1 + 0.3 * i);
        await put(folder, `${i}.png`, await png(pixels));
        await put(done, `${i}.png`, await png(normaliseStain(pixels, stain!)));
      }
      const model = smallModel();
      const save = async (reference: StainReference | null) => {
        const draft = testCard(model.architecture);
        const preprocessing = { ...draft.preprocessing, stain: reference };
        return await saveModel(modelFolder, model, { ...draft, preprocessing });
      };
      const probabilities = async (images: string) => {
        const rows = await evaluateRows({ folder: images, modelFolder });
        return rows.map(({ probability }) => probability);
      };

      await save(null);
      const [asTheyAre, expected] = [await probabilities(folder), await probabilities(done)];
      const card = await save(stain);
      assert.deepEqual(card.preprocessing.stain, stain);
      const loaded = await loadModel(modelFolder);
      disposeModel(loaded.model);
      assert.deepEqual(loaded.card, card, "read back as it was");
      assert.deepEqual(await probabilities(folder), expected);
      assert.notDeepEqual(expected, asTheyAre);

      await saveKeras(modelFolder, model, card);
      const parity = await measureParity({ folder, modelFolder, most: 3 });
      assert.ok(parity.difference <= parity.tolerance, `${parity.difference}`);
      disposeModel(model);

      const text = await Deno.readTextFile(join(modelFolder, "model.json"));
      const damaged = text.replace(/("(?:deviation|amounts)":\s*\[\s*)[-.\d]+/, "$10");
      assert.notEqual(damaged, text);
      await Deno.writeTextFile(join(modelFolder, "model.json"), damaged);
      await assert.rejects(loadModel(modelFolder), { name: "ModelError" });
    }));
}

test("trainRun() fits the reference to training images alone, and testRun() uses the one of the card", async ({ root, load, trainRun, config }) => {
  const testRun = await ofConfig<TestRun["testRun"]>({ load }, "lib/metrics/test.ts", "testRun");
  const images = join(root, "data/toy");
  const names = (await Array.fromAsync(Deno.readDir(images))).map(({ name }) => name).sort();
  const split = await Deno.readTextFile(join(root, "results/default/split.csv"));
  const subsetOf = (name: string) =>
    split.split("\n").find((row) => row.includes(name))!.trim().split(",").at(-1)!;
  const train: string[] = [];
  for (const name of names) {
    const isTraining = subsetOf(name) === "train";
    await put(images, name, await png(stained(name, isTraining ? 0.6 : 1.5)));
    if (isTraining) train.push(join(images, name));
  }
  await scanAgain(root);
  const decode = { size: SMALL, resize: "squash", maxMegapixels: 100 } as const;
  for (const method of ["reinhard", "macenko"] as const) {
    const normalised = config({ model: { stainNormalisation: method } });
    await trainRun(normalised);
    const { card, predictions: { rows: predictions } } = await testRun(normalised);
    const expected = await fitStainReference(train, { ...decode, method, seed: 42 });
    assert.deepEqual(card.preprocessing.stain, expected);

    const folder = join(root, `test ${method}`);
    for (const { path } of predictions) {
      await put(folder, path.split("/").at(-1)!, await Deno.readFile(join(root, "data", path)));
    }
    const modelFolder = join(root, "model/default");
    const evaluated = await evaluateRows({ folder, modelFolder });
    const probability = new Map(evaluated.map((row) => [row.name, row.probability]));
    for (const row of predictions) {
      const other = probability.get(row.path.split("/").at(-1)!)!;
      assert.ok(Math.abs(row.probability - other) < 1e-4, row.path);
    }
    assert.deepEqual(card.architecture.classes, CLASSES);
  }
});
