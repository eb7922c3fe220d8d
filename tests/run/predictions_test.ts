import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { DataError } from "../../lib/core/errors.ts";
import {
  type Prediction,
  type PredictionsContext,
  predictionsOf,
  readPredictions,
  writePredictions,
} from "../../lib/run/predictions.ts";

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

Deno.test("readPredictions() reads what writePredictions() wrote, whatever the names", async () => {
  const folder = await Deno.makeTempDir();
  const path = join(folder, "predictions_test.csv");
  const name = fc.string({ minLength: 1, unit: "binary" }).filter((text) => text.isWellFormed());
  try {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({
            path: name,
            positive: fc.boolean(),
            probability: fc.double({ min: 0, max: 1, noNaN: true }),
          }),
        ),
        async (drawn) => {
          const rows = drawn.map(({ path, positive, probability }) => ({
            ...row("non", positive ? "sclerotic" : "non", probability),
            path,
          }));
          await writePredictions(path, predictionsOf(rows, context));
          const expected = rows.map(({ path, label, predicted, probability }) => {
            return { path, label, predicted, probability };
          });
          assert.deepEqual(await readPredictions(path), expected);
        },
      ),
      { seed: 1, numRuns: 50 },
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("readPredictions() refuses what is no probability, and names the file", async () => {
  const folder = await Deno.makeTempDir();
  const path = join(folder, "predictions_test.csv");
  try {
    for (const bad of ["", "x", "1.5", "-0.1", "NaN"]) {
      await Deno.writeTextFile(path, `path,label,predicted,probability\na.png,non,non,${bad}\n`);
      await assert.rejects(
        readPredictions(path),
        (error) => error instanceof DataError && error.message.includes(path),
      );
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
