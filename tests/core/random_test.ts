import fc from "fast-check";
import assert from "node:assert/strict";
import { createRandom, restoreRandom } from "../../lib/core/random.ts";

const draws = (seed: string | number, n: number) => {
  const random = createRandom(seed);
  return Array.from({ length: n }, () => random.next());
};

Deno.test("createRandom() gives these numbers on every machine, for ever", () => {
  const words = draws("42/epoch/1", 4).map((value) => value * 2 ** 32);
  assert.deepEqual(words, [766178460, 3967680148, 1924738363, 1357269191]);
  assert.deepEqual(draws(42, 3), draws("42", 3));
});

Deno.test("createRandom() gives independent numbers for seeds that differ a little", () => {
  const seeds = Array.from({ length: 200 }, (_, i) => `42/weights/conv${i}`);
  const first = new Set(seeds.map((seed) => draws(seed, 1)[0]));
  assert.equal(first.size, seeds.length);
  const [a, b] = [draws("seed/1", 4000), draws("seed/2", 4000)];
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const correlation = 12 * mean(a.map((value, i) => (value - 0.5) * (b[i]! - 0.5)));
  assert.ok(Math.abs(correlation) < 4 / Math.sqrt(4000), `correlation ${correlation}`);
});

Deno.test("next() is uniform in [0, 1), integer() below its limit, normal() standard", () => {
  const n = 20000;
  const random = createRandom("moments");
  const bins = new Array<number>(10).fill(0);
  for (let i = 0; i < n; i++) {
    const value = random.next();
    assert.ok(value >= 0 && value < 1);
    bins[Math.floor(10 * value)]! += 1;
  }
  const chiSquare = bins.reduce((sum, seen) => sum + (seen - n / 10) ** 2 / (n / 10), 0);
  assert.ok(chiSquare < 27.9, `chi-square ${chiSquare}`); // 9 degrees of freedom, p = 0.001
  const seen = new Set(Array.from({ length: 200 }, () => random.integer(7)));
  assert.deepEqual([...seen].sort(), [0, 1, 2, 3, 4, 5, 6]);
  const normal = Array.from({ length: n }, () => random.normal());
  const moment = (power: number) => normal.reduce((sum, value) => sum + value ** power, 0) / n;
  assert.ok(Math.abs(moment(1)) < 0.03, `mean ${moment(1)}`);
  assert.ok(Math.abs(moment(2) - 1) < 0.04, `variance ${moment(2)}`);
  assert.ok(Math.abs(moment(4) - 3) < 0.3, `fourth moment ${moment(4)}`);
});

Deno.test("shuffle() gives a permutation and leaves its input; every place is as likely", () => {
  fc.assert(
    fc.property(fc.array(fc.integer()), fc.string(), (items, seed) => {
      const copy = [...items];
      const shuffled = createRandom(seed).shuffle(items);
      assert.deepEqual(items, copy);
      assert.deepEqual(shuffled.toSorted((a, b) => a - b), items.toSorted((a, b) => a - b));
    }),
    { seed: 1, numRuns: 200 },
  );
  const random = createRandom("places");
  const places = new Array<number>(5).fill(0);
  for (let i = 0; i < 5000; i++) places[random.shuffle([0, 1, 2, 3, 4]).indexOf(0)]! += 1;
  for (const count of places) assert.ok(Math.abs(count - 1000) < 4 * Math.sqrt(800), `${places}`);
});

Deno.test("restoreRandom() goes on from a saved state", () => {
  const random = createRandom("resume");
  for (let i = 0; i < 10; i++) random.normal();
  const copy = restoreRandom(JSON.parse(JSON.stringify(random.state())));
  for (let i = 0; i < 20; i++) assert.equal(copy.next(), random.next());
  assert.deepEqual(copy.state(), random.state());
});
