import assert from "node:assert/strict";
import { join } from "node:path";
import { sha256File } from "../../lib/core/files.ts";
import type { Config, ConfigInput } from "../../lib/core/settings.ts";
import { tf } from "../../lib/core/tensorflow.ts";
import { disposeModel } from "../../lib/model/model.ts";
import { loadModel } from "../../lib/model/saved.ts";
import { readHistory } from "../../lib/run/history.ts";
import { CLASSES, withToyProject } from "./toy_project.ts";

type TrainRun = typeof import("../../lib/training/training.ts");

/** Runs in a project whose notebooks 02 and 03 have been run on 30 toy images. */
function withProject(
  test: (
    root: string,
    trainRun: TrainRun["trainRun"],
    config: (change?: ConfigInput) => Config,
  ) => Promise<void>,
): () => Promise<void> {
  return withToyProject(async ({ root, load, config }) => {
    const { trainRun } = await load<TrainRun>("lib/training/training.ts");
    await test(root, trainRun, config);
  });
}

const isThere = (path: string) => Deno.stat(path).then(() => true, () => false);

Deno.test(
  "trainRun() leaves the best model with its card, the history and a Keras file",
  withProject(async (root, trainRun, config) => {
    const before = tf.memory().numTensors;
    const { history, bestEpoch, startingWeights } = await trainRun(config());
    assert.equal(tf.memory().numTensors, before);
    assert.deepEqual(await readHistory(join(root, "results/default/history.csv")), history);
    assert.equal(history.length, 2);
    assert.ok(await isThere(join(root, "model/default/model.keras")));
    const text = await Deno.readTextFile(join(root, "model/default/model_card.md"));
    assert.match(text, /^# Model card: run default$[^]*^Not tested yet/m);

    const { model, card } = await loadModel(join(root, "model/default"));
    disposeModel(model);
    const best = history[bestEpoch - 1]!;
    const { val_loss, val_accuracy, val_auc } = best;
    assert.deepEqual(card.training, {
      bestEpoch,
      monitor: "val_loss",
      seed: 42,
      scores: { val_loss, val_accuracy, val_auc },
    });
    assert.deepEqual(card.architecture.classes, CLASSES);
    assert.deepEqual([card.data.splitSha256, card.data.images], [
      await sha256File(join(root, "results/default/split.csv")),
      { train: 12, validation: 9, test: 9 },
    ]);
    assert.deepEqual(card.startingWeights, startingWeights);
    assert.equal(card.startingWeights.kind, "random");
  }),
);

Deno.test(
  "trainRun() continues what was interrupted, and begins anew when config or model are others",
  withProject(async (root, trainRun, config) => {
    const killed = trainRun(config(), {
      onEpoch: () => {
        throw new Error("killed");
      },
    });
    await assert.rejects(killed, /killed/);
    const first = await trainRun(config());
    assert.deepEqual([first.resumedFrom, first.history.length], [1, 2]);
    const path = join(root, "results/default/history.csv");
    assert.equal((await readHistory(path)).length, 2, "the epoch before the kill is in it too");

    const same = await trainRun(config());
    assert.deepEqual([same.resumedFrom, same.history], [2, first.history]);
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
    assert.ok(await isThere(join(root, "model/default/model.json")));
  }),
);

Deno.test(
  "trainRun() says what is missing or not as notebook 03 left it",
  withProject(async (root, trainRun, config) => {
    const refused = (message: RegExp) =>
      assert.rejects(trainRun(config()), (error: unknown) => {
        assert(error instanceof Error && error.name === "DataError", String(error));
        assert.match(error.message, message);
        return true;
      });
    const before = tf.memory().numTensors;
    const certificate = join(root, "results/default/split_certificate.json");
    const split = join(root, "results/default/split.csv");
    const text = await Deno.readTextFile(split);
    await Deno.writeTextFile(split, text.replace(",test", ",train"));
    await refused(/split\.csv is not the split that .*certificate\.json vouches for.*notebook 03/s);
    await Deno.writeTextFile(split, text);
    for (const text of ["{}", "{"]) {
      await Deno.writeTextFile(certificate, text);
      await refused(/split_certificate\.json.*Run notebook 03 again/s);
    }
    await Deno.writeTextFile(
      certificate,
      JSON.stringify({ manifest_sha256: "", split_sha256: await sha256File(split) }),
    );
    await Deno.remove(split);
    await refused(/split\.csv cannot be read.*notebook 03/s);
    await Deno.remove(certificate);
    await refused(/split_certificate\.json cannot be read.*notebook 03/s);
    assert.equal(tf.memory().numTensors, before);
  }),
);
