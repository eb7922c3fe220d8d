import assert from "node:assert/strict";
import { join } from "node:path";
import { askPython } from "../ask_python.ts";
import { withToyProject } from "./toy_project.ts";

type Train = typeof import("../../lib/training/training.ts");

type Runs = typeof import("../../lib/run/runs.ts");

const isThere = (path: string) => Deno.stat(path).then(() => true, () => false);

/** What TensorBoard's own reader finds: steps and values by tag, of both runs. */
type Log = Record<string, { tags: Record<string, [number, number, number][]> }>;

Deno.test(
  "trainRun() logs every epoch once for TensorBoard, over a kill, and none where not asked to",
  withToyProject(async ({ root, load, config }) => {
    const { trainRun } = await load<Train>("lib/training/training.ts");
    const logged = config({ training: { epochs: 3, logs: "tensorboard" } });
    const folder = join(root, "results/default/tensorboard");
    const killed = trainRun(logged, {
      onEpoch: (history) => {
        if (history.length === 2) throw new Error("killed");
      },
    });
    await assert.rejects(killed, /killed/);
    const { history, resumedFrom } = await trainRun(logged);
    assert.equal(resumedFrom, 2);
    const [log] = await askPython(join(import.meta.dirname!, "tensorboard_oracle.py"), [
      folder,
    ]) as Log[];
    for (const [run, column] of [["train", "loss"], ["validation", "val_loss"]] as const) {
      assert.deepEqual(
        log![run]!.tags["epoch_loss"]!.map(([step, value]) => [step, value]),
        history.map((row) => [row.epoch, Math.fround(row[column])]),
      );
    }

    await Deno.remove(folder, { recursive: true });
    const silent = await trainRun(config({ training: { epochs: 3 } }));
    assert.equal(silent.resumedFrom, 3, "logging is no other training");
    assert.equal(await isThere(folder), false);
    await trainRun(logged);
    assert.equal(await isThere(join(folder, "train")), true, "of a training that has ended too");
  }),
);

Deno.test(
  "trainRun() records the config that the history is of, with the weights really started from",
  withToyProject(async ({ load, config }) => {
    const { trainRun } = await load<Train>("lib/training/training.ts");
    const { readRuns } = await load<Runs>("lib/run/runs.ts");
    assert.deepEqual((await readRuns()).remarks, [
      { run: "default", text: "left out: it is no run of this project" },
    ]);
    const used = config({ training: { learningRate: 0.002 } });
    const { history, bestEpoch } = await trainRun(used);
    const { runs, remarks } = await readRuns();
    assert.deepEqual(remarks, []);
    assert.equal(runs.length, 1);
    assert.deepEqual(runs[0]!.config, used);
    assert.deepEqual(runs[0]!.history, history);
    assert.equal(runs[0]!.best.epoch, bestEpoch);
  }),
);
