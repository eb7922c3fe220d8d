import assert from "node:assert/strict";
import fc from "fast-check";
import type { EvaluatedImage } from "../../lib/evaluation/judge.ts";
import type { Result } from "../../lib/evaluation/results.ts";
import { surveyScores } from "../../lib/evaluation/survey_scores.ts";
import { count, createTally, type Verdict } from "../../lib/evaluation/tally.ts";
import { calibrate, DEFAULT_DECISION } from "../../lib/model/decision.ts";
import { picture, put } from "../data/test_images.ts";
import { CLASSES, detailsOf, evaluate, withNewImages } from "./with_new_images.ts";

const evaluatedImage: fc.Arbitrary<EvaluatedImage> = fc.record({
  name: fc.string(),
  probability: fc.double({ min: 0, max: 1, noNaN: true }),
  decision: fc.constantFrom("accept" as const, "review" as const),
}).map(({ name, probability, decision }) => ({
  name,
  predicted: CLASSES[probability >= 0.3 ? 1 : 0],
  probability,
  confidence: probability >= 0.3 ? probability : 1 - probability,
  decision,
  group: "",
  flags: "",
  probabilities: [1 - probability, probability],
}));
const failure = fc.record({ name: fc.string(), error: fc.string() });

Deno.test("count() says of any number of images what a table of all of them would", () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(evaluatedImage, failure), { maxLength: 200 }), (verdicts) => {
      const tally = createTally(CLASSES);
      for (const verdict of verdicts as Verdict[]) count(tally, verdict, 0.3);
      const images = verdicts.filter((verdict) => "predicted" in verdict);
      const review = images.filter(({ decision }) => decision === "review");
      const errors = verdicts.filter((verdict) => "error" in verdict);
      assert.deepEqual([tally.classified, tally.unreadable, tally.review], [
        images.length,
        errors.length,
        review.length,
      ]);
      for (const { name, images: n, review: r } of tally.classes) {
        assert.equal(n, images.filter(({ predicted }) => predicted === name).length);
        assert.equal(r, review.filter(({ predicted }) => predicted === name).length);
      }
      const { counts, called } = tally.probabilities;
      assert.equal(counts.reduce((sum, n) => sum + n, 0), images.length);
      for (const [i, n] of counts.entries()) {
        const inBin = ({ probability: p }: EvaluatedImage) =>
          Math.min(19, Math.floor(20 * p)) === i;
        assert.equal(n, images.filter(inBin).length);
      }
      assert.equal(called, images.filter(({ probability }) => probability >= 0.3).length);
      assert.deepEqual(tally.first, images.slice(0, 10));
      assert.deepEqual(
        tally.leastCertain,
        review.toSorted((a, b) => a.confidence - b.confidence).slice(0, 20),
      );
      assert.deepEqual(tally.errors, errors.slice(0, 100));
    }),
    { seed: 2, numRuns: 100 },
  );
});

Deno.test("surveyScores() keeps calibrated log odds to half a hundredth", async () => {
  const decision = {
    ...DEFAULT_DECISION,
    calibration: { method: "platt" as const, slope: 1.7, intercept: -0.4 },
  };
  const scores = [0, 1e-6, 0.2, 0.2, 0.5, 0.97, 1];
  async function* results(): AsyncGenerator<Result> {
    yield await Promise.resolve({ name: "bad", error: "damaged", retry: false });
    for (const p of scores) yield { name: "", probabilities: [1 - p, p], width: 8, height: 8 };
  }
  const { images, logOdds } = await surveyScores(results(), { decision });
  assert.equal(images, scores.length);
  const expected = scores.map((p) => {
    const q = calibrate([1 - p, p], decision.calibration)[1]!;
    return Math.max(-18.5, Math.min(18.5, Math.log(q / (1 - q))));
  });
  const found = logOdds.flatMap(({ centre, count }) => new Array<number>(count).fill(centre));
  assert.equal(found.length, expected.length);
  for (const [i, centre] of found.entries()) {
    assert.ok(Math.abs(centre - expected[i]!) <= 0.005 + 1e-9, `${centre} for ${expected[i]}`);
  }
});

Deno.test(
  "evaluateFolder() applies a correction that has seen all scores to every answer",
  withNewImages(
    async (folder) => {
      for (let i = 0; i < 40; i++) {
        await put(folder, `${i}.png`, await picture(i, 40, 40).png().toBuffer());
      }
    },
    async (places) => {
      const before = await detailsOf(await evaluate(places));
      let seen = 0;
      const corrected = await evaluate(places, {
        correction: ({ images, logOdds }) => {
          seen = logOdds.reduce((sum, { count }) => sum + count, 0);
          assert.equal(images, seen);
          return Promise.resolve(([negative, positive]) => {
            const odds = 3 * positive! / negative!;
            return [1 / (1 + odds), odds / (1 + odds)];
          });
        },
      });
      assert.equal(seen, 40);
      for (const [i, row] of (await detailsOf(corrected)).entries()) {
        const { probability: p } = before[i]!;
        assert.ok(Math.abs(row.probability - 3 * p / (1 + 2 * p)) < 1e-9);
        assert.equal(row.predicted, CLASSES[row.probability >= 0.5 ? 1 : 0]);
      }
      const answers = (rows: { predicted: string }[]) => rows.map(({ predicted }) => predicted);
      assert.notDeepEqual(answers(await detailsOf(corrected)), answers(before));
    },
  ),
);
