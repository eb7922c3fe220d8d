import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { ConfigInput } from "../../lib/core/settings.ts";
import { tf } from "../../lib/core/tensorflow.ts";
import { isHeadLayer } from "../../lib/model/architectures.ts";
import { isTrainable } from "../../lib/model/graph.ts";
import { disposeModel, frozenLayerCount } from "../../lib/model/model.ts";
import { readCheckpoint } from "../../lib/training/checkpoint.ts";
import {
  apart,
  bitsOf,
  firstEpoch,
  killed,
  toyDecode,
  toyImages,
  type ToyJob,
  toyModel,
  toyTests,
  trainToy,
  WARM_UP,
  withWrongValidation,
} from "./toy.ts";

const model = toyModel();

/** A test with 20 training and 9 validation images in a folder of its own. */
const test = toyTests(model, { train: 20, validation: 9 });

for (const batchNorm of ["frozen", "trained"] as const) {
  test(`fit() changes no bit of the frozen layers and of what BatchNorm ${batchNorm} keeps`, async (toy) => {
    const start = bitsOf(model.weights);
    const seen: Map<string, string>[] = [];
    const { weights, history } = await trainToy({
      ...toy,
      change: { model: { unfreezeLast: 10 }, training: { epochs: 2, batchNorm } },
      onBest: (best) => Promise.resolve(void seen.push(bitsOf(best.weights))),
    });
    assert.ok(history.length === 2 && seen.length > 0);
    assert.deepEqual(bitsOf(model.weights), start, "the given model");
    const unfrozen = new Set(
      model.graph.slice(frozenLayerCount("resnet50", 10)).map(({ name }) => name),
    );
    assert.ok(unfrozen.has("conv5_block3_1_conv") && !unfrozen.has("conv5_block2_3_conv"));
    const changed = new Set<string>();
    for (const after of [weights, ...seen]) {
      for (const [name, bits] of after) if (bits !== start.get(name)) changed.add(name);
    }
    for (const name of start.keys()) {
      const [layer, weight] = name.split("/") as [string, string];
      const moves = unfrozen.has(layer) &&
        (!weight.startsWith("moving_") || batchNorm === "trained" || layer.startsWith("head_"));
      assert.equal(changed.has(name), moves, name);
    }
  });
}

for (const cacheGigabytes of [1, 0]) {
  test(`fit() leaks no tensor over 20 epochs, with ${cacheGigabytes} GB of cache`, async (toy) => {
    const before = tf.memory().numTensors;
    const during: number[] = [];
    await trainToy({
      ...toy,
      change: { training: { cacheGigabytes, cacheMegabytes: 0, epochs: 20 } },
      onEpoch: () => void during.push(tf.memory().numTensors),
    });
    assert.equal(tf.memory().numTensors, before);
    assert.equal(during.length, 20);
    assert.equal(new Set(during).size, 1, `tensors after each epoch: ${during}`);
  });
}

for (const attention of ["se", "cbam"] as const) {
  test(`fit() trains attention ${attention} with the head, and leaks no tensor`, async (toy) => {
    const imageSize = 64; // a map of 2 × 2
    const attentive = toyModel({ backbone: "efficientnet_lite0", attention, imageSize });
    const [before, start] = [tf.memory().numTensors, bitsOf(attentive.weights)];
    const { history, weights } = await trainToy({
      ...{ ...toy, model: attentive, decode: { ...toyDecode, size: imageSize } },
      change: {
        model: { backbone: "efficientnet_lite0", imageSize, attention },
        training: { epochs: 2, warmupEpochs: 1 },
      },
    });
    assert.equal(tf.memory().numTensors, before);
    assert.equal(history.length, 2);
    assert.ok(history.every(({ loss, val_loss }) => Number.isFinite(loss + val_loss)));
    for (const [name, bits] of weights) {
      const moves = isHeadLayer(name);
      assert.equal(bits !== start.get(name), moves, name);
    }
    assert.ok(weights.has("head_attention_expand/kernel"));
    disposeModel(attentive);
  });
}

test("fit() learns to tell apart what can be told apart", async (toy) => {
  const { history } = await trainToy({
    ...toy,
    validation: await toyImages(toy.folder, 30, 3),
    change: { training: { epochs: 30 } }, // 90 steps
  });
  const [first, last] = [history[0]!, history.at(-1)!];
  assert.ok(last.loss < first.loss / 3, `loss ${first.loss} to ${last.loss}`);
  // The ranking alone of validation: the head's moving statistics take hundreds of steps.
  assert.ok(last.auc! > 0.95 && last.val_auc === 1, JSON.stringify(last));
});

test("fit() gives the same history for the same seed, another for another", async (toy) => {
  const change = { model: { unfreezeLast: 4 }, training: { epochs: 2 } };
  const first = await trainToy({ ...apart(toy, "a"), change });
  const second = await trainToy({ ...apart(toy, "b"), change });
  assert.deepEqual(second, first);
  const other = await trainToy({ ...apart(toy, "c"), change: { ...change, seed: 7 } });
  assert.notEqual(other.history[0]!.loss, first.history[0]!.loss);
});

test("fit() gives the same history whether features are kept or computed anew", async (toy) => {
  // Steps so small that Adam cannot turn differences in the last bits into different steps:
  // features computed in another batch may be rounded otherwise, to one part in 2,048.
  const change = { training: { learningRate: 1e-6 } };
  const kept = await trainToy({ ...apart(toy, "kept"), change });
  const again = await trainToy({ ...apart(toy, "again"), change });
  assert.deepEqual(again, kept, "from those that an earlier training has kept");
  const anew = await trainToy({
    ...apart(toy, "anew"),
    change: { training: { ...change.training, cacheMegabytes: 0, cacheGigabytes: 0 } },
  });
  assert.equal(anew.history.length, 3);
  for (const [index, row] of anew.history.entries()) {
    for (const [name, value] of Object.entries(row)) {
      const expected = kept.history[index]![name as "loss"];
      assert.ok(Math.abs(Number(value) - expected) < 1e-4, `${name}: ${value} and ${expected}`);
    }
  }
});

test("fit() ends with EarlyStopping's best epoch, or with the last one", async (right) => {
  const toy = withWrongValidation(right);
  const monitor = "val_accuracy" as const; // steps too small to change it, so the first is best
  const change = (restoreBest: boolean): ConfigInput => {
    const earlyStopping = { monitor, patience: 9, restoreBest };
    return { training: { epochs: 4, learningRate: 1e-6, checkpoint: { monitor }, earlyStopping } };
  };
  const after: Map<string, string>[] = [];
  const train = (restoreBest: boolean) =>
    trainToy({
      ...apart(toy, `${restoreBest}`),
      change: change(restoreBest),
      onBest: (best) => Promise.resolve(void after.push(bitsOf(best.weights))),
    });
  await killed({ ...apart(toy, "true"), change: change(true) }, 2);
  const restored = await train(true); // the best weights come from the checkpoint
  after.length = 0;
  const last = await train(false);
  const scores = last.history.map(({ val_accuracy }) => val_accuracy);
  const best = scores.indexOf(Math.max(...scores));
  assert.ok(best < 3, `the last epoch is not the best: ${scores}`);
  assert.equal(last.bestEpoch, best + 1);
  assert.deepEqual(restored.weights, after.at(-1));
  const [own, restoredOne] = [last.weights, restored.weights].map((of) =>
    of.get("predictions/kernel")
  );
  assert.notEqual(own, restoredOne);
  assert.deepEqual(restored.history, last.history);
  assert.equal(restored.bestEpoch, last.bestEpoch);
});

test("fit() ends with the ImageError of an image that vanishes in the middle of an epoch", async (toy) => {
  for (const [name, cacheGigabytes] of [["computed anew", 0], ["kept", 1]] as const) {
    const { path } = toy.validation.at(-1)!;
    const bytes = await Deno.readFile(path);
    const before = tf.memory().numTensors;
    const kept: number[] = [];
    const failure = trainToy({
      ...apart(toy, name),
      features: join(toy.folder, `features ${name}`),
      change: { training: { cacheGigabytes, cacheMegabytes: 0 } },
      onProgress: () => rmSync(path, { force: true }),
      onBest: (_, { epoch }) => Promise.resolve(void kept.push(epoch)),
    });
    await assert.rejects(failure, { name: "ImageError", path });
    assert.deepEqual([tf.memory().numTensors, kept.length], [before, 0]);
    await Deno.writeFile(path, bytes);
    const { history, resumedFrom } = await trainToy(apart(toy, name));
    assert.deepEqual([history.length, resumedFrom], [3, 0]);
  }
});

test("fit() stops with a hint when the loss is no longer a number, and keeps no such epoch", async (toy) => {
  const before = tf.memory().numTensors;
  for (const batchSize of [8, 32]) { // 32: one step, so that only validation can tell
    const failure = trainToy({
      ...toy,
      change: { training: { learningRate: 1e38, batchSize } },
      onBest: () => assert.fail("no epoch was good"),
    });
    await assert.rejects(failure, {
      name: "TrainingError",
      message: /epoch 1: training has diverged/,
      remedy: /Lower training\.learningRate \(it was 1e\+38;/,
    });
    assert.equal(tf.memory().numTensors, before);
  }
});

test("fit() trains on the last partial batch too, each image once an epoch", async (toy) => {
  const seen: string[] = [];
  const { history } = await trainToy({
    ...toy,
    change: { training: { epochs: 2, batchSize: 6 } },
    onProgress: (done, total, note, at) =>
      void seen.push(`${done}/${total} ${at ? at.place : note}`),
  });
  const saved = await readCheckpoint(join(toy.folder, "checkpoints"), "toy");
  assert.equal(saved?.state.adamStep, 2 * 4); // 6 + 6 + 6 + 2 images
  tf.dispose([...saved!.tensors.values(), ...saved!.bestTensors!.values()]);
  assert.equal(history.length, 2);
  assert.deepEqual(seen.filter((line) => line.includes("epoch 2")), [
    "29/58 epoch 2 of at most 2, starting",
    "35/58 epoch 2 of at most 2, batch 1 of 4",
    "41/58 epoch 2 of at most 2, batch 2 of 4",
    "47/58 epoch 2 of at most 2, batch 3 of 4",
    "49/58 epoch 2 of at most 2, batch 4 of 4",
    "55/58 epoch 2 of at most 2, validation batch 1 of 2",
    "58/58 epoch 2 of at most 2, validation batch 2 of 2",
  ]);
  assert.equal(seen[0], "0/58 epoch 1 of at most 2, starting");
});

test("fit() weighs balanced classes as Keras' class_weight: n / (2 · n of the class), mean over images", async (toy) => {
  const change = { training: { epochs: 1, batchSize: 32 } } as const; // one batch, one step
  const none = await trainToy({ ...apart(toy, "none"), change });
  const balanced = await trainToy({
    ...apart(toy, "balanced"),
    change: { training: { ...change.training, classWeights: "balanced" } },
  });
  const losses = await firstEpoch({ ...toy, change });
  const positive = losses.filter(({ label }) => label === 1).length;
  assert.deepEqual([losses.length, positive], [20, 7]);
  const mean = (weights: [number, number]) =>
    losses.reduce((sum, { label, loss }) => sum + weights[label]! * loss, 0) / 20;
  const close = (a: number, b: number) => assert.ok(Math.abs(a - b) < 1e-5, `${a} and ${b}`);
  close(none.history[0]!.loss, mean([1, 1]));
  close(balanced.history[0]!.loss, mean([20 / (2 * 13), 20 / (2 * 7)]));
  assert.ok(Math.abs(none.history[0]!.loss - balanced.history[0]!.loss) > 1e-3);
  const [kernel, other] = [none, balanced].map(({ weights }) => weights.get("predictions/kernel"));
  assert.notEqual(kernel, other);
});

test("fit() trains on the balanced draw of an epoch, last partial batch included", async (right) => {
  const toy = { ...right, train: right.train.slice(0, 14) };
  const job: ToyJob = { ...toy, change: { training: { epochs: 1, sampling: "balanced" } } };
  const { history } = await trainToy(job);
  const seen = await firstEpoch(job);
  assert.deepEqual([seen.length, seen.filter(({ label }) => label === 1).length], [14, 7]);
  const expected = seen.reduce((sum, { loss }) => sum + loss, 0) / 14;
  assert.ok(Math.abs(history[0]!.loss - expected) < 1e-5, `${history[0]!.loss} and ${expected}`);
});

test("fit() goes on while it saves, one save at a time", async (toy) => {
  const seen: string[] = [];
  await trainToy({
    ...toy,
    // without a validation image of class 1 there is no AUC, and every epoch counts as the best
    validation: toy.validation.filter(({ label }) => label === 0),
    change: { training: { epochs: 3, checkpoint: { monitor: "val_auc" } } },
    onProgress: (done) => void (done === 26 + 8 && seen.push("epoch 2 goes on")), // 8 of 26
    onBest: async (_, { epoch }) => {
      seen.push(`save ${epoch} begins`);
      for (let i = 0; i < 1000 && !seen.includes("epoch 2 goes on"); i++) await delay(5);
      seen.push(`save ${epoch} ends`);
    },
  });
  const saves = [1, 2, 3].flatMap((epoch) => [`save ${epoch} begins`, `save ${epoch} ends`]);
  assert.deepEqual(seen, saves.toSpliced(1, 0, "epoch 2 goes on"));
});

test("fit() moves the backbone's layers by training.backboneRate of the head's step", async (toy) => {
  const moved = { head: 0, backbone: 0 };
  await trainToy({
    ...toy,
    train: toy.train.slice(0, 8), // one step, by which Adam moves each weight by its rate
    change: {
      model: { unfreezeLast: 10 },
      training: { epochs: 1, learningRate: 1e-2, backboneRate: 0.1 },
    },
    onBest: async ({ weights }) => {
      for (const [name, weight] of weights) {
        if (!isTrainable(name)) continue;
        const change = tf.tidy(() => weight.sub(model.weights.get(name)!).abs().max());
        const side = isHeadLayer(name) ? "head" : "backbone";
        moved[side] = Math.max(moved[side], (await change.data())[0]!);
        change.dispose();
      }
    },
  });
  assert.ok(Math.abs(moved.head - 1e-2) < 1e-5, `${moved.head}`);
  assert.ok(Math.abs(moved.backbone - 1e-3) < 1e-5, `${moved.backbone}`);
});

test("fit() trains the head alone during warm-up, then all unfrozen layers at a lower rate", async (toy) => {
  const start = bitsOf(model.weights);
  const perEpoch: Map<string, string>[] = [];
  const { history, events } = await trainToy({
    ...toy,
    train: toy.train.slice(0, 16),
    // Without a validation image of class 1 there is no AUC, and every epoch counts as the best.
    validation: toy.validation.filter(({ label }) => label === 0),
    change: { ...WARM_UP, training: { ...WARM_UP.training, checkpoint: { monitor: "val_auc" } } },
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
  const rates = history.map((row) => row.learning_rate); // no callback touches those of warm-up
  assert.deepEqual(rates, [1e-3, 1e-3, Math.fround(1e-5)]);
  assert.deepEqual(events.filter(({ kind }) => kind === "unfreeze").map(({ epoch }) => epoch), [2]);
});
