import assert from "node:assert/strict";
import fc from "fast-check";
import { createRandom } from "../../lib/core/random.ts";
import {
  averageLosses,
  type RangePoint,
  suggestLearningRate,
} from "../../lib/training/learning_rate.ts";

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
});

Deno.test("suggestLearningRate() follows the fall of the loss", () => {
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
  const draws: [string, (normal: number) => number][] = [
    ["normal", (normal) => 1 + 0.3 * normal],
    ["skewed", (normal) => Math.exp(0.5 * normal)],
  ];
  for (const [name, draw] of draws) {
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
