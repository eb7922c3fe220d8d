import assert from "node:assert/strict";
import { join } from "node:path";
import { readCsv } from "../../lib/core/csv.ts";
import { writeJson } from "../../lib/core/files.ts";
import { tf } from "../../lib/core/tensorflow.ts";
import { countTestRead, describeTestReads } from "../../lib/run/metrics_file.ts";
import { DEFAULT_DECISION } from "../../lib/run/model_card.ts";
import { type SplitRow, writeSplit } from "../../lib/run/split_file.ts";
import { inFolder } from "../data/test_images.ts";
import { CLASSES, withRun } from "./with_run.ts";

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
      predictions.map(({ group: _group, uncalibrated: _uncalibrated, ...row }) => row),
    );
    const metrics = await Deno.readTextFile(join(root, "results/default/metrics.json"));
    const { test_reads, ...entries } = JSON.parse(metrics);
    assert.deepEqual(entries, JSON.parse(JSON.stringify(scores)));
    assert.equal(test_reads.count, 1);
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
  "testRun() names a test image that is another or has gone, and scores nothing without it",
  withRun(async ({ root, config, rows, testRun }) => {
    const before = tf.memory().numTensors;
    const [{ path }, other] = rows.filter(({ subset }) => subset === "test") as [
      SplitRow,
      SplitRow,
    ];
    const named = (reason: RegExp) =>
      assert.rejects(testRun(config), (error: unknown) => {
        assert(error instanceof Error && error.name === "ImageError");
        assert.ok(error.message.includes(JSON.stringify(join(root, "data", path))));
        assert.match(error.message, reason);
        return true;
      });
    await Deno.copyFile(join(root, "data", other.path), join(root, "data", path));
    await named(/has changed since notebook 02/);
    await Deno.remove(join(root, "data", path));
    await named(/not there/);
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

Deno.test(
  "testRun() counts every read of the test images, and by whom, and shows published scores",
  withRun(async ({ root, config, testRun, chooseDecision }) => {
    const path = join(root, "results/default/metrics.json");
    const readMetrics = async () => JSON.parse(await Deno.readTextFile(path));
    const first = await testRun(config);
    assert.deepEqual(describeTestReads(first.reads), {
      text: "The test images have been read once in this run.",
      isClean: true,
    });
    const reference = { name: "A paper", value: 0.9, note: "other images" };
    const metrics = { ...config.metrics, references: [{ ...reference, score: "f1" as const }] };
    const second = await testRun({ ...config, metrics });
    assert.match(describeTestReads(second.reads).text, /read 2 times in this run, always with/);
    assert.deepEqual(second.scores, {
      ...first.scores,
      f1: { ...first.scores.f1, references: [reference] },
    });
    assert.deepEqual((await readMetrics()).f1.references, [reference]);

    const platt = { ...config.metrics, calibration: "platt" as const };
    const { decision } = await chooseDecision({ ...config, metrics: platt });
    assert.equal((await readMetrics()).test_reads.count, 2, "the decision looks at no test image");
    const { reads } = await testRun(config);
    assert.deepEqual(
      reads.readers.map(({ calibration, threshold, reads }) => [calibration, threshold, reads]),
      [[DEFAULT_DECISION.calibration, 0.5, 2], [decision.calibration, decision.threshold, 1]],
    );
    assert.deepEqual((await readMetrics()).test_reads, reads);
    const { text, isClean } = describeTestReads(reads);
    assert.equal(isClean, false);
    assert.match(text, /read 3 times in this run, by 2 different models or decisions\. Whatever/);

    const other = join(root, "results/<b>/metrics.json");
    for (const name of ["results/<b>", "results/other test", "results/damaged"]) {
      await Deno.mkdir(join(root, name));
    }
    const { test_reads: own, ...scores } = await readMetrics();
    await Deno.writeTextFile(other, JSON.stringify({ ...scores, test_reads: own }));
    const anew = { ...own, test_sha256: "0" };
    await Deno.writeTextFile(
      join(root, "results/other test/metrics.json"),
      JSON.stringify({ ...scores, test_reads: anew }),
    );
    await Deno.writeTextFile(join(root, "results/damaged/metrics.json"), "{");
    const known = (await testRun(config)).reads;
    assert.deepEqual(known.other_runs, ["<b>"]);
    assert.match(
      describeTestReads(known).text,
      /new images\. Another run was tested on the same images \(“<b>”\): choose between runs by th/,
    );

    await Deno.writeTextFile(path, "{");
    await assert.rejects(testRun(config), /metrics\.json is not valid JSON.*starts anew/s);
  }),
);

Deno.test("describeTestReads() warns of other runs, and names five of many", () => {
  const readers = [{
    weights_sha256: "w",
    calibration: DEFAULT_DECISION.calibration,
    threshold: 0.5,
    reads: 1,
  }];
  const other_runs = Array.from({ length: 7 }, (_, i) => `run ${i}`);
  const { text, isClean } = describeTestReads({ count: 1, test_sha256: "", readers, other_runs });
  assert.equal(isClean, false);
  assert.match(text, /^The test images .* once in this run\. 7 other runs were tested on the same/);
  assert.match(text, /\(“run 0”, .*“run 4” and 2 more\)/);
});

Deno.test("countTestRead() starts anew with other test images, and from a file without a count", () =>
  inFolder(async (folder) => {
    const path = join(folder, "metrics.json");
    const row = (name: string): SplitRow => {
      return { path: name, label: "a", group: name, sha256: "1", subset: "test" };
    };
    const reader = { weightsSha256: "w", decision: DEFAULT_DECISION };
    const read = async (names: string[], weightsSha256 = "w") => {
      const reads = await countTestRead(path, names.map(row), { ...reader, weightsSha256 });
      await writeJson(path, { accuracy: { value: 1 }, test_reads: reads });
      return reads.readers.map(({ weights_sha256, reads }) => [weights_sha256, reads]);
    };
    await writeJson(path, { accuracy: { value: 1 } });
    assert.deepEqual(await read(["a", "b"]), [["w", 1]]);
    assert.deepEqual(await read(["b", "a"], "v"), [["w", 1], ["v", 1]], "the order is no matter");
    assert.deepEqual(await read(["a", "b"]), [["v", 1], ["w", 2]], "the last reader is last");
    assert.deepEqual(await read(["a", "c"]), [["w", 1]]);
  }));
