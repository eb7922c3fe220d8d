import assert from "node:assert/strict";
import fc from "fast-check";
import {
  count,
  createTally,
  type EvaluatedImage,
  type Outcome,
} from "../../lib/evaluation/tally.ts";
import { DEFAULT_DECISION } from "../../lib/run/model_card.ts";
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
  probability_uncorrected: probability,
  wasPositive: probability >= 0.3,
}));

const failure = fc.record({ name: fc.string(), error: fc.string() });

Deno.test("count() says of any number of images what a table of all of them would", () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(evaluatedImage, failure), { maxLength: 200 }), (verdicts) => {
      const tally = createTally(CLASSES);
      for (const verdict of verdicts as Outcome[]) count(tally, verdict, 0.3);
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
      assert.deepEqual(tally.errors, errors.slice(0, 100));
    }),
    { seed: 2, numRuns: 100 },
  );
});

Deno.test("count() counts answers by group, before a correction too", () => {
  const tally = createTally(CLASSES);
  const image = (group: string, predicted: string, wasPositive: boolean) =>
    count(tally, {
      ...fc.sample(evaluatedImage, { seed: 1, numRuns: 1 })[0]!,
      group,
      predicted,
      wasPositive,
    }, 0.3);
  image("a", CLASSES[1], true);
  image("a", CLASSES[0], true);
  image("", CLASSES[0], false);
  assert.deepEqual([...tally.groups.values()], [
    { group: "a", n: 2, positive: 1, uncorrected: 2 },
    { group: "", n: 1, positive: 0, uncorrected: 0 },
  ]);
});

Deno.test(
  "evaluateFolder() corrects every answer for a share that it is given, and keeps both probabilities",
  withNewImages(
    async (folder) => {
      for (let i = 0; i < 40; i++) {
        await put(folder, `${i}.png`, await picture(i, 40, 40).png().toBuffer());
      }
    },
    async (places) => {
      const plain = await evaluate(places, { priorShift: "off" });
      assert.equal(plain.priorShift?.change, null);
      const before = await detailsOf(plain);
      const corrected = await evaluate(places, { priorShift: 0.75 });
      assert.deepEqual(corrected.priorShift?.change, { reference: 0.5, share: 0.75 });
      const after = await detailsOf(corrected);
      for (const [i, row] of after.entries()) {
        const { probability: p } = before[i]!;
        assert.ok(Math.abs(row.probability - 3 * p / (1 + 2 * p)) < 1e-6); // float32 sums to 1 to 1e-7
        assert.equal(row.probability_uncorrected, p);
        assert.equal(row.predicted, CLASSES[row.probability >= 0.5 ? 1 : 0]);
      }
      const positives = (rows: { predicted: string }[]) =>
        rows.filter(({ predicted }) => predicted === CLASSES[1]).length;
      assert.ok(positives(after) > positives(before));
      const { n, positive, uncorrected } = corrected.shares.all;
      assert.deepEqual([n, positive, uncorrected], [40, positives(after), positives(before)]);
      const summary = JSON.parse(await Deno.readTextFile(corrected.files.summary));
      assert.equal(summary.class_share.reason, "given");
      assert.equal(summary.positive_share.positive, positives(after));
    },
    {
      decision: {
        ...DEFAULT_DECISION,
        validation: {
          truePositives: 40,
          falseNegatives: 10,
          trueNegatives: 45,
          falsePositives: 5,
          scores: null,
        },
      },
    },
  ),
);
