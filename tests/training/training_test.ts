import assert from "node:assert/strict";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { readCsv } from "../../lib/core/csv.ts";
import { exists, sha256File } from "../../lib/core/files.ts";
import { tf } from "../../lib/core/tensorflow.ts";
import { disposeModel } from "../../lib/model/model.ts";
import { loadModel } from "../../lib/model/saved.ts";
import { readHistory } from "../../lib/run/history.ts";
import type { ProbeScores } from "../../lib/run/metrics_file.ts";
import { askPython } from "../ask_python.ts";
import { sectionsOf } from "../copy_project.ts";
import { type CellAnswer, runCells } from "../run_cells.ts";
import { CLASSES, testToyProject as test } from "./toy.ts";

type Runs = typeof import("../../lib/run/run.ts");

/** What TensorBoard's own reader finds: steps and values by tag, of both runs. */
type Log = Record<string, { tags: Record<string, [number, number, number][]> }>;

/** Has a training killed after an epoch. */
const killedAfter = (epoch: number) => ({
  onEpoch: (history: readonly unknown[]) => {
    if (history.length === epoch) throw new Error("killed");
  },
});

test("trainRun() logs every epoch once for TensorBoard, over a kill, and none where not asked to", async ({ root, trainRun, config }) => {
  const logged = config({ training: { epochs: 3, logs: "tensorboard" } });
  const folder = join(root, "results/default/tensorboard");
  await assert.rejects(trainRun(logged, killedAfter(2)), /killed/);
  const { history, resumedFrom } = await trainRun(logged);
  assert.equal(resumedFrom, 2);
  const oracle = join(import.meta.dirname!, "tensorboard_oracle.py");
  const [log] = await askPython(oracle, [folder]) as Log[];
  for (const [run, column] of [["train", "loss"], ["validation", "val_loss"]] as const) {
    assert.deepEqual(
      log![run]!.tags["epoch_loss"]!.map(([step, value]) => [step, value]),
      history.map((row) => [row.epoch, Math.fround(row[column])]),
    );
  }

  await Deno.remove(folder, { recursive: true });
  const silent = await trainRun(config({ training: { epochs: 3 } }));
  assert.equal(silent.resumedFrom, 3, "logging is no other training");
  assert.equal(await exists(folder), false);
  await trainRun(logged);
  assert.equal(await exists(join(folder, "train")), true, "of a training that has ended too");
});

test("trainRun() records the config that the history is of, with the weights really started from", async ({ load, trainRun, config }) => {
  const { readRuns } = await load<Runs>("lib/run/run.ts");
  assert.deepEqual((await readRuns()).remarks, [
    { run: "default", text: "left out: it is no run of this project" },
  ]);
  const used = config({ training: { learningRate: 0.002 } });
  const { history, kept: [best] } = await trainRun(used);
  const { runs, remarks } = await readRuns();
  assert.deepEqual(remarks, []);
  assert.equal(runs.length, 1);
  assert.deepEqual(runs[0]!.config, used);
  assert.deepEqual(runs[0]!.history, history);
  assert.deepEqual(runs[0]!.best, best);
});

test("trainRun() leaves the best model with its card, the history and a Keras file", async ({ root, trainRun, config }) => {
  const before = tf.memory().numTensors;
  const used = config({ model: { attention: "cbam" } });
  const { history, kept: [best], startingWeights } = await trainRun(used);
  assert.equal(tf.memory().numTensors, before);
  assert.deepEqual(await readHistory(join(root, "results/default/history.csv")), history);
  assert.equal(history.length, 2);
  assert.ok(await exists(join(root, "model/default/model.keras")));
  const text = await Deno.readTextFile(join(root, "model/default/model_card.md"));
  assert.match(text, /^# Model card: run default$[^]*^Not tested yet/m);

  const { model, card } = await loadModel(join(root, "model/default"));
  disposeModel(model);
  const { epoch: bestEpoch, val_loss, val_accuracy, val_auc } = best!;
  assert.ok(history.some((row) => row === best));
  const scores = { val_loss, val_accuracy, val_auc };
  assert.deepEqual(card.training, { bestEpoch, monitor: "val_loss", seed: 42, scores });
  assert.deepEqual(card.architecture.classes, CLASSES);
  assert.equal(card.architecture.attention, "cbam");
  const sha256 = await sha256File(join(root, "results/default/split.csv"));
  assert.equal(card.data.splitSha256, sha256);
  assert.deepEqual(card.data.images, { train: 12, validation: 9, test: 9 });
  assert.deepEqual(card.startingWeights, startingWeights);
  assert.equal(card.startingWeights.kind, "random");
});

test("a linear probe trains, is saved for Python too, and is tested and evaluated as any model", async ({ root, load, trainRun, config }) => {
  const head = { units: [], dropout: [] };
  const own = config({ model: { head }, evaluation: { folder: "data" } });
  await trainRun(own);
  const { model, card } = await loadModel(join(root, "model/default"));
  disposeModel(model);
  assert.deepEqual([card.architecture.head, card.frozen.unfreezeLast], [head, 0]);
  assert.deepEqual(model.graph.slice(-2).map(({ name }) => name), ["head_pool", "predictions"]);
  assert.ok(await exists(join(root, "model/default/model.keras")));
  const run = sectionsOf({ load }, own);
  const { probe } = await run("testModel", "lib/metrics/test.ts") as { probe: ProbeScores };
  assert.ok("gains" in probe && probe.images === 9);
  await run("evaluateRun", "lib/evaluation/evaluate.ts");
  const rows = await readCsv(join(root, "results/default/evaluation.csv"), ["name"], "");
  assert.equal(rows.length, 30);
});

test("trainRun() continues what was interrupted, and begins anew when config or model are others", async ({ root, trainRun, config }) => {
  await assert.rejects(trainRun(config(), killedAfter(1)), /killed/);
  const first = await trainRun(config());
  assert.deepEqual([first.resumedFrom, first.history.length], [1, 2]);
  const path = join(root, "results/default/history.csv");
  assert.equal((await readHistory(path)).length, 2, "the epoch before the kill is in it too");

  const same = await trainRun(config());
  assert.deepEqual([same.resumedFrom, same.history], [2, first.history]);
  const views = await trainRun(config({ training: { cachedViews: 3 } }));
  assert.equal(views.resumedFrom, 2, "images as they are have one view");
  const more = await trainRun(config({ training: { epochs: 3, cacheMegabytes: 0 } }));
  assert.equal(more.resumedFrom, 2);
  const other = await trainRun(config({ training: { learningRate: 0.5e-4 } }));
  assert.equal(other.resumedFrom, 0);
  for (
    const training of [{ augmentation: { symmetries: true } }, { sampling: "balanced" }] as const
  ) {
    const changed = await trainRun(config({ training }));
    assert.equal(changed.resumedFrom, 0, JSON.stringify(training));
    assert.equal((await trainRun(config({ training }))).resumedFrom, 2);
  }
  await trainRun(config({ training: { learningRate: 0.5e-4 } }));

  await Deno.remove(join(root, "model/default/model.json"));
  const again = await trainRun(config({ training: { learningRate: 0.5e-4 } }));
  assert.equal(again.resumedFrom, 0, "without a model the checkpoints are worth nothing");
  assert.ok(await exists(join(root, "model/default/model.json")));
});

test("trainRun() says what is missing or not as notebook 03 left it", async ({ root, trainRun, config }) => {
  const refused = (message: RegExp) =>
    assert.rejects(trainRun(config()), { name: "DataError", message });
  const before = tf.memory().numTensors;
  const certificate = join(root, "results/default/split_certificate.json");
  const split = join(root, "results/default/split.csv");
  const [text, good] = [await Deno.readTextFile(split), await Deno.readTextFile(certificate)];
  await Deno.writeTextFile(split, text.replace(",test", ",train"));
  await refused(/split\.csv is not the split that .*certificate\.json vouches for.*notebook 03/s);
  await Deno.writeTextFile(split, text);
  for (const text of ["{}", "{"]) {
    await Deno.writeTextFile(certificate, text);
    await refused(/split_certificate\.json.*Run notebook 03 again/s);
  }
  await Deno.writeTextFile(certificate, good);
  await Deno.remove(split);
  await refused(/split\.csv cannot be read.*notebook 03/s);
  await Deno.remove(certificate);
  await refused(/split_certificate\.json cannot be read.*notebook 03/s);
  assert.equal(tf.memory().numTensors, before);
});

test("trainRun() stopped in a notebook returns what there is, keeps the kernel, and goes on next time", async ({ root, config }) => {
  const module = pathToFileURL(join(root, "lib/training/training.ts")).href;
  const runModule = pathToFileURL(join(root, "lib/run/run.ts")).href;
  const long = config({ training: { epochs: 40, earlyStopping: { patience: 40 } } });
  const trainCell = (name: string) => `
    const ${name} = await trainRun(run, { onProgress: (_d, _t, _n, at) => console.log(at?.place) });
    console.log("RETURNED", ${name}.interrupted, ${name}.resumedFrom, ${name}.history.length);`;
  const cells = [
    {
      code: `const { trainRun } = await import("${module}");
        const { runOf } = await import("${runModule}"); const run = runOf(${
        JSON.stringify(long)
      });`,
    },
    { code: trainCell("first"), stop_on: "epoch 1 of at most 40, batch 1 of 2" }, // extraction
    { code: trainCell("second"), stop_on: "epoch 4 of at most 40" },
    { code: `console.log("KEPT", first.history.length, typeof second.members);` },
    { code: trainCell("third") },
  ];
  const [, first, second, kept, third] = await runCells(cells);
  const returned = (answer?: CellAnswer) => {
    const match = /RETURNED (\w+) (\d+) (\d+)/.exec(answer?.output ?? "");
    assert.ok(match, JSON.stringify(answer));
    return [match[1], Number(match[2]), Number(match[3])] as const;
  };
  const [wasStopped, , epochs] = returned(first);
  assert.equal(wasStopped, "true");
  assert.ok(epochs <= 2, `${epochs} epochs`);
  const [again, from, more] = returned(second);
  assert.deepEqual([again, from], ["true", epochs]);
  assert.ok(more >= 3 && more < 40, `${more} epochs`);
  assert.match(kept!.output, new RegExp(`KEPT ${epochs} number`));
  assert.deepEqual(returned(third), ["false", more, 40]);
});
