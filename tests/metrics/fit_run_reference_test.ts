import assert from "node:assert/strict";
import { join } from "node:path";
import { parseConfig } from "../../lib/core/config.ts";
import { sha256Of } from "../../lib/core/files.ts";
import { tf } from "../../lib/core/tensorflow.ts";
import { disposeModel } from "../../lib/model/model.ts";
import { saveModel } from "../../lib/model/saved.ts";
import type { SplitRow } from "../../lib/run/split_file.ts";
import { inProjectCopy } from "../copy_project.ts";
import { picture, put } from "../data/test_images.ts";
import { testCard } from "../model/model_card.ts";
import { smallModel } from "../model/small_model.ts";

type Predict = typeof import("../../lib/model/predict.ts");

type FitRunReference = typeof import("../../lib/model/reference.ts");

Deno.test("fitRunReference() looks at training and validation images, writes, and leaves no tensor", () =>
  inProjectCopy(async ({ root, load }) => {
    const { fitRunReference } = await load<FitRunReference>("lib/model/reference.ts");
    const split: SplitRow[] = [];
    for (let i = 0; i < 40; i++) {
      const subset = i < 24 ? "train" : i < 36 ? "validation" : "test";
      const path = `${subset}/${i}.png`;
      const file = await picture(i, 40, 40).png().toBuffer();
      // a test image that is looked at would be an error
      if (subset !== "test") await put(root, `data/${path}`, file);
      split.push({ path, label: "positive", group: `${i}`, sha256: await sha256Of(file), subset });
    }
    const model = smallModel();
    const folder = join(root, "model/default");
    const card = await saveModel(folder, model, testCard(model.architecture));
    const { runOf } = await load<typeof import("../../lib/run/run.ts")>("lib/run/run.ts");
    const run = runOf(parseConfig({ training: { batchSize: 8 } }));
    const before = tf.memory().numTensors;
    const progress: [number, number][] = [];
    const count = (done: number, total: number) => void progress.push([done, total]);
    const fit = (rows: SplitRow[]) => fitRunReference({ model, card, split: rows }, run, count);
    assert.equal(await fit(split.slice(0, 30)), null); // six validation images tell nothing
    await assert.rejects(Deno.stat(join(folder, "reference.json")), Deno.errors.NotFound);
    progress.length = 0;
    const reference = await fit(split);
    assert.equal(tf.memory().numTensors, before);
    assert.deepEqual(progress.at(-1), [36, 36]);
    assert.deepEqual(reference?.images, { train: 24, validation: 12 });
    assert.equal(reference?.weightsSha256, card.weights.sha256);
    const text = await Deno.readTextFile(join(folder, "reference.json"));
    assert.deepEqual(JSON.parse(text), reference);
    assert.deepEqual(await fit(split), reference);

    const { predictSubset } = await load<Predict>("lib/model/predict.ts");
    const given = { model, card, split };
    const plain = await predictSubset(given, "validation", run.config);
    const appearance = { withAppearance: true };
    const seen = await predictSubset(given, "validation", run.config, undefined, appearance);
    assert.deepEqual(seen.map(({ appearance: _, ...row }) => row), plain);
    const again = (await fitRunReference(given, run, count, seen))!;
    assert.deepEqual(progress.at(-1), [24, 24], "the validation images are not predicted again");
    assert.deepEqual(again.traits, reference?.traits);
    const [a, b] = [again, reference!].map(({ features }) => features.distances.median);
    assert.ok(Math.abs(a! - b!) < 1e-3, `${a} and ${b}`);
    await Deno.copyFile(join(root, "data/train/4.png"), join(root, "data/train/3.png"));
    await assert.rejects(fit(split), /3\.png.*changed since notebook 02/);
    await Deno.remove(join(root, "data/train/3.png"));
    await assert.rejects(fit(split), /3\.png.*could not be read/);
    disposeModel(model);
  }));
