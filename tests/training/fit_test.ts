import assert from "node:assert/strict";
import { join } from "node:path";
import { ImageError, TrainingError } from "../../lib/core/errors.ts";
import { createRandom } from "../../lib/core/random.ts";
import type { ConfigInput } from "../../lib/core/settings.ts";
import { tf } from "../../lib/core/tensorflow.ts";
import { epochDraws } from "../../lib/images/decode.ts";
import { cutGraph } from "../../lib/model/graph.ts";
import { frozenLayerCount } from "../../lib/model/model.ts";
import { readCheckpoint } from "../../lib/training/checkpoint.ts";
import { createFeatureExtractor, featureSource } from "../../lib/training/features.ts";
import { createTrainable, disposeTrainable, trainStep } from "../../lib/training/trainable.ts";
import {
  bitsOf,
  SIZE,
  toyConfig,
  toyImages,
  type ToyJob,
  toyModel,
  toyTests,
  trainToy,
} from "./toy.ts";

const model = toyModel();

/** A test with 20 training and 9 validation images in a folder of its own. */
const withToy = toyTests(model, { train: 20, validation: 9 });

/** Runs with checkpoints of its own. */
const apart = (toy: ToyJob, name: string) => ({ checkpoints: join(toy.folder, name) });

for (const batchNorm of ["frozen", "trained"] as const) {
  Deno.test(
    `fit() changes no bit of the frozen layers and of what BatchNorm ${batchNorm} keeps`,
    withToy(async (toy) => {
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
    }),
  );
}

for (const cacheGigabytes of [1, 0]) {
  Deno.test(
    `fit() leaks no tensor over 20 epochs, with ${cacheGigabytes} GB of cache`,
    withToy(async (toy) => {
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
    }),
  );
}

Deno.test(
  "fit() gives the same history for the same seed, another for another",
  withToy(async (toy) => {
    const change = { model: { unfreezeLast: 4 }, training: { epochs: 2 } };
    const first = await trainToy({ ...toy, ...apart(toy, "a"), change });
    const second = await trainToy({ ...toy, ...apart(toy, "b"), change });
    assert.deepEqual(second, first);
    const other = await trainToy({ ...toy, ...apart(toy, "c"), change: { ...change, seed: 7 } });
    assert.notEqual(other.history[0]!.loss, first.history[0]!.loss);
  }),
);

Deno.test(
  "fit() learns to tell apart what can be told apart",
  withToy(async (toy) => {
    const { history } = await trainToy({
      ...toy,
      validation: await toyImages(toy.folder, 30, 3),
      change: { training: { epochs: 30 } }, // 90 steps
    });
    const [first, last] = [history[0]!, history.at(-1)!];
    assert.ok(last.loss < first.loss / 3, `loss ${first.loss} to ${last.loss}`);
    // The ranking alone of validation: the head's moving statistics take hundreds of steps.
    assert.ok(last.auc! > 0.95 && last.val_auc === 1, JSON.stringify(last));
  }),
);

Deno.test(
  "fit() gives the same history whether features are kept or computed anew",
  withToy(async (toy) => {
    // Steps so small that Adam cannot turn differences in the last bits into different steps:
    // features computed in another batch may be rounded otherwise, to one part in 2,048.
    const change = { training: { learningRate: 1e-6 } };
    const kept = await trainToy({ ...toy, ...apart(toy, "kept"), change });
    const again = await trainToy({ ...toy, ...apart(toy, "again"), change });
    assert.deepEqual(again, kept, "from those that an earlier training has kept");
    const anew = await trainToy({
      ...toy,
      ...apart(toy, "anew"),
      change: { training: { ...change.training, cacheMegabytes: 0, cacheGigabytes: 0 } },
    });
    assert.equal(anew.history.length, 3);
    for (const [index, row] of anew.history.entries()) {
      for (const [name, value] of Object.entries(row)) {
        const expected = kept.history[index]![name as keyof typeof row]!;
        assert.ok(Math.abs(value! - expected) < 1e-4, `${name}: ${value} and ${expected}`);
      }
    }
  }),
);

/** A training that its callbacks act upon: the validation labels are wrong, so it only gets worse. */
function withWrongValidation(toy: ToyJob): ToyJob {
  const validation = toy.validation.map((image) => ({ ...image, label: 1 - image.label }));
  const change = {
    training: { epochs: 5, reduceLROnPlateau: { patience: 1 }, earlyStopping: { patience: 4 } },
  };
  return { ...toy, validation, change };
}

/** Trains until it is killed. */
async function killed(job: ToyJob): Promise<void> {
  await assert.rejects(trainToy(job), /killed/);
}

const killAfter = (epoch: number): ToyJob["onEpoch"] => (history) => {
  if (history.length === epoch) throw new Error("killed");
};

Deno.test(
  "fit() goes on after a kill as if there had been none",
  withToy(async (right) => {
    for (
      const toy of [{ ...right, change: { training: { epochs: 4 } } }, withWrongValidation(right)]
    ) {
      const before = tf.memory().numTensors;
      const whole = await trainToy({ ...toy, ...apart(toy, "whole") });
      assert.ok(whole.history.length >= 4);
      const checkpoints = { ...apart(toy, "killed") };
      await killed({ ...toy, ...checkpoints, onEpoch: killAfter(1) });
      await killed({ ...toy, ...checkpoints, onEpoch: killAfter(3) });
      assert.equal(tf.memory().numTensors, before, "a killed training frees its tensors");
      const resumed = await trainToy({ ...toy, ...checkpoints });
      assert.deepEqual(resumed, { ...whole, resumedFrom: 3 });
      await Deno.remove(join(toy.folder, "whole"), { recursive: true });
      await Deno.remove(join(toy.folder, "killed"), { recursive: true });
    }
  }),
);

Deno.test(
  "fit() repeats an epoch that was killed before its checkpoint was written",
  withToy(async (right) => {
    const toy = { ...right, change: { training: { epochs: 8, batchSize: 4 } } };
    const whole = await trainToy({ ...toy, ...apart(toy, "whole") });
    const last = whole.bestEpoch;
    assert.ok(last > 1);
    const onBest: ToyJob["onBest"] = (_, { epoch }) =>
      epoch === last ? Promise.reject(new Error("killed")) : Promise.resolve();
    await killed({ ...toy, ...apart(toy, "killed"), onBest });
    const kept: number[] = [];
    const resumed = await trainToy({
      ...toy,
      ...apart(toy, "killed"),
      onBest: (_, { epoch }) => Promise.resolve(void kept.push(epoch)),
    });
    assert.deepEqual([resumed, kept], [{ ...whole, resumedFrom: last - 1 }, [last]]);
  }),
);

Deno.test(
  "fit() goes back one checkpoint where the latest is damaged, and begins anew where both are",
  withToy(async (toy) => {
    const whole = await trainToy({ ...toy, ...apart(toy, "whole") });
    await killed({ ...toy, onEpoch: killAfter(2) });
    const damage = async (name: string) => {
      const path = join(toy.folder, "checkpoints", name);
      const bytes = await Deno.readFile(path);
      bytes[bytes.length >> 1]! ^= 1;
      await Deno.writeFile(path, bytes);
    };
    await damage("weights-0002.bin");
    assert.deepEqual(await trainToy(toy), { ...whole, resumedFrom: 1 });

    await Deno.truncate(join(toy.folder, "checkpoints", "epoch-0003.json"), 100);
    assert.deepEqual(await trainToy(toy), { ...whole, resumedFrom: 2 });

    const before = tf.memory().numTensors;
    await damage("weights-0002.bin");
    await damage("weights-0003.bin");
    assert.deepEqual(await trainToy(toy), whole);
    assert.equal(tf.memory().numTensors, before);
  }),
);

Deno.test(
  "fit() begins anew for another fingerprint, and removes no file that is not its own",
  withToy(async (toy) => {
    const first = await trainToy({ ...toy, change: { training: { epochs: 2 } } });
    await Deno.writeTextFile(join(toy.folder, "checkpoints", "notes.txt"), "mine");
    const second = await trainToy({
      ...toy,
      fingerprint: "another",
      change: { training: { epochs: 1 } },
    });
    assert.deepEqual([second.resumedFrom, second.history], [0, first.history.slice(0, 1)]);
    const names = (await Array.fromAsync(Deno.readDir(join(toy.folder, "checkpoints"))))
      .map(({ name }) => name).sort();
    assert.deepEqual(names, ["best-0001.bin", "epoch-0001.json", "notes.txt", "weights-0001.bin"]);
  }),
);

Deno.test(
  "fit() continues a finished training when the epochs are raised, and else trains nothing",
  withToy(async (toy) => {
    const whole = await trainToy({ ...toy, ...apart(toy, "whole") });
    await trainToy({ ...toy, change: { training: { epochs: 2 } } });
    assert.deepEqual(await trainToy(toy), { ...whole, resumedFrom: 2 });

    for (const { path } of [...toy.train, ...toy.validation]) await Deno.remove(path);
    const nothing = () => assert.fail("nothing is left to train");
    const again = await trainToy({ ...toy, onBest: nothing, onEpoch: nothing });
    assert.deepEqual(again, { ...whole, resumedFrom: 3 });
  }),
);

Deno.test(
  "fit() does not continue a training that EarlyStopping has ended",
  withToy(async (right) => {
    const toy = withWrongValidation(right);
    const change = (epochs: number) => ({ training: { epochs, earlyStopping: { patience: 1 } } });
    const places: string[] = [];
    const onProgress: ToyJob["onProgress"] = (done, total, _note, at) => {
      if (done === total) places.push(at?.place ?? "");
    };
    const first = await trainToy({ ...toy, change: change(9), onProgress });
    assert.ok(first.history.length < 9);
    assert.equal(
      places.at(-1),
      `stopped early after epoch ${first.history.length} of at most 9`,
    );
    assert.equal(first.events.at(-1)?.kind, "early_stopping");
    const again = await trainToy({ ...toy, change: change(12) });
    assert.deepEqual(again, { ...first, resumedFrom: first.history.length });
  }),
);

Deno.test(
  "fit() ends with EarlyStopping's best epoch, or with the last one",
  withToy(async (right) => {
    const toy = withWrongValidation(right);
    const monitor = "val_accuracy" as const; // steps too small to change it, so the first is best
    const change = (restoreBest: boolean): ConfigInput => ({
      training: {
        epochs: 4,
        learningRate: 1e-6,
        checkpoint: { monitor },
        earlyStopping: { monitor, patience: 9, restoreBest },
      },
    });
    const after: Map<string, string>[] = [];
    const train = async (restoreBest: boolean, extra: Partial<ToyJob> = {}) =>
      await trainToy({
        ...toy,
        ...apart(toy, `${restoreBest}`),
        change: change(restoreBest),
        onBest: (best) => Promise.resolve(void after.push(bitsOf(best.weights))),
        ...extra,
      });
    await killed({
      ...toy,
      ...apart(toy, "true"),
      change: change(true),
      onEpoch: killAfter(2),
    });
    const restored = await train(true); // the best weights come from the checkpoint
    after.length = 0;
    const last = await train(false);
    const scores = last.history.map(({ val_accuracy }) => val_accuracy);
    const best = scores.indexOf(Math.max(...scores));
    assert.ok(best < 3, `the last epoch is not the best: ${scores}`);
    assert.equal(last.bestEpoch, best + 1);
    assert.deepEqual(restored.weights, after.at(-1));
    assert.notDeepEqual(
      last.weights.get("predictions/kernel"),
      after.at(-1)!.get("predictions/kernel"),
    );
    assert.deepEqual(restored.history, last.history);
    assert.equal(restored.bestEpoch, last.bestEpoch);
  }),
);

Deno.test(
  "fit() weighs balanced classes as Keras' class_weight: n / (2 · n of the class), mean over images",
  withToy(async (toy) => {
    const change = { training: { epochs: 1, batchSize: 32 } } as const; // one batch, one step
    const none = await trainToy({ ...toy, ...apart(toy, "none"), change });
    const balanced = await trainToy({
      ...toy,
      ...apart(toy, "balanced"),
      change: { training: { ...change.training, classWeights: "balanced" } },
    });
    // the probabilities of the same step, by hand
    const { seed, training, data } = toyConfig(change);
    const cut = cutGraph(model.graph, frozenLayerCount("resnet50", 0));
    const extractor = createFeatureExtractor(model, cut);
    const part = createTrainable(model, cut, extractor.shapes, "frozen");
    const source = featureSource({
      images: toy.train,
      extractor,
      cache: null,
      decode: { size: SIZE, resize: "squash", maxMegapixels: data.maxMegapixels },
    });
    const losses: { label: number; loss: number }[] = [];
    const labels = Array(20).fill(0);
    const draws = epochDraws(labels, { seed, epoch: 1, sampling: "natural" });
    for await (const batch of source(draws, training.batchSize)) {
      const { probabilities } = await trainStep(part, batch, {
        learningRate: training.learningRate,
        classWeights: [],
        random: createRandom(`${seed}/dropout/1/1`),
      });
      batch.labels.forEach((label, row) => {
        losses.push({ label, loss: -Math.log(probabilities[2 * row + label]!) });
      });
      tf.dispose([...batch.features.values()]);
    }
    disposeTrainable(part);
    extractor.dispose();
    const positive = losses.filter(({ label }) => label === 1).length;
    assert.deepEqual([losses.length, positive], [20, 7]);
    const mean = (weights: [number, number]) =>
      losses.reduce((sum, { label, loss }) => sum + weights[label]! * loss, 0) / 20;
    const close = (a: number, b: number) => assert.ok(Math.abs(a - b) < 1e-5, `${a} and ${b}`);
    close(none.history[0]!.loss, mean([1, 1]));
    close(balanced.history[0]!.loss, mean([20 / (2 * 13), 20 / (2 * 7)]));
    assert.ok(Math.abs(none.history[0]!.loss - balanced.history[0]!.loss) > 1e-3);
    assert.notDeepEqual(
      none.weights.get("predictions/kernel"),
      balanced.weights.get("predictions/kernel"),
    );
  }),
);

Deno.test(
  "fit() ends with the ImageError of an image that vanishes in the middle of an epoch",
  withToy(async (toy) => {
    for (const [name, cacheGigabytes] of [["computed anew", 0], ["kept", 1]] as const) {
      const { path } = toy.validation.at(-1)!;
      const bytes = await Deno.readFile(path);
      const before = tf.memory().numTensors;
      const kept: number[] = [];
      const failure = trainToy({
        ...toy,
        ...apart(toy, name),
        features: join(toy.folder, `features ${name}`),
        change: { training: { cacheGigabytes, cacheMegabytes: 0 } },
        onProgress: () => {
          try {
            Deno.removeSync(path);
          } catch {
            // it has gone already
          }
        },
        onBest: (_, { epoch }) => Promise.resolve(void kept.push(epoch)),
      });
      await assert.rejects(failure, (error: unknown) => {
        assert(error instanceof ImageError, String(error));
        assert.equal(error.path, path);
        return true;
      });
      assert.deepEqual([tf.memory().numTensors, kept.length], [before, 0]);
      await Deno.writeFile(path, bytes);
      const { history, resumedFrom } = await trainToy({ ...toy, ...apart(toy, name) });
      assert.deepEqual([history.length, resumedFrom], [3, 0]);
    }
  }),
);

Deno.test(
  "fit() stops with a hint when the loss is no longer a number, and keeps no such epoch",
  withToy(async (toy) => {
    const before = tf.memory().numTensors;
    for (const batchSize of [8, 32]) { // 32: one step, so that only validation can tell
      const failure = trainToy({
        ...toy,
        change: { training: { learningRate: 1e38, batchSize } },
        onBest: () => assert.fail("no epoch was good"),
      });
      await assert.rejects(failure, (error: unknown) => {
        assert(error instanceof TrainingError, String(error));
        assert.match(error.message, /epoch 1: training has diverged/);
        assert.match(error.remedy, /Lower training\.learningRate \(it was 1e\+38;/);
        return true;
      });
      assert.equal(tf.memory().numTensors, before);
    }
  }),
);

Deno.test(
  "fit() trains on the last partial batch too, each image once an epoch",
  withToy(async (toy) => {
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
  }),
);
