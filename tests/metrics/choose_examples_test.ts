import assert from "node:assert/strict";
import fc from "fast-check";
import { chooseExamples } from "../../lib/metrics/test.ts";

const classes = ["non", "sclerotic"];

function predictions(rows: readonly (readonly [label: 0 | 1, probability: number])[], t: number) {
  return rows.map(([label, probability], i) => ({
    path: `${String(i).padStart(3, "0")}.png`,
    label: classes[label]!,
    predicted: classes[probability >= t ? 1 : 0]!,
    probability,
  }));
}

Deno.test("chooseExamples() finds the most confident mistakes, the least certain and the typical", () => {
  const rows = predictions([
    [0, 0.95], // 0: a confident mistake
    [0, 0.3], // 1: a mistake, since the threshold is 0.2
    [1, 0.02], // 2: as confident as 0.92 on the other side
    [0, 0.19], // 3: right, hardly
    [1, 0.25], // 4: right, hardly
    [1, 0.6], // 5
    [1, 0.8], // 6: as many of its class are less certain as more
    [1, 0.99], // 7
    [0, 0.01], // 8
    [0, 0.05], // 9
    [0, 0.1], // 10
    [0, 0.03], // 11
    [1, 0.85], // 12
  ], 0.2);
  const groups = chooseExamples({ rows, threshold: 0.2, classes }, 2);
  assert.deepEqual(
    groups.map(({ kind, examples, of }) => [kind, examples.map((row) => rows.indexOf(row)), of]),
    [
      ["mistakes", [0, 2], 3],
      ["uncertain", [3, 4], 11],
      ["typical", [9, 11], 5], // certainties 0.05, 0.5, 0.75, 0.85, 0.95
      ["typical", [6, 12], 5], // 0.0625, 0.5, 0.75, 0.8125, 0.9875
    ],
  );
  assert.deepEqual(groups.map(({ label }) => label), [null, null, "non", "sclerotic"]);
});

Deno.test("chooseExamples() of a model without mistakes, or of nothing, has empty groups", () => {
  const rows = predictions([[0, 0.1], [1, 0.9]], 0.5);
  const right = chooseExamples({ rows, threshold: null, classes }, 1);
  assert.deepEqual(right.map(({ examples }) => examples.length), [0, 1, 0, 1]);
  const none = chooseExamples({ rows: [], threshold: 0.5, classes }, 3);
  assert.deepEqual(none.map(({ examples, of }) => [examples.length, of]), [
    [0, 0],
    [0, 0],
    [0, 0],
    [0, 0],
  ]);
});

Deno.test("chooseExamples() takes the same images in any order, each once, at any threshold", () => {
  const label = fc.constantFrom(0 as const, 1 as const);
  const row = fc.tuple(label, fc.constantFrom(0, 0.2, 0.5, 0.5000001, 0.9, 1));
  fc.assert(fc.property(
    fc.array(row, { maxLength: 30 }),
    fc.constantFrom(0, 0.3, 0.5, 1),
    (drawn, threshold) => {
      const rows = predictions(drawn, threshold);
      const chosen = chooseExamples({ rows, threshold, classes }, 3);
      const paths = chosen.flatMap(({ examples }) => examples.map(({ path }) => path));
      assert.equal(new Set(paths).size, paths.length);
      const [mistakes, uncertain] = chosen;
      assert.ok(mistakes!.examples.every((e) => e.label !== e.predicted));
      assert.equal(mistakes!.examples.length, Math.min(3, mistakes!.of));
      assert.equal(uncertain!.examples.length, Math.min(3, uncertain!.of));
      const again = chooseExamples({ rows: rows.toReversed(), threshold, classes }, 3);
      assert.deepEqual(again, chosen);
    },
  ));
});
