import assert from "node:assert/strict";
import { join } from "node:path";
import { parseConfig } from "../../lib/config.ts";
import type { Config } from "../../lib/config_schema.ts";
import { readCsv } from "../../lib/csv.ts";
import { sha256File } from "../../lib/files.ts";
import { disposeModel } from "../../lib/model/model.ts";
import { saveModel } from "../../lib/model/save_model.ts";
import { tf } from "../../lib/setup/tensorflow.ts";
import { type SplitRow, SUBSETS, writeSplit } from "../../lib/split/split.ts";
import { inProjectCopy } from "../copy_project.ts";
import { picture, put } from "../data/test_images.ts";
import { testCard } from "../model/model_card.ts";
import { smallModel } from "../model/small_model.ts";

type TestRun = typeof import("../../lib/metrics/test_run.ts");

const CLASSES: [string, string] = ["negative", "positive"];

/** Runs with a split of 24 images and a model that knows it; a third of them are for testing. */
function withRun(
  test: (run: {
    root: string;
    config: Config;
    rows: SplitRow[];
    testRun: TestRun["testRun"];
  }) => Promise<void>,
): () => Promise<void> {
  return () =>
    inProjectCopy(async ({ root, load }) => {
      const { testRun } = await load<TestRun>("lib/metrics/test_run.ts");
      const rows: SplitRow[] = [];
      for (let i = 0; i < 24; i++) {
        const label = CLASSES[i % 2]!;
        const path = `${label}/=${i},"x".png`;
        await put(root, `data/${path}`, await picture(i, 40, 40).png().toBuffer());
        const subset = SUBSETS[Math.floor(i / 2) % 3]!;
        rows.push({ path, label, group: `g${i}`, sha256: "0".repeat(64), subset });
      }
      const split = join(root, "results/default/split.csv");
      await writeSplit(split, rows);
      const model = smallModel(CLASSES);
      const card = testCard(model.architecture);
      await saveModel(join(root, "model/default"), model, {
        ...card,
        data: { ...card.data, splitSha256: await sha256File(split) },
      });
      disposeModel(model);
      const config = parseConfig({ data: { classes: CLASSES }, training: { batchSize: 3 } });
      await test({ root, config, rows, testRun });
    });
}

Deno.test(
  "testRun() scores the model on the test split alone and writes what it found",
  withRun(async ({ root, config, rows, testRun }) => {
    const before = tf.memory().numTensors;
    const progress: number[] = [];
    const { predictions, scores } = await testRun(config, (done) => void progress.push(done));
    assert.equal(tf.memory().numTensors, before);
    const expected = rows.filter(({ subset }) => subset === "test");
    assert.deepEqual(
      predictions.map(({ path, label, group }) => ({ path, label, group })).sort(byPath),
      expected.map(({ path, label, group }) => ({ path, label, group })).sort(byPath),
    );
    assert.deepEqual(progress, [1, 2, 3, 4, 5, 6, 7, 8]);
    for (const { predicted, probability } of predictions) {
      assert.equal(predicted, CLASSES[probability >= 0.5 ? 1 : 0]);
    }
    const right = predictions.filter(({ label, predicted }) => label === predicted).length;
    assert.deepEqual([scores.accuracy.value, scores.accuracy.baseline], [right / 8, 0.5]);

    const path = join(root, "results/default/predictions_test.csv");
    const [header] = (await Deno.readTextFile(path)).split("\n");
    assert.equal(header, "path,label,predicted,probability");
    const written = await readCsv(path, ["path", "label", "predicted", "probability"], "");
    assert.deepEqual(
      written.map((row) => ({ ...row, probability: Number(row.probability) })),
      predictions.map(({ group: _group, ...row }) => row),
    );
    const metrics = await Deno.readTextFile(join(root, "results/default/metrics.json"));
    assert.deepEqual(JSON.parse(metrics), JSON.parse(JSON.stringify(scores)));
  }),
);

function byPath(a: { path: string }, b: { path: string }): number {
  return a.path < b.path ? -1 : 1;
}

Deno.test(
  "testRun() refuses a split other than the model's, and writes no score then",
  withRun(async ({ root, config, rows, testRun }) => {
    const before = tf.memory().numTensors;
    const split = join(root, "results/default/split.csv");
    const text = await Deno.readTextFile(split);
    const refused = (kind: string, message: RegExp) =>
      assert.rejects(testRun(config), (error: unknown) => {
        assert(error instanceof Error && error.name === kind, String(error));
        assert.match(error.message, message);
        return true;
      });
    const moved = rows.map((row): SplitRow => ({
      ...row,
      subset: row.subset === "train" ? "test" : row.subset,
    }));
    await writeSplit(split, moved);
    await refused("DataError", /not the split that the model was trained on.*notebook 05/s);
    await Deno.writeTextFile(split, text.replace(",g1,", ",g2,"));
    await refused("DataError", /not the split/);
    await Deno.remove(split);
    await refused("DataError", /split\.csv cannot be read/);
    const names = (await Array.fromAsync(Deno.readDir(join(root, "results/default"))))
      .map(({ name }) => name);
    assert.deepEqual(names, []);
    await Deno.writeTextFile(split, text);
    assert.equal((await testRun(config)).predictions.length, 8);
    await Deno.remove(join(root, "model/default/model.json"));
    await refused("ModelError", /There is no model/);
    assert.equal(tf.memory().numTensors, before);
  }),
);

Deno.test(
  "testRun() names a test image that has gone, and scores nothing without it",
  withRun(async ({ root, config, rows, testRun }) => {
    const before = tf.memory().numTensors;
    const gone = rows.find(({ subset }) => subset === "test")!;
    await Deno.remove(join(root, "data", gone.path));
    await assert.rejects(testRun(config), (error: unknown) => {
      assert(error instanceof Error && error.name === "ImageError");
      assert.ok(error.message.includes(JSON.stringify(join(root, "data", gone.path))));
      return true;
    });
    assert.equal(tf.memory().numTensors, before);
    const names = (await Array.fromAsync(Deno.readDir(join(root, "results/default"))))
      .map(({ name }) => name);
    assert.deepEqual(names, ["split.csv"]);
  }),
);

Deno.test(
  "testRun() scores the test images as they are, whatever training.augmentation says",
  withRun(async ({ config, testRun }) => {
    const plain = await testRun(config);
    const augmentation = {
      ...config.training.augmentation,
      symmetries: true,
      brightness: 0.5,
      cutOut: 0.5,
    };
    const training = { ...config.training, augmentation };
    assert.deepEqual((await testRun({ ...config, training })).predictions, plain.predictions);
  }),
);
