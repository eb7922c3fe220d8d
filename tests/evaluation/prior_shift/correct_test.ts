import assert from "node:assert/strict";
import fc from "fast-check";
import { createRandom } from "../../../lib/core/random.ts";
import {
  correctedThreshold,
  correctProbabilities,
  emPrevalences,
  uncorrectedThreshold,
} from "../../../lib/evaluation/prevalence.ts";
import {
  addScore,
  binOf,
  binProbability,
  BINS,
  createScoreSummary,
  occupiedBins,
} from "../../../lib/evaluation/score_summary.ts";
import { syntheticScores } from "./synthetic_scores.ts";

const probability = fc.double({ min: 0, max: 1, noNaN: true });

const share = fc.double({ min: 0.001, max: 0.999, noNaN: true });

Deno.test("correctProbabilities() moves the odds by the ratio of the shares' odds", () => {
  // odds of 0.4 : 0.6 become 0.04 : 0.96, a sixteenth: even odds become 1 : 16
  const [negative, positive] = correctProbabilities([0.5, 0.5], { reference: 0.4, share: 0.04 });
  assert.ok(Math.abs(positive! - 1 / 17) < 1e-12 && Math.abs(negative! - 16 / 17) < 1e-12);
  // the two other classes keep their proportion of 3 : 1
  const three = correctProbabilities([0.3, 0.1, 0.6], { reference: 0.5, share: 0.2 });
  assert.ok(Math.abs(three[0]! / three[1]! - 3) < 1e-12);
  assert.ok(Math.abs(three[2]! / (three[0]! + three[1]!) - 0.6 / 0.4 / 4) < 1e-12);
});

Deno.test("correctProbabilities() sums to 1, keeps the order and can be taken back", () => {
  fc.assert(
    fc.property(probability, probability, share, share, (a, b, reference, share) => {
      const change = { reference, share };
      const [first, second] = [a, b].map((p) => correctProbabilities([1 - p, p], change));
      for (const pair of [first!, second!]) {
        assert.ok(Math.abs(pair[0]! + pair[1]! - 1) < 1e-12);
        assert.ok(pair.every((p) => p >= 0 && p <= 1));
      }
      if (a < b) assert.ok(first![1]! <= second![1]!);
      const back = correctProbabilities(first!, { reference: share, share: reference });
      assert.ok(Math.abs(back[1]! - a) < 1e-9);
      const same = correctProbabilities([1 - a, a], { reference, share: reference });
      assert.ok(Math.abs(same[1]! - a) < 1e-12);
    }),
    { seed: 1, numRuns: 500 },
  );
});

Deno.test("a threshold of costs stays and answers change; one of sensitivity moves and they stay", () => {
  fc.assert(
    fc.property(probability, share, share, share, (p, threshold, reference, share) => {
      const change = { reference, share };
      const corrected = correctProbabilities([1 - p, p], change)[1]!;
      const before = uncorrectedThreshold(threshold, change);
      fc.pre(Math.abs(p - before) > 1e-6 && Math.abs(p - threshold) > 1e-6);
      for (const rule of ["default", "costs"] as const) {
        assert.equal(correctedThreshold({ threshold, rule }, change), threshold);
        assert.equal(corrected >= threshold, p >= before);
      }
      for (const rule of ["youden", "sensitivity"] as const) {
        const moved = correctedThreshold({ threshold, rule }, change);
        assert.equal(corrected >= moved, p >= threshold);
      }
    }),
    { seed: 1, numRuns: 500 },
  );
});

Deno.test("binOf() and binProbability() keep log odds to 1/128 and any correction to 0.002", () => {
  const logOdds = (p: number) => Math.log(p / (1 - p));
  fc.assert(
    fc.property(
      fc.double({ min: -31.9, max: 31.9, noNaN: true }),
      share,
      share,
      (x, old, share) => {
        const p = x > 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x));
        const centre = binProbability(binOf(p));
        // near 1 a probability itself is no finer than 1.1e-16
        if (x < 20) assert.ok(Math.abs(logOdds(centre) - x) < 1 / 128 + 1e-6, `${x}`);
        const [own, ofBin] = [p, centre].map((p) =>
          correctProbabilities([1 - p, p], { reference: old, share })[1]!
        );
        assert.ok(Math.abs(own! - ofBin!) < 0.002);
      },
    ),
    { seed: 1, numRuns: 500 },
  );
  assert.deepEqual([binOf(0), binOf(1e-300), binOf(0.5), binOf(1)], [0, 0, BINS / 2, BINS - 1]);
  assert.ok(binProbability(0) > 0 && binProbability(BINS - 1) < 1);
});

Deno.test("a share from bins is that from every probability by itself", () => {
  const random = createRandom("bins");
  for (const share of [0.01, 0.1, 0.5, 0.9]) {
    for (const d of [1, 2, 4]) {
      const { probabilities } = syntheticScores(random, { n: 3000, share, d });
      const summary = createScoreSummary(0.5);
      for (const p of probabilities) addScore(summary, p, "");
      const { probabilities: centres, counts } = occupiedBins([...summary.byImage.values()]);
      const binned = emPrevalences(Array.from(centres, (p) => [1 - p, p]), [0.6, 0.4], counts);
      const exact = emPrevalences(probabilities.map((p) => [1 - p, p]), [0.6, 0.4]);
      assert.ok(Math.abs(binned.prevalences[1]! - exact.prevalences[1]!) < 5e-4, `${share} ${d}`);
    }
  }
});

Deno.test("a summary takes the same memory for any number of images and groups", () => {
  const summary = createScoreSummary(0.7);
  const random = createRandom("many");
  for (let i = 0; i < 20_000; i++) addScore(summary, random.next(), i % 3 ? `slide ${i}` : "");
  assert.equal(summary.n, 20_000);
  assert.equal(summary.groups.size, 256);
  for (const units of [[...summary.byImage.values()], [...summary.byGroup.values()]]) {
    assert.equal(units.length, 256);
    assert.equal(units.reduce((sum, unit) => sum + unit.n, 0), 20_000);
    assert.equal(units.reduce((sum, { bins }) => sum + bins.reduce((a, b) => a + b), 0), 20_000);
    const called = units.reduce((sum, unit) => sum + unit.called, 0);
    assert.ok(Math.abs(called / 20_000 - 0.3) < 0.013, String(called)); // 4 standard errors
  }
  assert.throws(() => addScore(summary, NaN, ""), RangeError);
  assert.throws(() => addScore(summary, 1.1, ""), RangeError);
});

Deno.test("a summary keeps the images of a group together", () => {
  const summary = createScoreSummary(0.5);
  for (let i = 0; i < 90; i++) addScore(summary, 0.1 + 0.2 * (i % 3), `slide ${i % 3}`);
  const units = [...summary.byGroup.values()];
  assert.deepEqual(units.map(({ n, called }) => [n, called]), [[30, 0], [30, 0], [30, 30]]);
  assert.equal(summary.byImage.size, 90);
});
