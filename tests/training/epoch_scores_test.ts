import assert from "node:assert/strict";
import { addBatch, noScores, scoresOf } from "../../lib/training/epoch_scores.ts";

const batch = (loss: number, positive: number[]) => ({
  loss,
  probabilities: Float32Array.from(positive.flatMap((p) => [1 - p, p])),
});

Deno.test("scoresOf() weighs batches by their images", () => {
  const sums = noScores();
  addBatch(sums, batch(1, [0.25, 0.75, 0.625]), Int32Array.of(0, 1, 0));
  addBatch(sums, batch(3, [0.5]), Int32Array.of(1));
  assert.deepEqual(scoresOf(sums), {
    loss: 1.5,
    accuracy: 0.5, // a draw goes to the negative class
    auc: 0.75, // of the pairs (1, 0) three of four are in order
  });
});

Deno.test("scoresOf() has no AUC of one class alone", () => {
  const sums = noScores();
  addBatch(sums, batch(1, [0.25, 0.75]), Int32Array.of(0, 0));
  assert.deepEqual(scoresOf(sums), { loss: 1, accuracy: 0.5, auc: null });
});
