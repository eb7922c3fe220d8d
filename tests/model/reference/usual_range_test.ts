import assert from "node:assert/strict";
import fc from "fast-check";
import { createRandom } from "../../../lib/core/random.ts";
import { conformalLimit, spreadsAway, usualRange } from "../../../lib/model/ordinary.ts";

Deno.test("usualRange() is the standard deviation of normal numbers on both sides", () => {
  const random = createRandom("normal");
  const { median, below, above } = usualRange(
    Array.from({ length: 20_000 }, () => 5 + 2 * random.normal()),
    0,
  );
  for (const [value, expected] of [[median, 5], [below, 2], [above, 2]] as const) {
    assert.ok(Math.abs(value - expected) < 0.06, `${value} instead of ${expected}`);
  }
});

Deno.test("usualRange() has a side for each direction, and is not moved by one wild number", () => {
  // of 0 to 100: median 50, 5th 5 and 95th 95; above the median everything doubled
  const values = Array.from({ length: 101 }, (_, i) => i <= 50 ? i : 2 * i - 50);
  const range = usualRange(values, 1);
  assert.equal(range.median, 50);
  assert.ok(Math.abs(range.below - 45 / 1.6449) < 1e-9);
  assert.ok(Math.abs(range.above - 90 / 1.6449) < 1e-9);
  assert.deepEqual(usualRange([...values.slice(0, -1), 1e9], 1), range);
  assert.ok(Math.abs(spreadsAway(5, range) + 1.6449) < 1e-9);
  assert.ok(Math.abs(spreadsAway(140, range) - 1.6449) < 1e-9);
  assert.deepEqual(usualRange([3, 3, 3], 0.5), { median: 3, below: 0.5, above: 0.5 });
});

Deno.test("conformalLimit() takes the number that the share asks for, by hand", () => {
  const values = Array.from({ length: 199 }, (_, i) => 199 - i); // 1 to 199
  // ⌈200 × 0.99⌉ = 198, ⌈200 × 0.995⌉ = 199
  assert.equal(conformalLimit(values, 0.01).limit, 198);
  assert.ok(Math.abs(conformalLimit(values, 0.01).chance - 0.01) < 1e-12);
  assert.equal(conformalLimit(values, 0.005).limit, 199);
  // too few numbers for the share: the largest one, and the chance that it vouches for
  assert.deepEqual(conformalLimit([3, 1, 2], 0.01), { limit: 3, chance: 0.25 });
});

Deno.test("conformalLimit() is exceeded as seldom as it says, whatever the distribution", () => {
  fc.assert(
    fc.property(fc.integer({ min: 5, max: 60 }), fc.integer({ min: 1, max: 30 }), (m, percent) => {
      const random = createRandom(`${m}/${percent}`);
      const heavy = () => Math.exp(3 * random.normal());
      const rounds = 1500;
      let [exceeded, chance] = [0, 0];
      for (let round = 0; round < rounds; round++) {
        const found = conformalLimit(Array.from({ length: m }, heavy), percent / 100);
        chance = found.chance;
        if (heavy() > found.limit) exceeded++;
      }
      const spread = Math.sqrt(chance * (1 - chance) / rounds);
      assert.ok(
        Math.abs(exceeded / rounds - chance) < 5 * spread,
        `${exceeded / rounds}: ${chance}`,
      );
      assert.ok(chance <= Math.max(percent / 100, 1 / (m + 1)) + 1e-9);
    }),
    { numRuns: 12, seed: 3 },
  );
});
