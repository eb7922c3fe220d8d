import assert from "node:assert/strict";
import { join } from "node:path";
import { sha256File } from "../../lib/core/files.ts";
import { tf } from "../../lib/core/tensorflow.ts";
import { withToyProject } from "./toy_project.ts";

type Find = typeof import("../../lib/training/learning_rate.ts");

type Train = typeof import("../../lib/training/training.ts");

/** Every file below a folder with the hash of its content. */
async function contents(folder: string, prefix = ""): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for await (const { name, isDirectory } of Deno.readDir(join(folder, prefix))) {
    const path = join(prefix, name);
    if (isDirectory) Object.assign(found, await contents(folder, path));
    else found[path] = await sha256File(join(folder, path));
  }
  return found;
}

Deno.test(
  "findLearningRate() tries rates in equal factors, seeded, and leaves run and memory as they were",
  withToyProject(async ({ root, load, config }) => {
    const { findLearningRate } = await load<Find>("lib/training/learning_rate.ts");
    const { trainRun } = await load<Train>("lib/training/training.ts");
    await trainRun(config());
    const folders = ["results", "model"].map((name) => join(root, name));
    const before = await Promise.all(folders.map((folder) => contents(folder)));
    const tensors = tf.memory().numTensors;
    const seen: [number, number][] = [];
    const first = await findLearningRate(
      config(),
      (done, total) => void seen.push([done, total]),
    );
    assert.equal(tf.memory().numTensors, tensors);
    assert.deepEqual(await Promise.all(folders.map((folder) => contents(folder))), before);
    const { points } = first;
    assert.ok(points.length > 26 && points.length <= 100);
    points.forEach(({ learningRate }, step) => {
      assert.ok(Math.abs(Math.log10(learningRate) - (-7 + 8 * step / 99)) < 1e-9);
    });
    assert.deepEqual(seen.at(-1), [points.length, points.length]);

    const again = await findLearningRate(config());
    assert.deepEqual(again.points, points);
    assert.deepEqual(again.suggestion, first.suggestion);
  }),
);

Deno.test(
  "findLearningRate() stops when the loss has diverged, also in augmented and balanced trainings",
  withToyProject(async ({ load, config }) => {
    const { findLearningRate } = await load<Find>("lib/training/learning_rate.ts");
    const tensors = tf.memory().numTensors;
    const { points } = await findLearningRate(config({
      model: { unfreezeLast: 4 },
      training: { batchNorm: "trained", sampling: "balanced", augmentation: { symmetries: true } },
    }));
    assert.equal(tf.memory().numTensors, tensors);
    assert.ok(points.every(({ loss, smoothed }) => Number.isFinite(loss + smoothed)));
    const least = Math.min(...points.map(({ smoothed }) => smoothed));
    const diverged = points.findIndex(({ smoothed }) => smoothed > 4 * least);
    assert.ok(diverged === -1 || diverged === points.length - 1, "nothing after the divergence");
  }),
);

Deno.test(
  "findLearningRate() ends when the person asks to stop, and frees its tensors",
  withToyProject(async ({ load, config }) => {
    const { findLearningRate } = await load<Find>("lib/training/learning_rate.ts");
    const tensors = tf.memory().numTensors;
    const { addSignalListener, removeSignalListener } = Deno; // the test runner ends at a real one
    let interrupt = () => {};
    Deno.addSignalListener = (_, handler) => void (interrupt = handler);
    Deno.removeSignalListener = () => {};
    try {
      const seen: number[] = [];
      const onProgress = (done: number, total: number) => {
        if (total === 100) seen.push(done);
        if (seen.at(-1) === 3) interrupt();
      };
      await assert.rejects(findLearningRate(config(), onProgress), { name: "StoppedError" });
      assert.equal(seen.at(-1), 3);
    } finally {
      Object.assign(Deno, { addSignalListener, removeSignalListener });
    }
    assert.equal(tf.memory().numTensors, tensors);
  }),
);
