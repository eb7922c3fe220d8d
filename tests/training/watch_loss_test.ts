import assert from "node:assert/strict";
import fc from "fast-check";
import { TrainingError } from "../../lib/core/errors.ts";
import { watchDivergence } from "../../lib/training/callbacks.ts";

const watch = (classes = 2) => watchDivergence({ classes, epoch: 3, learningRate: 0.015 });

const batch = { images: 32, weight: 32 };

/** Runs steps of these losses; the 1-based step at which it is stopped, or `null`. */
function stoppedAt(losses: readonly number[], { classes = 2, of = batch } = {}): number | null {
  const watching = watch(classes);
  for (const [index, loss] of losses.entries()) {
    try {
      watching.step(loss, of);
      if (index === losses.length - 1) watching.endOfSteps();
    } catch {
      return index + 1;
    }
  }
  return null;
}

Deno.test("watchDivergence() stops at a loss that is no number, of a step or of validation", () => {
  for (const loss of [NaN, Infinity]) {
    for (
      const stop of [() => watch().step(loss, batch), () => watch().validation(loss)]
    ) {
      assert.throws(stop, (error: unknown) => {
        assert(error instanceof TrainingError);
        assert.match(error.message, /stopped being a number in epoch 3: training has diverged/);
        assert.match(error.remedy, /Lower training\.learningRate \(it was 1\.5e-2; .*range test/);
        return true;
      });
    }
  }
});

Deno.test("watchDivergence() stops when 20 steps have 100 times the loss of guessing, and says so", () => {
  const exploded = Array<number>(25).fill(69.4); // 100 · ln 2 is 69.31
  assert.equal(stoppedAt(exploded), 20);
  assert.equal(stoppedAt(exploded, { classes: 3 }), null, "100 · ln 3 is 109.9");
  assert.equal(stoppedAt(Array<number>(60).fill(69.3)), null);
  const watching = watch();
  assert.throws(
    () => exploded.forEach((loss) => watching.step(loss, batch)),
    /exploded in epoch 3 \(69\.4 on average over the last 20 steps; guessing has 0\.69\)/,
  );
});

Deno.test("watchDivergence() judges an epoch of fewer than 20 steps at its end", () => {
  assert.equal(stoppedAt([1000, 0.5, 0.5]), 3);
  assert.equal(stoppedAt([100, 50, 0.5, 0.4]), null);
});

Deno.test("watchDivergence() lets single steps and the losses of validation be high", () => {
  const spikes = Array.from({ length: 400 }, (_, step) => step % 21 === 0 ? 1000 : 0.5);
  assert.equal(stoppedAt(spikes), null);
  watch().validation(1e6);
});

Deno.test("watchDivergence() divides class weights out", () => {
  const rare = 5000; // the weight of 1 image in 10,000
  const losses = Array<number>(40).fill(3 * rare);
  assert.equal(stoppedAt(losses, { of: { images: 1, weight: rare } }), null);
  assert.equal(stoppedAt(losses, { of: { images: 1, weight: 1 } }), 20);
});

Deno.test("watchDivergence() stops no training whose losses stay below the limit, in batches of any size", () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0, max: 69.3, noNaN: true }), { minLength: 1, maxLength: 80 }),
      fc.integer({ min: 1, max: 64 }),
      (losses, images) => stoppedAt(losses, { of: { images, weight: images } }) === null,
    ),
    { seed: 5, numRuns: 200 },
  );
});
