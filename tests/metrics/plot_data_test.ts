import assert from "node:assert/strict";
import fc from "fast-check";
import { reliabilityBins, thresholdCurve } from "../../lib/metrics/curves.ts";
import { wilson } from "../../lib/metrics/intervals.ts";
import {
  confusionMatrix,
  countConfusions,
  expectedCalibrationError,
  precision,
  sensitivity,
  specificity,
} from "../../lib/metrics/rates.ts";
import { groupScores } from "../../lib/metrics/scores.ts";

/** Images with a label and a probability, many of them on the edges of bins and thresholds. */
const predictions = fc.array(
  fc.tuple(
    fc.constantFrom(0, 1),
    fc.oneof(
      fc.integer({ min: 0, max: 20 }).map((k) => k / 20),
      fc.double({ min: 0, max: 1, noNaN: true }),
    ),
  ),
  { maxLength: 40 },
);

Deno.test("reliabilityBins() hold every image once, and their gaps make up the ECE", () => {
  fc.assert(
    fc.property(predictions, (pairs) => {
      const [labels, probabilities] = [pairs.map(([label]) => label), pairs.map(([, p]) => p)];
      const bins = reliabilityBins(labels, probabilities);
      assert.equal(bins.reduce((sum, { n }) => sum + n, 0), pairs.length);
      for (const bin of bins) {
        assert.ok(bin.from - 1e-9 <= bin.meanProbability && bin.meanProbability <= bin.to + 1e-9);
        assert.deepEqual({ low: bin.low, high: bin.high }, wilson(bin.positives, bin.n));
      }
      if (pairs.length === 0) return;
      const gaps = bins.map(({ n, share, meanProbability }) =>
        n * Math.abs(share - meanProbability)
      );
      const ece = gaps.reduce((sum, gap) => sum + gap, 0) / pairs.length;
      assert.ok(Math.abs(ece - expectedCalibrationError(labels, probabilities)!) < 1e-9);
    }),
    { seed: 1, numRuns: 200 },
  );
});

Deno.test("thresholdCurve() has the rates of the confusion matrix at each threshold", () => {
  fc.assert(
    fc.property(predictions, (pairs) => {
      const [labels, probabilities] = [pairs.map(([label]) => label), pairs.map(([, p]) => p)];
      const curve = thresholdCurve(labels, probabilities);
      assert.equal(curve.length, 501);
      for (const { threshold, ...rates } of curve.filter((_, i) => i % 25 === 0)) {
        const m = confusionMatrix(labels, probabilities.map((p) => p >= threshold ? 1 : 0));
        assert.deepEqual(rates, {
          sensitivity: sensitivity(m),
          specificity: specificity(m),
          precision: precision(m),
        });
      }
    }),
    { seed: 1, numRuns: 50 },
  );
});

Deno.test("groupScores() counts each group by itself and puts the surely worst first", () => {
  const groups = [...Array(20).fill("half right"), "one wrong", ...Array(4).fill("all right")];
  const labels = [...Array(10).fill(0), ...Array(10).fill(1), 1, 0, 0, 0, 0];
  const predicted = [...Array(20).fill(1), 0, 0, 0, 0, 0];
  const scores = groupScores({ labels, predicted, groups });
  assert.deepEqual(scores.map(({ group }) => group), ["half right", "one wrong", "all right"]);
  const [half, one, all] = scores;
  assert.deepEqual(half!.specificity, { right: 0, of: 10, value: 0, ...wilson(0, 10) });
  assert.deepEqual(half!.sensitivity, { right: 10, of: 10, value: 1, ...wilson(10, 10) });
  assert.deepEqual(one!.specificity, { right: 0, of: 0, value: null, low: null, high: null });
  assert.deepEqual(all!.accuracy, { right: 4, of: 4, value: 1, ...wilson(4, 4) });
});

Deno.test("countConfusions() has a row a true class and a column a predicted one", () => {
  const counts = countConfusions([0, 1, 1, 2, 2, 2], [0, 0, 1, 2, 2, 0], 3);
  assert.deepEqual(counts, [[1, 0, 0], [1, 1, 0], [1, 0, 2]]);
  fc.assert(
    fc.property(predictions, (pairs) => {
      const [labels, called] = [
        pairs.map(([label]) => label),
        pairs.map(([, p]) => p >= 0.5 ? 1 : 0),
      ];
      const m = confusionMatrix(labels, called);
      assert.deepEqual(countConfusions(labels, called, 2), [
        [m.trueNegative, m.falsePositive],
        [m.falseNegative, m.truePositive],
      ]);
    }),
    { seed: 1, numRuns: 50 },
  );
});
