import fc from "fast-check";
import assert from "node:assert/strict";
import { join } from "node:path";
import { DataError } from "../../lib/core/errors.ts";
import {
  type Prediction,
  type PredictionsContext,
  predictionsOf,
  readPredictions,
  writePredictions,
} from "../../lib/run/predictions.ts";
import { inFolder } from "../data/test_images.ts";

const context: PredictionsContext = {
  run: "mine",
  source: "test",
  classes: ["non", "sclerotic"],
  seed: 42,
  threshold: 0.3,
};

const row = (label: string, predicted: string, probability = 0.4): Prediction => ({
  path: `${label}/${predicted}.png`,
  label,
  predicted,
  probability,
  uncalibrated: probability / 2,
  group: "slide_1",
});

Deno.test("predictionsOf() turns class names into indices, the last class being positive", () => {
  const rows = [row("non", "sclerotic"), row("sclerotic", "sclerotic", 0.9), row("non", "non", 0)];
  const predictions = predictionsOf(rows, context);
  assert.deepEqual(predictions.labels, [0, 1, 0]);
  assert.deepEqual(predictions.predicted, [1, 1, 0]);
  assert.deepEqual(predictions.probabilities, [0.4, 0.9, 0]);
  assert.deepEqual(predictions.uncalibrated, [0.2, 0.45, 0]);
  assert.deepEqual(predictions.groups, ["slide_1", "slide_1", "slide_1"]);
  assert.equal(predictions.threshold, 0.3);
});

Deno.test("predictionsOf() sets the positive class of three against the others", () => {
  const classes = ["a", "b", "c"];
  const rows = [row("a", "b"), row("b", "c"), row("c", "c")];
  const predictions = predictionsOf(rows, { ...context, classes });
  assert.deepEqual(predictions.trueClasses, [0, 1, 2]);
  assert.deepEqual(predictions.predictedClasses, [1, 2, 2]);
  assert.deepEqual(predictions.labels, [0, 0, 1]);
  assert.deepEqual(predictions.predicted, [0, 1, 1]);
  assert.equal(predictions.threshold, null);
});

Deno.test("predictionsOf() refuses a class that the model does not have", () => {
  assert.throws(() => predictionsOf([row("non", "other")], context), DataError);
  assert.throws(() => predictionsOf([row("other", "non")], context), DataError);
});

Deno.test("readPredictions() reads what writePredictions() wrote, whatever the names", () =>
  inFolder(async (folder) => {
    const file = join(folder, "predictions_test.csv");
    const drawn = fc.record({
      path: fc.string({ minLength: 1, unit: "binary" }).filter((text) => text.isWellFormed()),
      predicted: fc.constantFrom("non", "sclerotic"),
      probability: fc.double({ min: 0, max: 1, noNaN: true }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(drawn), async (images) => {
        const expected = images.map((image) => ({ ...image, label: "non" }));
        const rows = expected.map((image) => ({ ...row("non", "non"), ...image }));
        await writePredictions(file, predictionsOf(rows, context));
        assert.deepEqual(await readPredictions(file), expected);
      }),
      { seed: 1, numRuns: 50 },
    );
  }));

Deno.test("readPredictions() refuses what is no probability, and names the file", () =>
  inFolder(async (folder) => {
    const path = join(folder, "predictions_test.csv");
    for (const bad of ["", "x", "1.5", "-0.1", "NaN"]) {
      await Deno.writeTextFile(path, `path,label,predicted,probability\na.png,non,non,${bad}\n`);
      const refused = { name: DataError.name, message: /predictions_test\.csv, row 1/ };
      await assert.rejects(readPredictions(path), refused);
    }
  }));
