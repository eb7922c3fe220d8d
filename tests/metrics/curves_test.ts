import fc from "fast-check";
import assert from "node:assert/strict";
import { join } from "node:path";
import { createRandom } from "../../lib/core/random.ts";
import {
  type CurveBand,
  type CurveSample,
  precisionRecallBand,
  reliabilityBins,
  rocBand,
  thresholdCurve,
} from "../../lib/metrics/curves.ts";
import { eachResample, wilson } from "../../lib/metrics/intervals.ts";
import {
  confusionMatrix,
  expectedCalibrationError,
  precision,
  sensitivity,
  specificity,
} from "../../lib/metrics/rates.ts";
import { askPython } from "../ask_python.ts";

/** Labels and probabilities that go together, with ties; groups of three images where asked for. */
function sample(n: number, seed: string, grouped = false): CurveSample {
  const random = createRandom(seed);
  const labels = Array.from({ length: n }, (_, i) => i % 3 === 0 ? 1 : 0);
  const probabilities = labels.map((label) =>
    Math.round(20 / (1 + Math.exp(-label - random.normal()))) / 20
  );
  const groups = labels.map((_, i) => `slide ${Math.floor(i / 3)}`);
  return { labels, probabilities, seed, ...(grouped ? { groups } : {}) };
}

Deno.test("both bands are what numpy finds for the same resamples, by image and by group", async () => {
  const cases = [sample(60, "a"), sample(60, "b", true), sample(7, "c"), sample(25, "d")];
  const drawn = cases.map(({ labels, probabilities, groups, seed }) => {
    const weights: number[][] = [];
    eachResample((drawn) => weights.push([...drawn]), { n: labels.length, groups, seed });
    return { labels, probabilities, weights };
  });
  const { bands } = await askPython(join(import.meta.dirname!, "oracle.py"), { bands: drawn }) as {
    bands: Record<"roc" | "precisionRecall", [number[], number[]]>[];
  };
  const agree = ({ points }: CurveBand, [low, high]: [number[], number[]], what: string) => {
    assert.equal(points.length, 101, what);
    points.forEach((point, i) => {
      assert.ok(Math.abs(point.low - low[i]!) < 1e-9, `${what}, low at ${point.x}`);
      assert.ok(Math.abs(point.high - high[i]!) < 1e-9, `${what}, high at ${point.x}`);
    });
  };
  cases.forEach((one, i) => {
    agree(rocBand(one), bands[i]!.roc, `ROC ${i}`);
    agree(precisionRecallBand(one), bands[i]!.precisionRecall, `precision-recall ${i}`);
  });
});

Deno.test("a band lies within 0 to 1, low below high, and a ROC band ends in the corner", () => {
  fc.assert(
    fc.property(fc.integer({ min: 4, max: 40 }), fc.string(), (n, seed) => {
      const one = sample(n, seed);
      const roc = rocBand(one).points;
      for (const { low, high } of [...roc, ...precisionRecallBand(one).points]) {
        assert.ok(0 <= low && low <= high && high <= 1);
      }
      roc.slice(1).forEach(({ low, high }, i) => {
        assert.ok(low >= roc[i]!.low && high >= roc[i]!.high, "a ROC band never falls");
      });
      if (roc.length > 0) assert.deepEqual(roc.at(-1), { x: 1, low: 1, high: 1 });
    }),
    { seed: 1, numRuns: 20 },
  );
});

Deno.test("a band names what was resampled; groups of one image each are no groups", () => {
  assert.equal(rocBand(sample(30, "a")).method, "2000 bootstrap resamples of 30 images");
  assert.equal(rocBand(sample(30, "a", true)).method, "2000 bootstrap resamples of 10 groups");
  const one = sample(30, "a");
  const groups = one.labels.map((_, i) => `image ${i}`);
  assert.deepEqual(rocBand({ ...one, groups }), rocBand(one));
});

Deno.test("where resamples cannot show uncertainty there is no band but a reason", () => {
  const perfect = { labels: [0, 0, 0, 1, 1, 1], probabilities: [0, 0, 0, 1, 1, 1], seed: 1 };
  const absent = { labels: [0, 0, 0], probabilities: [0.1, 0.2, 0.3], seed: 1 };
  const oneGroup = { ...sample(9, "a"), groups: Array(9).fill("slide 1") };
  for (
    const [input, reason] of [
      [perfect, /the resamples all give the same value/],
      [absent, /undefined in most resamples/],
      [oneGroup, /all images come from one group/],
    ] as const
  ) {
    for (const { points, area } of [rocBand(input), precisionRecallBand(input)]) {
      assert.deepEqual([points, area.low, area.high], [[], null, null]);
      assert.match(area.reason!, reason);
    }
  }
});

/** Labels and probabilities, many of them on the edges of bins and thresholds. */
const predictions = fc.array(
  fc.tuple(
    fc.constantFrom(0, 1),
    fc.oneof(
      fc.integer({ min: 0, max: 20 }).map((k) => k / 20),
      fc.double({ min: 0, max: 1, noNaN: true }),
    ),
  ),
  { maxLength: 40 },
).map((pairs) => [pairs.map(([label]) => label), pairs.map(([, p]) => p)] as const);

Deno.test("reliabilityBins() hold every image once, and their gaps make up the ECE", () => {
  fc.assert(
    fc.property(predictions, ([labels, probabilities]) => {
      const bins = reliabilityBins(labels, probabilities);
      assert.equal(bins.reduce((sum, { n }) => sum + n, 0), labels.length);
      for (const bin of bins) {
        assert.ok(bin.from - 1e-9 <= bin.meanProbability && bin.meanProbability <= bin.to + 1e-9);
        assert.deepEqual({ low: bin.low, high: bin.high }, wilson(bin.positives, bin.n));
      }
      if (labels.length === 0) return;
      const gap = bins.reduce((sum, b) => sum + b.n * Math.abs(b.share - b.meanProbability), 0);
      const ece = gap / labels.length;
      assert.ok(Math.abs(ece - expectedCalibrationError(labels, probabilities)!) < 1e-9);
    }),
    { seed: 1, numRuns: 200 },
  );
});

Deno.test("thresholdCurve() has the rates of the confusion matrix at each threshold", () => {
  fc.assert(
    fc.property(predictions, ([labels, probabilities]) => {
      const curve = thresholdCurve(labels, probabilities);
      assert.equal(curve.length, 501);
      for (const { threshold, ...rates } of curve.filter((_, i) => i % 25 === 0)) {
        const m = confusionMatrix(labels, probabilities.map((p) => p >= threshold ? 1 : 0));
        const expected = [sensitivity(m), specificity(m), precision(m)];
        assert.deepEqual([rates.sensitivity, rates.specificity, rates.precision], expected);
      }
    }),
    { seed: 1, numRuns: 50 },
  );
});
