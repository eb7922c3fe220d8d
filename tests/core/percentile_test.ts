import fc from "fast-check";
import assert from "node:assert/strict";
import { percentile } from "../../lib/core/stats.ts";

Deno.test("percentile() is numpy's linear percentile, by sorting", () => {
  const value = fc.oneof(fc.integer({ min: -3, max: 3 }), fc.double({ noNaN: true }));
  const finite = fc.array(value.filter(Number.isFinite), { minLength: 1, maxLength: 200 });
  fc.assert(
    fc.property(finite, fc.double({ min: 0, max: 100, noNaN: true }), (values, percent) => {
      const sorted = values.toSorted((a, b) => a - b);
      const place = percent / 100 * (values.length - 1);
      const [low, high] = [sorted[Math.floor(place)]!, sorted[Math.ceil(place)]!];
      const expected = low + (place - Math.floor(place)) * (high - low);
      const actual = percentile(Float64Array.from(values), percent);
      if (!Number.isFinite(high - low)) return; // the whole range of doubles between neighbours
      assert.ok(Math.abs(actual - expected) <= 1e-12 * Math.max(1, Math.abs(expected)));
    }),
    { seed: 3, numRuns: 500 },
  );
});

Deno.test("percentile() takes time in proportion to the values, however they lie", () => {
  const n = 300_000;
  for (
    const at of [
      (i: number) => i, // rising
      (i: number) => n - i, // falling
      () => 1, // all the same
      (i: number) => i % 7,
      (i: number) => Math.min(i, n - i), // up and down
    ]
  ) {
    const values = Float64Array.from({ length: n }, (_, i) => at(i));
    const expected = values.toSorted()[Math.round(0.99 * (n - 1))]!;
    const start = performance.now();
    assert.ok(Math.abs(percentile(values, 99) - expected) <= 1);
    assert.ok(performance.now() - start < 2000, "quadratic time would be a minute");
  }
});
