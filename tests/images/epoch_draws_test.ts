import fc from "fast-check";
import assert from "node:assert/strict";
import { parseConfig } from "../../lib/core/config.ts";
import { ConfigError } from "../../lib/core/errors.ts";
import { type Draw, epochDraws } from "../../lib/images/decode.ts";

/** Labels of up to 60 images of up to 5 classes, of which some may have none. */
const anyLabels = fc.array(fc.nat(4), { minLength: 1, maxLength: 60 });

/** How often each value is there. */
function counts(values: readonly number[]): Map<number, number> {
  const groups = Map.groupBy(values, (value) => value);
  return new Map([...groups].map(([value, { length }]) => [value, length]));
}

const spread = (values: Iterable<number>) => Math.max(...values) - Math.min(...values);

/** The draws of the first epochs. */
function epochs(labels: number[], seed: number, n: number): Draw[][] {
  const draw = (epoch: number) => epochDraws(labels, { seed, epoch, sampling: "balanced" });
  return Array.from(Array(n), (_, i) => draw(i + 1));
}

Deno.test("epochDraws() draws every image once where sampling is natural, in another order every epoch", () => {
  fc.assert(
    fc.property(fc.nat(300), fc.nat(), fc.integer({ min: 1, max: 50 }), (n, seed, epoch) => {
      const orderOf = (epoch: number) => {
        const draws = epochDraws(Array(n).fill(0), { seed, epoch, sampling: "natural" });
        assert.ok(draws.every(({ view }) => view === epoch));
        return draws.map(({ index }) => index);
      };
      const order = orderOf(epoch);
      assert.deepEqual(order.toSorted((a, b) => a - b), Array.from({ length: n }, (_, i) => i));
      assert.deepEqual(order, orderOf(epoch));
      if (n > 20) assert.notDeepEqual(order, orderOf(epoch + 1));
    }),
    { seed: 1, numRuns: 50 },
  );
});

Deno.test("epochDraws() balances: as many images as there are, each class equally often", () => {
  fc.assert(
    fc.property(anyLabels, fc.nat(), fc.integer({ min: 1, max: 40 }), (labels, seed, epoch) => {
      const draws = epochDraws(labels, { seed, epoch, sampling: "balanced" });
      assert.equal(draws.length, labels.length);
      const perClass = counts(draws.map(({ index }) => labels[index]!));
      assert.deepEqual(new Set(perClass.keys()), new Set(labels));
      assert.ok(spread(perClass.values()) <= 1, JSON.stringify([...perClass]));
    }),
    { seed: 1, numRuns: 100 },
  );
});

Deno.test("epochDraws() comes by all images of a class equally often, each view once", () => {
  fc.assert(
    fc.property(anyLabels, fc.nat(), fc.integer({ min: 1, max: 12 }), (labels, seed, n) => {
      const draws = epochs(labels, seed, n).flat();
      const seen = counts(draws.map(({ index }) => index));
      for (const label of new Set(labels)) {
        const members = [...labels.keys()].filter((index) => labels[index] === label);
        assert.ok(spread(members.map((index) => seen.get(index) ?? 0)) <= 1);
      }
      for (const [index, times] of seen) {
        const views = draws.filter((draw) => draw.index === index).map(({ view }) => view);
        const each = Array.from(Array(times), (_, i) => i + 1);
        assert.deepEqual(views.toSorted((a, b) => a - b), each);
      }
    }),
    { seed: 1, numRuns: 60 },
  );
});

Deno.test("epochDraws() gives another order each epoch, the same for the same seed", () => {
  const labels = Array.from({ length: 40 }, (_, i) => i % 4 === 0 ? 1 : 0);
  const [first, second] = epochs(labels, 9, 2);
  assert.notDeepEqual(first!.map(({ index }) => index), second!.map(({ index }) => index));
  assert.deepEqual(epochs(labels, 9, 2), [first, second]);
  assert.notDeepEqual(epochs(labels, 8, 1)[0], first);
  const classes = first!.map(({ index }) => labels[index]!);
  assert.ok(classes.slice(0, 20).includes(1) && classes.slice(20).includes(1), "mixed");
});

Deno.test("parseConfig() refuses to balance the classes twice, and says what to change", () => {
  const training = { classWeights: "balanced", sampling: "balanced" };
  const message = /training\.sampling: balances .* classWeights to "none" or sampling to "natural"/;
  assert.throws(() => parseConfig({ training }), { name: ConfigError.name, message });
  for (const name of ["classWeights", "sampling"]) {
    parseConfig({ training: { [name]: "balanced" } });
  }
});
