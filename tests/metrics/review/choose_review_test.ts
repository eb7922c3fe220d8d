import assert from "node:assert/strict";
import fc from "fast-check";
import { chooseReview, compareLabels } from "../../../lib/metrics/review.ts";

const classes = ["non", "scl"];

const row = (path: string, label: string, probability: number) => ({
  path,
  label,
  predicted: probability >= 0.4 ? "scl" : "non",
  probability,
});

Deno.test("chooseReview() lists the surest mistakes and then the least certain", () => {
  const predictions = [
    row("a", "non", 0.02),
    row("b", "scl", 0.19), // a mistake, not quite half as certain as could be below 0.4
    row("c", "non", 0.99), // a mistake, and sure of it
    row("d", "scl", 0.42),
    row("e", "non", 0.3),
  ];
  const review = chooseReview(predictions, { threshold: 0.4, classes });
  assert.deepEqual(
    review.mistakes.map(({ path, suggested }) => [path, suggested]),
    [["c", "scl"], ["b", "non"]],
  );
  const bare = chooseReview([row("b", "scl", 0.21)], { threshold: 0.4, classes });
  assert.deepEqual(bare.mistakes.map(({ suggested }) => suggested), [""]);
  assert.deepEqual(
    review.uncertain.map(({ path, suggested }) => [path, suggested]),
    [["d", ""], ["e", ""], ["a", ""]],
  );
  assert.deepEqual([review.mistakesOf, review.of], [2, 5]);
});

Deno.test("chooseReview() lists no more than a person can look at", () => {
  const predictions = Array.from({ length: 1000 }, (_, i) => row(`${i}`, "non", i / 1000));
  const { mistakes, uncertain, mistakesOf } = chooseReview(predictions, {
    threshold: 0.4,
    classes,
  });
  assert.deepEqual([mistakes.length, uncertain.length, mistakesOf], [50, 50, 600]);
  assert.equal(mistakes[0]!.path, "999");
  assert.equal(uncertain[0]!.path, "400");
});

Deno.test("compareLabels() says what corrections make of the same predictions", () => {
  const tested = [
    row("a", "non", 0.9), // wrong, and corrected to the answer
    row("b", "scl", 0.9), // right, and corrected to another
    row("c", "non", 0.8), // wrong, and corrected to the answer
    row("d", "non", 0.1),
    row("e", "scl", 0.1), // wrong, and left out
  ];
  const now: Record<string, string | null> = { a: "scl", b: "non", c: "scl", d: "non", e: null };
  const comparison = compareLabels(tested, (path) => now[path]!, "since then")!;
  assert.deepEqual(comparison.accuracy, { before: 2 / 5, after: 3 / 4 });
  assert.deepEqual(comparison.changes.map(({ path }) => path), ["a", "b", "c", "e"]);
  assert.equal(
    comparison.sentence,
    "4 labels corrected since then (1 of them left out), 2 to what the model had answered. Its " +
      "accuracy on those 5 test images: with the old labels 0.400, with the corrected ones 0.750. " +
      "Whoever looks again mostly at what the model got wrong finds mostly errors that speak for " +
      "it: the second number flatters.",
  );
  assert.equal(compareLabels(tested, () => null, "x")!.accuracy.after, null);
});

Deno.test("compareLabels() is null just when no label changed, and never counts right twice", () => {
  const label = fc.constantFrom(...classes);
  const image = fc.record({ before: label, after: fc.option(label), predicted: label });
  fc.assert(fc.property(fc.array(image), (images) => {
    const tested = images.map(({ before, predicted }, i) => {
      return { path: `${i}`, label: before, predicted, probability: 0.5 };
    });
    const comparison = compareLabels(tested, (path) => images[Number(path)]!.after, "since");
    const changed = images.filter(({ before, after }) => before !== after);
    assert.equal(comparison?.changes.length ?? 0, changed.length);
    if (!comparison) return;
    // the rise of right answers comes from the changed images alone
    const kept = images.filter(({ after }) => after !== null).length;
    const right = (of: typeof images, which: "before" | "after") =>
      of.filter((one) => one[which] === one.predicted).length;
    const rise = right(changed, "after") - right(changed, "before");
    const { before, after } = comparison.accuracy;
    assert.ok(Math.abs((after ?? 0) * kept - before * images.length - rise) < 1e-9);
  }));
});
