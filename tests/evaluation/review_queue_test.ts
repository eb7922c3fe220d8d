import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { readLabels } from "../../lib/data/labels.ts";
import { createReviewQueue, reviewCsv, reviewNeed } from "../../lib/evaluation/queue.ts";
import { type Flag, FLAGS } from "../../lib/model/reference.ts";
import { inFolder } from "../data/test_images.ts";

const flagsOf = (n: number): Flag[] => FLAGS.slice(0, n);

Deno.test("reviewNeed() is what it says, by hand", () => {
  const need = (probability: number, flags = 0, threshold = 0.5) =>
    reviewNeed({ probability, flags: flagsOf(flags) }, threshold);
  assert.equal(need(0.5), 1);
  assert.equal(need(1), 0);
  assert.equal(need(0), 0);
  assert.equal(need(0.75), 0.5);
  assert.equal(need(1, 1), 0.5);
  assert.equal(need(0, 2), 0.75);
  assert.equal(need(0.2, 0, 0.2), 1);
  assert.equal(need(0.6, 0, 0.2), 0.5);
  assert.equal(need(0.1, 0, 0.2), 0.5);
  assert.equal(need(1, 0, 1), 1); // no room above: as uncertain as can be
});

Deno.test("reviewNeed() never falls with a flag more, nor with a probability nearer to the threshold", () => {
  const probability = fc.double({ min: 0, max: 1, noNaN: true });
  fc.assert(
    fc.property(probability, probability, probability, fc.nat({ max: 6 }), (p, t, way, n) => {
      const own = reviewNeed({ probability: p, flags: flagsOf(n) }, t);
      assert.ok(own >= 0 && own <= 1);
      assert.ok(reviewNeed({ probability: p, flags: flagsOf(n + 1) }, t) >= own);
      if ((p >= t) !== (p + way * (t - p) >= t)) return;
      assert.ok(reviewNeed({ probability: p + way * (t - p), flags: flagsOf(n) }, t) >= own - 1e-9);
    }),
  );
});

const image = (name: string, probability: number, flags = 0) => ({
  name,
  predicted: probability >= 0.5 ? "positive" : "negative",
  probability,
  flags: flagsOf(flags),
});

Deno.test("createReviewQueue() keeps those that need it most, in whatever order they come", () => {
  const images = Array.from(
    { length: 500 },
    (_, i) => image(`${i % 250}`.padStart(3, "0"), i / 499),
  );
  const whole = createReviewQueue(0.5);
  images.forEach(whole.add);
  const expected = whole.rows();
  assert.equal(expected.length, 500);
  expected.slice(1).forEach((row, i) => {
    const before = expected[i]!;
    assert.ok(before.need > row.need || (before.need === row.need && before.name <= row.name));
  });
  const short = createReviewQueue(0.5, 20);
  images.toReversed().forEach(short.add);
  assert.deepEqual(short.rows(), expected.slice(0, 20));
  assert.deepEqual(short.rows(), expected.slice(0, 20));
  assert.equal(short.total(), 500);
});

Deno.test("reviewCsv() is what readLabels() takes, once a person has filled it in", () =>
  inFolder(async (folder) => {
    const names = ["a/=SUM(1).png", 'b, "x".png', "c.png", "ü\\n.png"];
    const queue = createReviewQueue(0.5);
    [0.5, 0.7, 0.9, 0.9].forEach((p, i) => queue.add(image(names[i]!, p, i === 3 ? 2 : 0)));
    const path = join(folder, "review.csv");
    const text = reviewCsv(queue);
    await Deno.writeTextFile(path, text);
    assert.equal(text.split("\n")[0], "path,label,predicted,probability,suggested,flags,need");
    const labels = await readLabels(path, names, ["negative", "positive"]);
    assert.deepEqual(labels.map(({ path }) => path), [names[0], names[3], names[1], names[2]]);
    assert.ok(labels.every(({ label }) => label === null)); // left out as long as nobody said
    // of the flagged one nothing is suggested
    assert.deepEqual(text.trim().split("\n").slice(1).map((line) => line.split(",").at(-3)), [
      "positive",
      "",
      "positive",
      "positive",
    ]);
    await Deno.writeTextFile(path, text.replace("c.png,,", "c.png,negative,"));
    const corrected = await readLabels(path, names, ["negative", "positive"]);
    assert.deepEqual(corrected.find(({ path }) => path === "c.png")?.label, "negative");
  }));
