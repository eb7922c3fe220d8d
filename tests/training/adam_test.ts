import assert from "node:assert/strict";
import { join } from "node:path";
import { createRandom } from "../../lib/core/random.ts";
import { type TensorFlow, tf } from "../../lib/core/tensorflow.ts";
import { disposeAdam, startAdam, stepAdam } from "../../lib/training/adam.ts";
import { askPython } from "../ask_python.ts";

interface Step {
  learningRate: number;
  gradient: number[];
}

/** Values of one variable after each step. */
function follow(start: number[], steps: Step[]): number[][] {
  const before = tf.memory().numTensors;
  const weights = new Map<string, TensorFlow.Tensor>([["layer/kernel", tf.tensor1d(start)]]);
  const state = startAdam(weights);
  const held = tf.memory().numTensors;
  const path = steps.map(({ learningRate, gradient }) => {
    tf.tidy(() =>
      stepAdam(state, weights, new Map([["layer/kernel", tf.tensor1d(gradient)]]), learningRate)
    );
    assert.equal(tf.memory().numTensors, held);
    return [...weights.get("layer/kernel")!.dataSync()];
  });
  disposeAdam(state);
  tf.dispose([...weights.values()]);
  assert.equal(tf.memory().numTensors, before);
  return path;
}

Deno.test("stepAdam() moves by the learning rate against the gradient's sign at first", () => {
  const [after] = follow([1, 1, 1], [{ learningRate: 0.125, gradient: [5, -1, 0] }]);
  [0.875, 1.125, 1].forEach((expected, i) => assert.ok(Math.abs(after![i]! - expected) < 1e-5));
});

Deno.test("stepAdam() moves each weight as an Adam with its factor of the learning rate does", () => {
  const steps = [[3, -1], [-2, 0.5], [1, 1]].map((gradient) => ({ learningRate: 0.01, gradient }));
  const alone = (factor: number) =>
    follow([1, 2], steps.map((step) => ({ ...step, learningRate: factor * step.learningRate })));
  const names = ["head_dense/kernel", "block/kernel"];
  const factorOf = (name: string) => name === "block/kernel" ? 0.25 : 1;
  const weights = new Map<string, TensorFlow.Tensor>(names.map((n) => [n, tf.tensor1d([1, 2])]));
  const state = startAdam(weights);
  steps.forEach(({ learningRate, gradient }, step) => {
    const gradients = new Map(names.map((name) => [name, tf.tensor1d(gradient)]));
    stepAdam(state, weights, gradients, learningRate, factorOf);
    tf.dispose([...gradients.values()]);
    for (const name of names) {
      assert.deepEqual([...weights.get(name)!.dataSync()], alone(factorOf(name))[step]);
    }
  });
  disposeAdam(state);
  tf.dispose([...weights.values()]);
});

Deno.test("stepAdam() follows keras.optimizers.Adam over 60 steps of changing gradients and rates", async () => {
  const random = createRandom("adam");
  const start = Array.from({ length: 20 }, () => random.normal());
  const steps = Array.from({ length: 60 }, (_, step) => ({
    learningRate: step < 40 ? 1e-2 : 1e-3,
    // from large down to where epsilon counts
    gradient: start.map((_, i) => Math.fround(random.normal() * 10 ** (1 - i / 2))),
  }));
  const script = join(import.meta.dirname!, "adam_oracle.py");
  const expected = await askPython(script, { start, steps }) as number[][];
  const ours = follow(start, steps);
  for (const [step, values] of expected.entries()) {
    values.forEach((value, i) => {
      assert.ok(Math.abs(value - ours[step]![i]!) < 2e-6, `step ${step}, weight ${i}`);
    });
  }
});
