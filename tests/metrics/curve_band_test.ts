import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { createRandom } from "../../lib/core/random.ts";
import {
  type CurveBand,
  type CurveSample,
  precisionRecallBand,
  rocBand,
} from "../../lib/metrics/curves.ts";
import { eachResample } from "../../lib/metrics/intervals.ts";
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
  const answers = await askPython(
    join(import.meta.dirname!, "curve_band_oracle.py"),
    cases.map(({ labels, probabilities, groups, seed }) => {
      const weights: number[][] = [];
      eachResample((drawn) => weights.push([...drawn]), { n: labels.length, groups, seed });
      return { labels, probabilities, weights };
    }),
  ) as Record<"roc" | "precisionRecall", [number[], number[]]>[];
  const agree = ({ points }: CurveBand, [low, high]: [number[], number[]], what: string) => {
    assert.equal(points.length, 101, what);
    points.forEach((point, i) => {
      assert.ok(Math.abs(point.low - low[i]!) < 1e-9, `${what}, low at ${point.x}`);
      assert.ok(Math.abs(point.high - high[i]!) < 1e-9, `${what}, high at ${point.x}`);
    });
  };
  cases.forEach((one, i) => {
    agree(rocBand(one), answers[i]!.roc, `ROC ${i}`);
    agree(precisionRecallBand(one), answers[i]!.precisionRecall, `precision-recall ${i}`);
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
