import fc from "fast-check";
import assert from "node:assert/strict";
import { join } from "node:path";
import { sha256File } from "../../lib/core/files.ts";
import { createRandom } from "../../lib/core/random.ts";
import { tf } from "../../lib/core/tensorflow.ts";
import {
  averageLosses,
  type RangePoint,
  suggestLearningRate,
} from "../../lib/training/learning_rate.ts";
import { testToyProject as test } from "./toy.ts";

/** A test's points from its losses: 100 rates from 1e-7 to 10. */
function pointsOf(lossAt: (exponent: number, step: number) => number, steps = 100): RangePoint[] {
  const average = averageLosses();
  return Array.from({ length: steps }, (_, step) => {
    const exponent = -7 + 8 * step / 99;
    const loss = lossAt(exponent, step);
    return { learningRate: 10 ** exponent, loss, smoothed: average(loss) };
  });
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

/** Falls from 1 to 0.1 around 1e-4, and rises steeply from 1e-1 on. */
const typical = (exponent: number) =>
  1 - 0.9 * sigmoid(6 * (exponent + 4)) + 10 * Math.max(0, exponent + 1);

Deno.test("averageLosses() is the bias-corrected average: weights 0.98^age, which sum to 1", () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0, max: 100, noNaN: true }), { minLength: 1, maxLength: 60 }),
      (losses) => {
        const average = averageLosses();
        const last = losses.map(average).at(-1)!;
        const weights = losses.map((_, index) => 0.98 ** (losses.length - 1 - index));
        const total = weights.reduce((sum, weight) => sum + weight);
        const expected = losses.reduce((sum, loss, i) => sum + loss * weights[i]!, 0) / total;
        assert.ok(Math.abs(last - expected) < 1e-9, `${last} and ${expected}`);
      },
    ),
    { seed: 6, numRuns: 100 },
  );
});

Deno.test("suggestLearningRate() takes the rate at which the average falls most steeply", () => {
  const { learningRate, reason } = suggestLearningRate(pointsOf(typical));
  // the average is steepest where the loss has just come down, and lags behind it
  assert.equal(learningRate, 2e-4);
  assert.equal(reason, "The loss falls most steeply at about 2e-4.");
  const rates = [-5, -4, -3].map((centre) =>
    suggestLearningRate(pointsOf((exponent) => typical(exponent - centre - 4))).learningRate!
  );
  assert.deepEqual(rates.map((rate) => Math.round(Math.log10(rate) * 2) / 2), [-4.5, -3.5, -2.5]);
});

Deno.test("suggestLearningRate() is not led astray by noise", () => {
  const rates = Array.from({ length: 50 }, (_, seed) => {
    const random = createRandom(`noise/${seed}`);
    const noisy = pointsOf((exponent) => typical(exponent) + 0.2 * random.normal());
    return suggestLearningRate(noisy).learningRate;
  });
  for (const rate of rates) assert.ok(rate !== null && rate >= 5e-5 && rate <= 2e-3, `${rates}`);
});

Deno.test("suggestLearningRate() suggests nothing where the loss falls by no more than noise", () => {
  const [even, skewed] = [(x: number) => 1 + 0.3 * x, (x: number) => Math.exp(0.5 * x)];
  for (const [name, draw] of [["normal", even], ["skewed", skewed]] as const) {
    for (let seed = 0; seed < 200; seed++) {
      const random = createRandom(`${name}/${seed}`);
      const noise = pointsOf((exponent) => draw(random.normal()) + 10 * Math.max(0, exponent + 1));
      const { learningRate, reason } = suggestLearningRate(noise);
      assert.equal(learningRate, null, `${name} ${seed}`);
      assert.match(reason, /no more than chance/);
    }
  }
});

Deno.test("suggestLearningRate() suggests nothing without a minimum, and says why", () => {
  const falling = pointsOf((exponent) => 1 - 0.1 * (exponent + 7));
  assert.deepEqual(suggestLearningRate(falling), {
    learningRate: null,
    reason: "The loss was still falling, or had not risen again, at the highest rate.",
  });
  for (const steps of [0, 1, 25]) {
    assert.deepEqual(suggestLearningRate(pointsOf(typical, steps)), {
      learningRate: null,
      reason: `The loss went wild after ${steps} steps: too few to tell anything from.`,
    });
  }
  assert.equal(suggestLearningRate(pointsOf(() => 0.5)).learningRate, null, "constant");
});

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

test("findLearningRate() tries rates in equal factors, seeded, and leaves run and memory as they were", async ({ root, trainRun, findLearningRate, config }) => {
  await trainRun(config());
  const folders = ["results", "model"].map((name) => join(root, name));
  const before = await Promise.all(folders.map((folder) => contents(folder)));
  const tensors = tf.memory().numTensors;
  const seen: [number, number][] = [];
  const first = await findLearningRate(config(), (done, total) => void seen.push([done, total]));
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
});

test("findLearningRate() stops when the loss has diverged, also in augmented and balanced trainings", async ({ findLearningRate, config }) => {
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
});

test("findLearningRate() ends when the person asks to stop, and frees its tensors", async ({ findLearningRate, config }) => {
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
});
