import fc from "fast-check";
import assert from "node:assert/strict";
import { bootstrap, wilson } from "../../lib/metrics/intervals.ts";

Deno.test("wilson() holds the share, stays within 0 to 1, narrows with n and refuses none", () => {
  fc.assert(
    fc.property(fc.nat(500), fc.integer({ min: 1, max: 500 }), (k, n) => {
      fc.pre(k <= n);
      const { low, high } = wilson(k, n);
      assert.ok(0 <= low && low <= k / n && k / n <= high && high <= 1 && low < high);
      const more = wilson(4 * k, 4 * n);
      assert.ok(more.high - more.low < high - low);
    }),
    { seed: 1, numRuns: 300 },
  );
  assert.throws(() => wilson(0, 0), RangeError);
  assert.throws(() => wilson(3, 2), RangeError);
});

const values = Float64Array.from({ length: 100 }, (_, i) => i);

const mean = (weights: Uint32Array) => ({
  mean: weights.reduce((sum, weight, i) => sum + weight * values[i]!, 0) /
    weights.reduce((sum, weight) => sum + weight, 0),
});

Deno.test("bootstrap() of a mean agrees with the normal interval", () => {
  const { low, high } = bootstrap(mean, { n: 100, seed: 1 }).mean;
  const half = 1.96 * 28.866 / 10; // standard deviation of 0..99, n = 100
  assert.ok(Math.abs(low! - (49.5 - half)) < 0.6, String(low));
  assert.ok(Math.abs(high! - (49.5 + half)) < 0.6, String(high));
});

Deno.test("bootstrap() draws whole groups", () => {
  const groups = Array.from(values, (_, i) => `patient ${i % 5}`);
  bootstrap((weights) => {
    weights.forEach((weight, i) => assert.equal(weight, weights[i % 5]));
    assert.equal(weights.slice(0, 5).reduce((sum, weight) => sum + weight), 5);
    return { nothing: 0 };
  }, { n: 100, groups, seed: 1, resamples: 50 });
});

Deno.test("bootstrap() of few groups draws the images within as well, and its intervals are wider", () => {
  const groups = Array.from(values, (_, i) => `patient ${i % 2}`);
  const options = { n: 100, groups, seed: 1 };
  let mixed = 0;
  const interval = bootstrap((weights) => {
    const [first, second] = [0, 1].map((group) =>
      weights.reduce((sum, weight, i) => sum + (i % 2 === group ? weight : 0), 0)
    );
    assert.ok([0, 50, 100].includes(first!) && first! + second! === 100, "groups are drawn whole");
    if (first === 50) mixed++;
    return mean(weights);
  }, options).mean;
  assert.ok(mixed > 900 && mixed < 1100, `${mixed} of 2000 resamples have both groups`);
  const ofImages = bootstrap(mean, { n: 100, seed: 1 }).mean;
  assert.ok(interval.high! - interval.low! > 0.95 * (ofImages.high! - ofImages.low!));
});

Deno.test("bootstrap() leaves out undefined resamples, and says when they are most", () => {
  let round = 0;
  const some = bootstrap(() => {
    round++;
    return { often: round % 4 === 0 ? null : round, seldom: round % 4 === 0 ? round : null };
  }, { n: 5, seed: 1, resamples: 400 });
  assert.ok(some.often.low !== null && some.often.low < 20);
  assert.equal(some.seldom.low, null);
  assert.match(some.seldom.reason!, /undefined in most resamples/);
});

Deno.test("bootstrap() is the same for the same seed and another for another", () => {
  const options = { n: 100, resamples: 200 };
  const first = bootstrap(mean, { ...options, seed: 1 });
  assert.deepEqual(bootstrap(mean, { ...options, seed: 1 }), first);
  assert.notDeepEqual(bootstrap(mean, { ...options, seed: 2 }), first);
});
