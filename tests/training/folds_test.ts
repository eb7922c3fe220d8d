import assert from "node:assert/strict";
import { join } from "node:path";
import { exists } from "../../lib/core/files.ts";
import { tf } from "../../lib/core/tensorflow.ts";
import { isHeadLayer } from "../../lib/model/architectures.ts";
import { disposeModel, memberOf, type Model } from "../../lib/model/model.ts";
import { createPredictor } from "../../lib/model/predict.ts";
import { loadModel } from "../../lib/model/saved.ts";
import { logOdds } from "../../lib/run/decision.ts";
import { readEvents, readHistory } from "../../lib/run/history.ts";
import { members, readSplit } from "../../lib/run/split_file.ts";
import { assertWithin, someImages } from "../model/ask_keras.ts";
import { SIZE, testToyProject, type ToyProject, writeToySplit } from "./toy.ts";

/** A toy project whose images are dealt into three folds. */
const test = (name: string, body: (project: ToyProject) => Promise<void>) =>
  testToyProject(name, async (project) => {
    const rows = await readSplit(join(project.root, "results/default/split.csv"));
    const dealt = rows.map((row, i) => ({
      ...row,
      subset: `fold_${Math.floor(i / 3) % 3 + 1}` as const,
    }));
    await writeToySplit(project.root, dealt);
    await body(project);
  });

test("trainRun() joins folds to one model: the mean of the members' log odds", async ({ root, trainRun, config }) => {
  const before = tf.memory().numTensors;
  const change = { model: { unfreezeLast: 3 } };
  const { history, kept, members: count, interrupted } = await trainRun(config(change));
  assert.equal(tf.memory().numTensors, before);
  assert.deepEqual([count, kept.length, history.length, interrupted], [3, 3, 6, false]);
  assert.deepEqual(await readHistory(join(root, "results/default/history.csv")), history);
  const { model, card } = await loadModel(join(root, "model/default"));
  assert.deepEqual(card.architecture.ensemble!.members, 3);
  assert.deepEqual(card.data.images, { train: 30, validation: 30, test: 30 });
  assert.equal(card.data.folds, 3);
  assert.ok(await exists(join(root, "model/default/model.keras")));

  const pixels = someImages(5, SIZE);
  const predict = async (model: Model) => {
    const predictor = createPredictor(model, card.preprocessing);
    const probabilities = await predictor.predict(pixels); // [5, 2]
    predictor.dispose();
    return [...probabilities].filter((_, i) => i % 2 === 1).map(logOdds);
  };
  const own = await Promise.all([0, 1, 2].map((i) => predict(memberOf(model, i))));
  assert.notDeepEqual(own[0], own[1]);
  assertWithin(
    1e-4,
    await predict(model),
    own[0]!.map((_, i) => (own[0]![i]! + own[1]![i]! + own[2]![i]!) / 3),
  );
  const trained = [...model.weights.keys()].filter((name) => isHeadLayer(name));
  assert.deepEqual(trained, [], "no head is shared");
  disposeModel(model);
});

test("trainRun() counts folds, not members, where folds were dealt twice", async ({ root, trainRun, config }) => {
  const path = join(root, "results/default/split.csv");
  const rows = await readSplit(path);
  const again = (i: number) => [`fold_${i % 3 + 1}` as const];
  await writeToySplit(root, rows.map((row, i) => ({ ...row, again: again(i) })));
  const { members: count } = await trainRun(config({ training: { epochs: 1 } }));
  const { data, architecture } = JSON.parse(
    await Deno.readTextFile(join(root, "model/default/model_card.json")),
  );
  assert.deepEqual([count, architecture.ensemble.members, data.folds], [6, 6, 3]);
  assert.deepEqual(data.images, { train: 30, validation: 30, test: 30 });
});

test("trainRun() goes on in the fold and epoch where it was killed, as if there had been none", async ({ root, load, trainRun, config }) => {
  const whole = await trainRun(config());
  const files = ["results/default/history.csv", "results/default/training_events.csv"];
  const [model, card] = [join(root, "model/default"), join(root, "model/default/model_card.json")];
  const weights = JSON.parse(await Deno.readTextFile(card)).weights;
  await Deno.remove(model, { recursive: true });
  for (const kill of [1, 3, 4]) {
    await assert.rejects(
      trainRun(config(), {
        onEpoch: ({ length }) => {
          if (length === kill) throw new Error("killed");
        },
      }),
      /killed/,
    );
  }
  assert.ok(!await exists(join(model, "model.json")), "there is no model of some folds");
  const { loadRunModel } = await load<typeof import("../../lib/model/saved.ts")>(
    "lib/model/saved.ts",
  );
  const { readRuns, runOf } = await load<typeof import("../../lib/run/run.ts")>("lib/run/run.ts");
  await assert.rejects(loadRunModel(runOf(config())), /has not come to its end[^]*Run notebook 05/);
  assert.match((await readRuns()).remarks[0]!.text, /has not come to its end/);
  for (const training of [{ learningRate: 0.5 }, { batchSize: 3 }]) {
    await assert.rejects(trainRun(config({ training })), /There is an interrupted training/);
  }
  const resumed = await trainRun(config());
  assert.equal(resumed.resumedFrom, 4);
  const withoutTime = (rows: typeof whole.history) => rows.map((row) => ({ ...row, seconds: 0 }));
  assert.deepEqual(withoutTime(resumed.history), withoutTime(whole.history));
  assert.deepEqual(resumed.events, whole.events);
  assert.deepEqual(await readEvents(join(root, files[1]!)), whole.events);
  assert.deepEqual(JSON.parse(await Deno.readTextFile(card)).weights, weights);

  const changedAt = (await Deno.stat(join(model, "model.json"))).mtime;
  const again = await trainRun(config());
  assert.equal(again.resumedFrom, 6);
  assert.deepEqual(
    (await Deno.stat(join(model, "model.json"))).mtime,
    changedAt,
    "nothing was to do",
  );
  const more = await trainRun(config({ training: { epochs: 3 } }));
  assert.deepEqual([more.resumedFrom, more.history.length], [6, 9]);
});

test("trainRun() does not lose an interrupted training of folds to a single split, or the other way", async ({ root, trainRun, config }) => {
  const killed = {
    onEpoch: () => {
      throw new Error("killed");
    },
  };
  await assert.rejects(trainRun(config(), killed), /killed/);
  const path = join(root, "results/default/split.csv");
  const rows = await readSplit(path);
  const subsets: Record<string, "train" | "validation" | "test"> = {
    ...{ fold_1: "test", fold_2: "validation", fold_3: "train" },
  };
  await writeToySplit(root, rows.map((row) => ({ ...row, subset: subsets[row.subset]! })));
  assert.equal(members(await readSplit(path)).length, 1);
  await assert.rejects(trainRun(config()), /There is an interrupted training of this run/);
  await assert.rejects(trainRun(config({ training: { startAnew: true } }), killed), /killed/);
  await writeToySplit(root, rows);
  await assert.rejects(trainRun(config()), /There is an interrupted training of this run/);
  const { kept } = await trainRun(config({ training: { startAnew: true } }));
  assert.equal(kept.length, 3);

  const memberCount = async () => {
    const card = await Deno.readTextFile(join(root, "model/default/model_card.json"));
    return JSON.parse(card).architecture.ensemble?.members;
  };
  assert.equal(await memberCount(), 3);
  await writeToySplit(root, rows.map((row) => ({ ...row, subset: subsets[row.subset]! })));
  await trainRun(config());
  assert.equal(await memberCount(), undefined);
  await writeToySplit(root, rows);
  await trainRun(config());
  assert.equal(await memberCount(), 3, "the same weights again are joined again");
});
