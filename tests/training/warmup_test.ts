import assert from "node:assert/strict";
import { isHeadLayer } from "../../lib/model/architectures.ts";
import { inFolder } from "../data/test_images.ts";
import { bitsOf, toyImages, type ToyJob, toyModel, trainToy } from "./toy.ts";

const model = toyModel();

/** What changes with two epochs of warm-up and the last block unfrozen, one epoch being seen. */
const warmup = {
  model: { unfreezeLast: 10 },
  training: {
    epochs: 3,
    warmupEpochs: 2,
    warmupLearningRate: 1e-3,
    learningRate: 1e-5,
    batchNorm: "trained",
    reduceLROnPlateau: { patience: 1, minDelta: 100 },
  },
} as const;

function withToy(test: (toy: ToyJob) => Promise<void>): () => Promise<void> {
  return () =>
    inFolder(async (folder) => {
      const [train, validation] = [await toyImages(folder, 16, 1), await toyImages(folder, 9, 2)];
      await test({ folder, model, train, validation, change: warmup });
    });
}

Deno.test(
  "fit() trains the head alone during warm-up, then all unfrozen layers at a lower rate",
  withToy(async (toy) => {
    const start = bitsOf(model.weights);
    const perEpoch: Map<string, string>[] = [];
    const { history, events } = await trainToy({
      ...toy,
      // Without a validation image of class 1 there is no AUC, and every epoch counts as the best.
      validation: toy.validation.filter(({ label }) => label === 0),
      change: { ...warmup, training: { ...warmup.training, checkpoint: { monitor: "val_auc" } } },
      onBest: (best) => Promise.resolve(void perEpoch.push(bitsOf(best.weights))),
    });
    const changed = perEpoch.map((weights) =>
      [...weights].filter(([name, bits]) => bits !== start.get(name)).map(([name]) => name)
    );
    assert.equal(changed.length, 3);
    for (const names of changed.slice(0, 2)) {
      assert.ok(names.includes("predictions/kernel") && names.every(isHeadLayer), names.join());
    }
    assert.ok(changed[2]!.includes("conv5_block3_1_conv/kernel"));
    assert.ok(changed[2]!.includes("conv5_block3_1_bn/moving_mean"));
    assert.deepEqual(
      history.map((row) => row.learning_rate),
      [1e-3, 1e-3, Math.fround(1e-5)],
      "callbacks do not touch the rate during warm-up",
    );
    assert.deepEqual(
      events.filter(({ kind }) => kind === "unfreeze").map(({ epoch }) => epoch),
      [2],
    );
  }),
);

Deno.test(
  "fit() interrupted at the end of warm-up continues as if it had not been",
  withToy(async (toy) => {
    const whole = await trainToy({ ...toy, checkpoints: `${toy.folder}/whole` });
    const parts = { ...toy, checkpoints: `${toy.folder}/parts` };
    await assert.rejects(
      trainToy({
        ...parts,
        onEpoch: (history) => {
          if (history.length === 2) throw new Error("pulled the plug");
        },
      }),
      /pulled the plug/,
    );
    const resumed = await trainToy(parts);
    assert.equal(resumed.resumedFrom, 2);
    assert.deepEqual(resumed.history, whole.history);
  }),
);
