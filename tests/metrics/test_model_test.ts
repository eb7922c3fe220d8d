import assert from "node:assert/strict";
import { join } from "node:path";
import { parseConfig } from "../../lib/core/config.ts";
import { readCsv } from "../../lib/core/csv.ts";
import { sha256File, writeJson } from "../../lib/core/files.ts";
import type { Config } from "../../lib/core/settings.ts";
import { tf } from "../../lib/core/tensorflow.ts";
import { betterThanBaseline } from "../../lib/metrics/baseline.ts";
import { readKerasCard, saveKeras } from "../../lib/model/keras_files.ts";
import { disposeModel } from "../../lib/model/model.ts";
import { loadModel, type RunModel, saveModel, updateCard } from "../../lib/model/saved.ts";
import { DEFAULT_DECISION } from "../../lib/run/decision.ts";
import { countTestRead, describeTestReads, readMetrics } from "../../lib/run/metrics_file.ts";
import { readSplit, type SplitRow, SUBSETS, writeSplit } from "../../lib/run/split_file.ts";
import { inProjectCopy, type OfConfig, ofConfig } from "../copy_project.ts";
import { inFolder, picture, put } from "../data/test_images.ts";
import { testCard } from "../model/model_card.ts";
import { smallModel } from "../model/small_model.ts";

const CLASSES: [string, string] = ["negative", "positive"];

/** A run of 24 images and a model that knows their split; a third of them are for testing. */
interface SmallRun {
  root: string;
  config: Config;
  rows: SplitRow[];
  chooseDecision: OfConfig<typeof import("../../lib/metrics/decision.ts").chooseDecision>;
  testRun: OfConfig<typeof import("../../lib/metrics/test.ts").testRun>;
  testModel: OfConfig<typeof import("../../lib/metrics/test.ts").testModel>;
}

/** Runs a test in a {@linkcode SmallRun} of its own. */
function test(name: string, body: (run: SmallRun) => Promise<void>): void {
  Deno.test(name, () =>
    inProjectCopy(async ({ root, load }) => {
      const [testRun, testModel, chooseDecision] = await Promise.all([
        ofConfig({ load }, "lib/metrics/test.ts", "testRun"),
        ofConfig({ load }, "lib/metrics/test.ts", "testModel"),
        ofConfig({ load }, "lib/metrics/decision.ts", "chooseDecision"),
      ]) as [SmallRun["testRun"], SmallRun["testModel"], SmallRun["chooseDecision"]];
      const rows: SplitRow[] = [];
      for (let i = 0; i < 24; i++) {
        const label = CLASSES[(i + 1) % 2]!; // the random model is then better than chance
        const path = `${label}/=${i},"x".png`;
        await put(root, `data/${path}`, await picture(i, 40, 40).png().toBuffer());
        const subset = SUBSETS[Math.floor(i / 2) % 3]!;
        const sha256 = await sha256File(join(root, "data", path));
        rows.push({ path, label, group: `g${i}`, sha256, subset });
      }
      const split = join(root, "results/default/split.csv");
      await writeSplit(split, rows);
      const model = smallModel(CLASSES);
      const folder = join(root, "model/default");
      const draft = testCard(model.architecture);
      await saveModel(folder, model, {
        ...draft,
        data: { ...draft.data, splitSha256: await sha256File(split) },
      });
      disposeModel(model);
      const config = parseConfig({ data: { classes: CLASSES }, training: { batchSize: 3 } });
      await body({ root, config, rows, testRun, testModel, chooseDecision });
    }));
}

test("testRun() scores the model on the test split alone and writes what it found", async ({ root, config, rows, testRun }) => {
  const before = tf.memory().numTensors;
  const progress: number[] = [];
  const tested = await testRun(config, (done) => void progress.push(done));
  const { scores, predictions: { rows: predictions } } = tested;
  assert.equal(tf.memory().numTensors, before);
  const facts = (of: readonly Pick<SplitRow, "path" | "label" | "group">[]) =>
    of.map(({ path, label, group }) => `${path} ${label} ${group}`).sort();
  assert.deepEqual(facts(predictions), facts(rows.filter(({ subset }) => subset === "test")));
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
});

/** The files of the run's results, by name. */
async function resultsOf(root: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(join(root, "results/default"))))
    .map(({ name }) => name);
}

test("testRun() refuses a split other than the model's, and writes no score then", async ({ root, config, rows, testRun }) => {
  const before = tf.memory().numTensors;
  const split = join(root, "results/default/split.csv");
  const text = await Deno.readTextFile(split);
  const refused = (name: string, message: RegExp) =>
    assert.rejects(testRun(config), { name, message });
  await writeSplit(
    split,
    rows.map((row) => row.subset === "train" ? { ...row, subset: "test" } : row),
  );
  await refused("DataError", /not the split that the model was trained on.*notebook 05/s);
  await Deno.writeTextFile(split, text.replace(",g1,", ",g2,"));
  await refused("DataError", /not the split/);
  await Deno.remove(split);
  await refused("DataError", /split\.csv cannot be read/);
  assert.deepEqual(await resultsOf(root), []);
  await Deno.writeTextFile(split, text);
  assert.equal((await testRun(config)).predictions.rows.length, 8);
  await Deno.remove(join(root, "model/default/model.json"));
  await refused("ModelError", /There is no model/);
  assert.equal(tf.memory().numTensors, before);
});

test("testRun() names a test image that is another or has gone, and scores nothing without it", async ({ root, config, rows, testRun }) => {
  const before = tf.memory().numTensors;
  const tested = rows.filter(({ subset }) => subset === "test");
  const [path, other] = tested.map(({ path }) => join(root, "data", path)) as [string, string];
  const named = (message: RegExp) =>
    assert.rejects(testRun(config), { name: "ImageError", path, message });
  await Deno.copyFile(other, path);
  await named(/has changed since notebook 02/);
  await Deno.remove(path);
  await named(/not there/);
  assert.equal(tf.memory().numTensors, before);
  assert.deepEqual(await resultsOf(root), ["split.csv"]);
});

test("testRun() scores the test images as they are, whatever training.augmentation says", async ({ config, testRun }) => {
  const plain = await testRun(config);
  const changes = { symmetries: true, brightness: 0.5, cutOut: 0.5 };
  const augmentation = { ...config.training.augmentation, ...changes };
  const training = { ...config.training, augmentation };
  assert.deepEqual((await testRun({ ...config, training })).predictions, plain.predictions);
});

test("testModel() gives what its steps give, with a model that is loaded once", async ({ root, config, chooseDecision, testRun, testModel }) => {
  const own = { ...config, metrics: { ...config.metrics, calibration: "platt" as const } };
  const decision = await chooseDecision(own);
  const steps = await testRun(own);
  const before = tf.memory().numTensors;
  const loaded = await loadRun(root);
  const tensors = tf.memory().numTensors;
  const finished: number[] = [];
  const onProgress = (done: number, total: number) => void (done === total && finished.push(done));
  const tested = await testModel(own, { loaded, onProgress });
  assert.equal(tf.memory().numTensors, tensors, "the model given is left as it is");
  assert.deepEqual(finished, [8, 8, 8, 16], "once each by the model; then the probe's");
  const { probe } = await readMetrics(join(root, "results/default/metrics.json"));
  assert.deepEqual(probe, tested.probe);
  assert.ok(probe && "gains" in probe && probe.images === 8 && probe.l2.length === 1);
  const startingWeights = { ...loaded.card.startingWeights, sha256: "0".repeat(64) };
  const other = { ...loaded, card: { ...loaded.card, startingWeights } };
  assert.deepEqual((await testModel(own, { loaded: other })).probe, {
    reason: "Training started from other weights: for a test.",
  });
  assert.equal(tf.memory().numTensors, tensors);
  assert.deepEqual(tested.decision, decision);
  assert.equal(tested.reference, null); // eight validation images tell nothing
  assert.deepEqual(tested.predictions, steps.predictions);
  assert.deepEqual(tested.scores, steps.scores);
  assert.equal(tested.reads.count, 2);
  assert.deepEqual(tested.card, decision.card);
  assert.deepEqual(tested.verdict, betterThanBaseline(steps.predictions));
  disposeModel(loaded.model);
  assert.deepEqual((await testModel(own)).predictions, steps.predictions);
  assert.equal(tf.memory().numTensors, before);
});

async function loadRun(root: string): Promise<RunModel> {
  const split = await readSplit(join(root, "results/default/split.csv"));
  return { ...await loadModel(join(root, "model/default")), split };
}

test("testRun() counts every read of the test images, and by whom, and shows published scores", async ({ root, config, testRun, chooseDecision }) => {
  const path = join(root, "results/default/metrics.json");
  const metricsJson = async () => JSON.parse(await Deno.readTextFile(path));
  const first = await testRun(config);
  assert.equal(describeTestReads(first.reads).isClean, true);
  const reference = { name: "A paper", value: 0.9, note: "other images" };
  const metrics = { ...config.metrics, references: [{ ...reference, score: "f1" as const }] };
  const second = await testRun({ ...config, metrics });
  assert.deepEqual([second.reads.count, describeTestReads(second.reads).isClean], [2, true]);
  const f1 = { ...first.scores.f1, references: [reference] };
  assert.deepEqual(second.scores, { ...first.scores, f1 });
  assert.deepEqual((await metricsJson()).f1.references, [reference]);

  const platt = { ...config.metrics, calibration: "platt" as const };
  const { decision } = await chooseDecision({ ...config, metrics: platt });
  assert.equal((await metricsJson()).test_reads.count, 2, "the decision looks at no test image");
  const { reads } = await testRun(config);
  assert.deepEqual(
    reads.readers.map(({ calibration, threshold, reads }) => [calibration, threshold, reads]),
    [[DEFAULT_DECISION.calibration, 0.5, 2], [decision.calibration, decision.threshold, 1]],
  );
  assert.deepEqual((await metricsJson()).test_reads, reads);
  assert.equal(describeTestReads(reads).isClean, false);
  assert.match(describeTestReads(reads).text, /3 times .* 2 different models or decisions/);

  const metricsOf = async (run: string, text: string) =>
    await put(root, `results/${run}/metrics.json`, text);
  const { test_reads: own, ...scores } = await metricsJson();
  const anew = { ...own, test_sha256: "0" };
  await metricsOf("<b>", JSON.stringify({ ...scores, test_reads: own }));
  await metricsOf("other test", JSON.stringify({ ...scores, test_reads: anew }));
  await metricsOf("damaged", "{");
  const known = (await testRun(config)).reads;
  assert.deepEqual(known.other_runs, ["<b>"]);
  assert.match(describeTestReads(known).text, /Another run was tested .*“<b>”/);

  await Deno.writeTextFile(path, "{");
  await assert.rejects(testRun(config), /metrics\.json is not valid JSON.*starts anew/s);
});

Deno.test("describeTestReads() warns of other runs, and names five of many", () => {
  const { calibration, threshold } = DEFAULT_DECISION;
  const readers = [{ weights_sha256: "w", calibration, threshold, reads: 1 }];
  const other_runs = Array.from({ length: 7 }, (_, i) => `run ${i}`);
  const { text, isClean } = describeTestReads({ count: 1, test_sha256: "", readers, other_runs });
  assert.equal(isClean, false);
  assert.match(text, /7 other runs .*\(“run 0”, .*“run 4” and 2 more\)/);
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

test("chooseDecision() stores with the model what it chose on validation, and testRun() follows it", async ({ root, config, rows, chooseDecision, testRun }) => {
  const folder = join(root, "model/default");
  const given = await loadModel(folder);
  await saveKeras(folder, given.model, given.card);
  disposeModel(given.model);
  const files = ["model.json", "model_card.json", "model.keras"];
  const contents = () =>
    Promise.all(files.map(async (name) => await Deno.readTextFile(join(folder, name))));
  const before = tf.memory().numTensors;
  const [progress, places]: [string[], number[]] = [[], []];
  const threshold = { ...config.metrics.threshold, rule: "youden" as const };
  const metrics = { ...config.metrics, calibration: "platt" as const, threshold };
  const chosen = await chooseDecision({ ...config, metrics }, (done, total, path) => {
    places.push(done / total);
    progress.push(path!);
  });
  assert.equal(tf.memory().numTensors, before);
  const validation = rows.filter(({ subset }) => subset === "validation");
  assert.deepEqual(places, [1, 2, 3, 4, 5, 6, 7, 8].map((k) => k / 8));
  assert.deepEqual(progress.sort(), validation.map(({ path }) => path).sort());

  const { decision, labels, calibrated } = chosen;
  assert.deepEqual([decision.calibration.method, decision.rule], ["platt", "youden"]);
  assert.equal(decision.acceptBand, null);
  const called = calibrated.map((p) => p >= decision.threshold);
  const count = (label: number, positive: boolean) =>
    labels.filter((each, i) => each === label && called[i] === positive).length;
  const { scores, ...outcomes } = decision.validation!;
  for (const [own, label] of [[scores!.negatives, 0], [scores!.positives, 1]] as const) {
    const expected = calibrated.filter((_, i) => labels[i] === label)
      .map((p) => Math.log(p / (1 - p))).sort((a, b) => a - b);
    assert.equal(own.length, expected.length);
    own.forEach((score, i) => assert.ok(Math.abs(score - expected[i]!) <= 0.5001e-4));
  }
  assert.deepEqual(outcomes, {
    ...{ truePositives: count(1, true), falsePositives: count(0, true) },
    ...{ trueNegatives: count(0, false), falseNegatives: count(1, false) },
  });

  const { model, card } = await loadModel(folder);
  disposeModel(model);
  assert.deepEqual(card, chosen.card);
  assert.deepEqual(card.decision, decision);
  assert.deepEqual(JSON.parse(await Deno.readTextFile(join(folder, "model_card.json"))), card);
  assert.deepEqual(await readKerasCard(join(folder, "model.keras")), card);
  const first = await contents();
  await chooseDecision({ ...config, metrics });
  assert.deepEqual(await contents(), first, "the same again is the same, byte for byte");

  const { rows: predictions } = (await testRun(config)).predictions;
  for (const { predicted, probability } of predictions) {
    assert.equal(predicted, CLASSES[probability >= decision.threshold ? 1 : 0]);
  }
  await chooseDecision({ ...config, metrics: { ...metrics, calibration: "none" } });
  const { probabilities: uncalibrated } = (await testRun(config)).predictions;
  const { slope, intercept } = decision.calibration;
  uncalibrated.forEach((p, i) => {
    const logit = slope * Math.log(p / (1 - p)) + intercept;
    assert.ok(Math.abs(predictions[i]!.probability - 1 / (1 + Math.exp(-logit))) < 1e-5);
  });
});

test("updateCard() leaves a model alone that has taken the place of the card's", async ({ root }) => {
  const folder = join(root, "model/default");
  const { model, card } = await loadModel(folder);
  const text = await Deno.readTextFile(join(folder, "model.json"));
  const other = { ...card, weights: { ...card.weights, sha256: "0".repeat(64) } };
  const refused = { name: "ModelError", message: /replaced by another model/ };
  await assert.rejects(updateCard(folder, model, other), refused);
  disposeModel(model);
  assert.equal(await Deno.readTextFile(join(folder, "model.json")), text);
});
