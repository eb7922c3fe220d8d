import fc from "fast-check";
import assert from "node:assert/strict";
import { calibrate, DEFAULT_DECISION } from "../../lib/run/decision.ts";

Deno.test("calibrate() leaves probabilities as they are without a calibration", () => {
  const [a, b] = calibrate([0.3, 0.7], DEFAULT_DECISION.calibration);
  assert.deepEqual([a, b], [0.3, 0.7]);
});

Deno.test("calibrate() is Platt scaling of the log odds of two classes", () => {
  // log odds of 0.8: log 4; half of it plus 1
  const [, p] = calibrate([0.2, 0.8], { method: "platt", slope: 0.5, intercept: 1 });
  assert.ok(Math.abs(p! - 1 / (1 + Math.exp(-(0.5 * Math.log(4) + 1)))) < 1e-12);
});

Deno.test("calibrate() keeps the order of images and sums to 1, at 0 and 1 as well", () => {
  const probability = fc.double({ min: 0, max: 1, noNaN: true });
  fc.assert(fc.property(
    probability,
    probability,
    fc.double({ min: 0.1, max: 5, noNaN: true }),
    fc.double({ min: -3, max: 3, noNaN: true }),
    (a, b, slope, intercept) => {
      const [low, high] = [Math.min(a, b), Math.max(a, b)].map((p) =>
        calibrate([1 - p, p], { method: "platt", slope, intercept })
      );
      assert.ok(low![1]! <= high![1]! + 1e-12);
      assert.ok(Math.abs(low![0]! + low![1]! - 1) < 1e-12);
    },
  ));
});
