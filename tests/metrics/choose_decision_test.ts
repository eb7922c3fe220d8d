import assert from "node:assert/strict";
import { join } from "node:path";
import { ModelError } from "../../lib/core/errors.ts";
import { tf } from "../../lib/core/tensorflow.ts";
import { readKerasCard } from "../../lib/model/keras_files.ts";
import { disposeModel } from "../../lib/model/model.ts";
import { loadModel, updateCard } from "../../lib/model/saved.ts";
import { CLASSES, withRun } from "./with_run.ts";

Deno.test(
  "chooseDecision() stores with the model what it chose on validation, and testRun() follows it",
  withRun(async ({ root, config, rows, chooseDecision, testRun }) => {
    const folder = join(root, "model/default");
    const files = ["model.json", "model_card.json", "model.keras"];
    const contents = () =>
      Promise.all(files.map(async (name) => await Deno.readTextFile(join(folder, name))));
    const before = tf.memory().numTensors;
    const progress: string[] = [];
    const threshold = { ...config.metrics.threshold, rule: "youden" as const };
    const metrics = { ...config.metrics, calibration: "platt" as const, threshold };
    const chosen = await chooseDecision({ ...config, metrics }, (done, total, path) => {
      progress.push(`${done}/${total} ${path}`);
    });
    assert.equal(tf.memory().numTensors, before);
    const validation = rows.filter(({ subset }) => subset === "validation");
    assert.deepEqual(
      progress.map((line) => line.split(" ")[0]),
      [1, 2, 3, 4, 5, 6, 7, 8].map((k) => `${k}/8`),
    );
    assert.deepEqual(
      progress.map((line) => line.slice(line.indexOf(" ") + 1)).sort(),
      validation.map(({ path }) => path).sort(),
    );

    const { decision, labels, calibrated } = chosen;
    assert.deepEqual([decision.calibration.method, decision.rule], ["platt", "youden"]);
    assert.equal(decision.acceptBand, null);
    assert.match(chosen.reasons.acceptBand, /the 8 validation images do not show .*59 without/);
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
      truePositives: count(1, true),
      falsePositives: count(0, true),
      trueNegatives: count(0, false),
      falseNegatives: count(1, false),
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
  }, { keras: true }),
);

Deno.test(
  "updateCard() leaves a model alone that has taken the place of the card's",
  withRun(async ({ root }) => {
    const folder = join(root, "model/default");
    const { model, card } = await loadModel(folder);
    const text = await Deno.readTextFile(join(folder, "model.json"));
    const other = { ...card, weights: { ...card.weights, sha256: "0".repeat(64) } };
    await assert.rejects(
      updateCard(folder, model, other),
      (error) => error instanceof ModelError && /replaced by another model/.test(error.message),
    );
    disposeModel(model);
    assert.equal(await Deno.readTextFile(join(folder, "model.json")), text);
  }),
);
