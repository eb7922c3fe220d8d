import assert from "node:assert/strict";
import { confusionMatrix, mcc } from "../../lib/metrics/rates.ts";

Deno.test("confusionMatrix() counts the four outcomes, weighted where asked", () => {
  const [labels, predicted] = [[1, 1, 0, 0, 0], [1, 0, 1, 0, 0]];
  assert.deepEqual(confusionMatrix(labels, predicted), {
    truePositive: 1,
    falsePositive: 1,
    trueNegative: 2,
    falseNegative: 1,
  });
  assert.deepEqual(confusionMatrix(labels, predicted, [2, 0, 1, 3, 0]), {
    truePositive: 2,
    falsePositive: 1,
    trueNegative: 3,
    falseNegative: 0,
  });
});

Deno.test("mcc() is exact on counts whose product passes 2^53", () => {
  const m = { truePositive: 9e5, falsePositive: 1e5, trueNegative: 8e5, falseNegative: 2e5 };
  const expected = (9 * 8 - 1 * 2) / Math.sqrt(10 * 11 * 9 * 10); // the same ratios, small
  assert.ok(Math.abs(mcc(m)! - expected) < 1e-12);
});
