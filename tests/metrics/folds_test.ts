import assert from "node:assert/strict";
import { join } from "node:path";
import { parseConfig } from "../../lib/core/config.ts";
import { sha256File } from "../../lib/core/files.ts";
import type { Config } from "../../lib/core/settings.ts";
import { tf } from "../../lib/core/tensorflow.ts";
import { crossFitDecisions, fitDecision } from "../../lib/metrics/decision.ts";
import { createExplainer } from "../../lib/metrics/grad_cam.ts";
import { foldScores } from "../../lib/metrics/scores.ts";
import { assembleEnsemble, disposeModel, memberOf, type Model } from "../../lib/model/model.ts";
import { createPredictor, predictOutOfFold, type RowPrediction } from "../../lib/model/predict.ts";
import { type Appearance } from "../../lib/model/predict.ts";
import { fitReference } from "../../lib/model/reference.ts";
import { type RunModel, saveModel } from "../../lib/model/saved.ts";
import { calibrate, decide, logOdds } from "../../lib/run/decision.ts";
import { readPredictions } from "../../lib/run/predictions.ts";
import { members, type SplitRow, writeSplit } from "../../lib/run/split_file.ts";
import { inProjectCopy, ofConfig } from "../copy_project.ts";
import { picture, put } from "../data/test_images.ts";
import { someImages } from "../model/ask_keras.ts";
import { testCard } from "../model/model_card.ts";
import { disturbedModel, SMALL, smallModel } from "../model/small_model.ts";

const CLASSES: [string, string] = ["negative", "positive"];

const FROZEN = 111;

type Test = typeof import("../../lib/metrics/test.ts");

/** Runs a test on 36 images in three folds, and a model of three members that knows them. */
function test(
  name: string,
  { again = false, heldOut = false, first = 1 }: {
    again?: boolean;
    heldOut?: boolean;
    first?: number;
  },
  body: (
    run: RunModel & { root: string; config: Config; load: <T>(path: string) => Promise<T> },
  ) => Promise<void>,
): void {
  Deno.test(name, () =>
    inProjectCopy(async ({ root, load }) => {
      const split: SplitRow[] = [];
      for (let i = 0; i < 36; i++) {
        const label = CLASSES[i % 2]!;
        const path = `${label}/${i}.png`;
        await put(root, `data/${path}`, await picture(i, 40, 40).png().toBuffer());
        const fold = (turn: number) => `fold_${(Math.floor(i / 2) * turn) % 3 + first}` as const;
        split.push({
          ...{ path, label, group: `g${Math.floor(i / 2)}` },
          sha256: await sha256File(join(root, "data", path)),
          subset: heldOut && i >= 24 ? "test" : fold(1),
          ...again && { again: [fold(2)] },
        });
      }
      const file = join(root, "results/default/split.csv");
      await writeSplit(file, split);
      const ensemble = { members: again ? 6 : 3, frozenLayers: FROZEN };
      const architecture = {
        backbone: "efficientnet_lite0",
        imageSize: SMALL,
        classes: CLASSES,
        ensemble,
      } as const;
      const model = disturbedModel(architecture, 5);
      const draft = testCard(architecture);
      const card = await saveModel(join(root, "model/default"), model, {
        ...draft,
        data: { ...draft.data, splitSha256: await sha256File(file), folds: 3 },
      });
      const data = { folder: join(root, "data"), classes: CLASSES };
      const config = parseConfig({ data, training: { batchSize: 5 } });
      await body({ root, model, card, split, config, load });
      disposeModel(model);
    }));
}

/** Log odds of each image by each member alone. */
async function byMember(
  { model, card, split }: RunModel,
  config: Config,
): Promise<Map<string, number[]>> {
  const { predictRows } = await import("../../lib/model/predict.ts");
  const found = new Map<string, number[]>(split.map(({ path }) => [path, []]));
  for (const [i] of members(split).entries()) {
    const predictor = createPredictor(memberOf(model, i), card.preprocessing);
    for (const { path, probabilities } of await predictRows(predictor, card, split, config, {})) {
      found.get(path)!.push(logOdds(probabilities[1]!));
    }
    predictor.dispose();
  }
  return found;
}

test(
  "testModel() scores each image once where folds were dealt twice, and the probe beside it",
  { again: true },
  async ({ config, load }) => {
    const testModel = await ofConfig<Test["testModel"]>(
      { load },
      "lib/metrics/test.ts",
      "testModel",
    );
    const { predictions, probe } = await testModel(config);
    assert.equal(new Set(predictions.rows.map(({ path }) => path)).size, 36);
    assert.ok(
      "images" in probe && probe.images === 36 && probe.l2.length === 6,
      JSON.stringify(probe),
    );
  },
);

for (const again of [false, true]) {
  const times = again ? "the mean of its members where folds were dealt twice" : "its own member";
  test(`predictOutOfFold() gives every image the log odds of ${times}`, { again }, async (run) => {
    const before = tf.memory().numTensors;
    const predicted = await predictOutOfFold(run, run.config);
    assert.equal(tf.memory().numTensors, before);
    const alone = await byMember(run, run.config);
    assert.deepEqual(predicted.map(({ path }) => path), run.split.map(({ path }) => path));
    for (const { path, fold, probabilities } of predicted) {
      const testing = members(run.split).map(({ test }) => test.some((row) => row.path === path));
      const own = alone.get(path)!.filter((_, i) => testing[i]);
      assert.equal(own.length, again ? 2 : 1);
      const mean = own.reduce((a, b) => a + b) / own.length;
      assert.ok(Math.abs(logOdds(probabilities[1]!) - mean) < 1e-3, `${path}: ${mean}`);
      assert.equal(fold, run.split.find((row) => row.path === path)!.subset);
    }
  });
}

test(
  "testModel() scores every image by what was learnt on the other folds, and says so",
  {},
  async ({ root, config, load, split }) => {
    const testModel = await ofConfig<Test["testModel"]>(
      { load },
      "lib/metrics/test.ts",
      "testModel",
    );
    const { predictions, decision, reference, scores, card } = await testModel(config);
    assert.equal(predictions.source, "out of fold");
    assert.equal(predictions.rows.length, 36);
    assert.equal(scores.accuracy.n, 36);
    const decisions = crossFitDecisions(decision.predicted, CLASSES, config);
    for (const [i, { path, predicted, probability, fold }] of predictions.rows.entries()) {
      const { calibration, threshold } = decisions.get(fold!)!;
      const calibrated = calibrate(decision.predicted[i]!.probabilities, calibration);
      assert.deepEqual([predicted, probability], [
        CLASSES[decide(calibrated, threshold)],
        calibrated[1],
      ]);
      assert.equal(fold, split.find((row) => row.path === path)!.subset);
    }
    const all = fitDecision({
      probabilities: decision.predicted.map(({ probabilities }) => probabilities),
      labels: decision.predicted.map(({ label }) => CLASSES.indexOf(label)),
      groups: decision.predicted.map(({ group }) => group),
      classes: CLASSES,
      seed: config.seed,
    }, config);
    assert.deepEqual(card.decision, JSON.parse(JSON.stringify(all.decision)));
    assert.deepEqual(reference?.images, { train: 36, validation: 36 });
    const rows = await readPredictions(join(root, "results/default/predictions_test.csv"));
    assert.deepEqual(rows.map(({ fold }) => fold), predictions.rows.map(({ fold }) => fold));
    const folds = foldScores(predictions);
    assert.deepEqual(folds.map(({ fold, images, groups }) => [fold, images, groups]), [
      ["fold_1", 12, 6],
      ["fold_2", 12, 6],
      ["fold_3", 12, 6],
    ]);
    const right = folds.reduce((sum, { images, accuracy }) => sum + images * accuracy!, 0);
    assert.ok(Math.abs(right / 36 - scores.accuracy.value!) < 1e-12);
  },
);

test(
  "explainRun() explains an image by the member that predicted it, whatever the folds are called",
  { first: 4 },
  async ({ model, card, config, load }) => {
    const [testModel, explainRun] = await Promise.all([
      ofConfig<Test["testModel"]>({ load }, "lib/metrics/test.ts", "testModel"),
      ofConfig<typeof import("../../lib/metrics/explain.ts").explainRun>(
        { load },
        "lib/metrics/explain.ts",
        "explainRun",
      ),
    ]);
    const { predictions } = await testModel(config);
    const before = tf.memory().numTensors;
    const { groups, check } = await explainRun(config, predictions, { loaded: { model, card } });
    assert.equal(tf.memory().numTensors, before);
    assert.ok(check);
    for (const { path, fold, predicted, image } of groups.flatMap(({ examples }) => examples)) {
      const explainer = createExplainer(memberOf(model, Number(fold!.at(-1)) - 4), card);
      const { maps } = await explainer.explain(image.pixels, () => CLASSES.indexOf(predicted));
      explainer.dispose();
      assert.equal(image.explained, predicted);
      image.map.values.forEach((value, i) =>
        assert.ok(Math.abs(value - maps[0]!.values[i]!) < 1e-3, path)
      );
    }
  },
);

test("testModel() scores the held-out images by the whole model, where there are some", {
  heldOut: true,
}, async ({ config, load }) => {
  const testModel = await ofConfig<Test["testModel"]>({ load }, "lib/metrics/test.ts", "testModel");
  const { predictions, decision } = await testModel(config);
  assert.deepEqual([predictions.source, predictions.rows.length], ["test", 12]);
  assert.equal(decision.predicted.length, 24, "the decision is learnt on the folds");
  assert.deepEqual(foldScores(predictions), []);
});

Deno.test("crossFitDecisions() does not look at the fold that it decides for", () => {
  const config = parseConfig({});
  const rows = Array.from({ length: 90 }, (_, i): RowPrediction => {
    const p = (i * 37 % 90 + 0.5) / 90;
    const label = CLASSES[p + 0.3 * Math.sin(i) > 0.5 ? 1 : 0]!;
    return {
      path: `${i}`,
      label,
      group: `${i}`,
      probabilities: [1 - p, p],
      fold: `fold_${i % 3 + 1}`,
    };
  });
  const flipped = rows.map((row) =>
    row.fold === "fold_2" ? { ...row, label: CLASSES[row.label === "positive" ? 0 : 1]! } : row
  );
  const [before, after] = [rows, flipped].map((own) => crossFitDecisions(own, CLASSES, config));
  assert.deepEqual(after!.get("fold_2"), before!.get("fold_2"));
  assert.notDeepEqual(after!.get("fold_1"), before!.get("fold_1"));
});

Deno.test("createExplainer() explains members that are all one model as that model", async () => {
  const alone = smallModel(CLASSES);
  const own = [1, 2, 3].map(() =>
    new Map([...alone.weights].map(([name, weight]) => [name, weight.clone()]))
  );
  const ensemble: Model = assembleEnsemble(alone, FROZEN, own);
  const pixels = someImages(3, SMALL);
  const [one, all] = [alone, ensemble].map((model) => createExplainer(model));
  assert.deepEqual(all!.layer, one!.layer);
  const [expected, found] = [
    await one!.explain(pixels, () => 1),
    await all!.explain(pixels, () => 1),
  ];
  for (const [i, { values, isZero }] of found.maps.entries()) {
    assert.equal(isZero, expected.maps[i]!.isZero);
    values.forEach((value, at) =>
      assert.ok(Math.abs(value - expected.maps[i]!.values[at]!) < 1e-4)
    );
  }
  one!.dispose();
  all!.dispose();
  for (const weights of own) tf.dispose([...weights.values()]);
  disposeModel(ensemble);
  disposeModel(alone);
});

Deno.test("fitReference() of folds measures each image by the others alone", () => {
  const appearance = (i: number): Appearance => ({
    traits: {
      size: 5,
      shape: 0,
      stain: 1,
      redness: 0.1,
      sharpness: 3,
      brightness: 0.5 + i / 1e3,
    } as unknown as Appearance["traits"],
    features: Float32Array.from({ length: 8 }, (_, c) => Math.abs(Math.sin(i * (c + 1)))),
  });
  const images = Array.from({ length: 60 }, (_, i) => appearance(i));
  const odd = { ...images[7]!, features: images[7]!.features.map((value) => 40 * value) };
  const all = images.with(7, odd);
  const parts = [0, 1, 2].map((fold) => ({
    train: all.filter((_, i) => i % 3 !== fold),
    validation: all.filter((_, i) => i % 3 === fold),
  }));
  const options = { share: 0.02, weightsSha256: "a".repeat(64) };
  const reference = fitReference(parts, options)!;
  assert.deepEqual(reference.images, { train: 60, validation: 60 });
  const single = fitReference([{ train: all, validation: all }], options)!;
  // learnt with it, the odd image seems ordinary; measured by the others it does not
  assert.ok(reference.features.limit >= single.features.limit);
  assert.ok(reference.chance < 0.05);
});
