import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { parseConfig } from "../../lib/core/config.ts";
import { readCsv } from "../../lib/core/csv.ts";
import type { Config } from "../../lib/core/settings.ts";
import { scanDataset } from "../../lib/data/scan.ts";
import { chooseReview, compareLabels } from "../../lib/metrics/review.ts";
import { type SplitRow, writeSplit } from "../../lib/run/split_file.ts";
import { inProjectCopy } from "../copy_project.ts";
import { picture, put } from "../data/test_images.ts";

type ReviewRun = typeof import("../../lib/metrics/review.ts");

const classes = ["non", "scl"];

const row = (path: string, label: string, probability: number) => ({
  path,
  label,
  predicted: probability >= 0.4 ? "scl" : "non",
  probability,
});

Deno.test("chooseReview() lists the surest mistakes and then the least certain", () => {
  const rows = [
    row("a", "non", 0.02),
    row("b", "scl", 0.19), // a mistake, not quite half as certain as could be below 0.4
    row("c", "non", 0.99), // a mistake, and sure of it
    row("d", "scl", 0.42),
    row("e", "non", 0.3),
  ];
  const review = chooseReview({ rows, threshold: 0.4, classes });
  assert.deepEqual(
    review.mistakes.map(({ path, suggested }) => [path, suggested]),
    [["c", "scl"], ["b", "non"]],
  );
  const bare = chooseReview({ rows: [row("b", "scl", 0.21)], threshold: 0.4, classes });
  assert.deepEqual(bare.mistakes.map(({ suggested }) => suggested), [""]);
  assert.deepEqual(
    review.uncertain.map(({ path, suggested }) => [path, suggested]),
    [["d", ""], ["e", ""], ["a", ""]],
  );
  assert.deepEqual([review.mistakesOf, review.of], [2, 5]);
});

Deno.test("chooseReview() lists no more than a person can look at", () => {
  const rows = Array.from({ length: 1000 }, (_, i) => row(`${i}`, "non", i / 1000));
  const { mistakes, uncertain, mistakesOf } = chooseReview({ rows, threshold: 0.4, classes });
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
  assert.match(
    comparison.sentence,
    /^4 labels corrected since then \(1 of them left out\), 2 to .* 5 test images: .*0\.400.*0\.750/,
  );
  assert.match(comparison.sentence, /flatters/);
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

const CLASSES = ["negative", "positive"];

const HEADER = "path,label,predicted,probability,suggested";

interface Place {
  config: Config;
  /** Tests the images as they are labelled in split.csv, and lists those to review. */
  review: () => ReturnType<ReviewRun["reviewRun"]>;
  /** Absolute path of a file in the run's results. */
  result: (name: string) => string;
  labels: string;
  /** Scans the data and makes its labels the split's, as notebooks 02 and 03 do. */
  scan: () => Promise<Record<string, string>>;
}

/** A run of six images: the model calls the first of each class wrong, and sure of it. */
function withRun(test: (place: Place) => Promise<void>): () => Promise<void> {
  return () =>
    inProjectCopy(async ({ root, load }) => {
      const { reviewRun } = await load<ReviewRun>("lib/metrics/review.ts");
      const config = parseConfig({ data: { folder: "data", classes: CLASSES } });
      const known = new Map<string, number>();
      for (const [i, probability] of [0.97, 0.1, 0.2, 0.05, 0.9, 0.8].entries()) {
        const path = `${CLASSES[Math.floor(i / 3)]}/=${i},"x";é.png`;
        await put(root, `data/${path}`, await picture(i, 40, 40).png().toBuffer());
        known.set(path, probability);
      }
      const split = join(root, "results/default/split.csv");
      let rows: SplitRow[] = [];
      const scan = async () => {
        const scanned = await scanDataset(join(root, "data"), config.data);
        rows = scanned.rows.filter(({ status }) => status === "ok").map((row) => {
          const { path, label, group, sha256 } = row;
          return { path, label, group, sha256, subset: "test" };
        });
        await writeSplit(split, rows);
        return Object.fromEntries(scanned.rows.map(({ path, label }) => [path, label]));
      };
      await scan();
      const review = () => {
        const predictions = rows.map(({ path, label }) => {
          const probability = known.get(path)!;
          return { path, label, predicted: CLASSES[probability >= 0.5 ? 1 : 0]!, probability };
        });
        return reviewRun(config, { rows: predictions, classes: CLASSES, threshold: 0.5 });
      };
      const result = (name: string) => join(root, "results/default", name);
      await test({ config, review, result, labels: join(root, "data/labels.csv"), scan });
    });
}

Deno.test(
  "review.csv copied to labels.csv as it is changes nothing; a label corrected in it does",
  withRun(async ({ review, result, labels, scan }) => {
    const before = await scan();
    const { file, corrections, edited, howTo } = await review();
    assert.deepEqual([file, corrections, edited], ["review.csv", null, []]);
    assert.match(howTo, /open results\/default\/review\.csv .* save it as data\/labels\.csv/);
    const text = await Deno.readTextFile(result("review.csv"));
    assert.equal(text.split("\n")[0], HEADER);
    const rows = await readCsv(result("review.csv"), ["path", "label", "suggested"], "");
    assert.deepEqual(
      rows.slice(0, 2).map(({ path, label, suggested }) => [path, label, suggested]),
      [
        ['negative/=0,"x";é.png', "negative", "positive"],
        ['positive/=3,"x";é.png', "positive", "negative"],
      ],
    );
    assert.ok(rows.length > 2 && rows.slice(2).every(({ suggested }) => suggested === ""));
    await Deno.copyFile(result("review.csv"), labels);
    assert.deepEqual(await scan(), before);

    const corrected = text.replace(
      /(;é\.png"),negative,positive,0.97/,
      "$1,positive,positive,0.97",
    );
    assert.notEqual(corrected, text);
    await Deno.writeTextFile(labels, corrected);
    assert.deepEqual(await scan(), { ...before, 'negative/=0,"x";é.png': "positive" });
  }),
);

Deno.test(
  "reviewRun() tells what corrections changed, before and after they are taken up",
  withRun(async ({ review, result, labels, scan }) => {
    await review();
    const text = await Deno.readTextFile(result("review.csv"));
    await Deno.writeTextFile(
      labels,
      text.replace(/,negative,positive,0.97/, ",positive,positive,0.97"),
    );
    const pending = await review(); // notebook 06 alone: split.csv has the old label
    assert.equal(pending.pending, 1);
    assert.deepEqual(pending.corrections!.accuracy, { before: 4 / 6, after: 5 / 6 });
    assert.match(pending.howTo, /put the corrected rows into data\/labels\.csv/);

    await scan();
    for (let again = 0; again < 2; again++) { // a repetition says the same
      const taken = await review();
      assert.equal(taken.pending, 0);
      assert.deepEqual(taken.corrections!.changes, [{
        path: 'negative/=0,"x";é.png',
        before: "negative",
        after: "positive",
        predicted: "positive",
      }]);
      assert.deepEqual(taken.corrections!.accuracy, { before: 4 / 6, after: 5 / 6 });
      assert.match(taken.corrections!.sentence, /^1 label corrected since the test of 20/);
      assert.equal(taken.mistakesOf, 1);
    }
    // of another run, which has no list yet, the class folders are what was before
    await Deno.remove(result("review.json"));
    const other = await review();
    assert.match(other.corrections!.sentence, /^1 label corrected against the names of the class/);
    assert.deepEqual(other.corrections!.accuracy, { before: 4 / 6, after: 5 / 6 });
  }),
);

Deno.test(
  "reviewRun() never overwrites a list that a person has edited",
  withRun(async ({ review, result }) => {
    await review();
    const own = `${await Deno.readTextFile(result("review.csv"))}\n`;
    await Deno.writeTextFile(result("review.csv"), own);
    for (let again = 0; again < 2; again++) {
      const { file, edited } = await review();
      assert.deepEqual([file, edited], ["review_2.csv", ["review.csv"]]);
    }
    await Deno.writeTextFile(result("review_2.csv"), "mine");
    const { file, edited } = await review();
    assert.deepEqual([file, edited], ["review_3.csv", ["review.csv", "review_2.csv"]]);
    assert.equal(await Deno.readTextFile(result("review.csv")), own);
    // without a record nobody knows what was written: every other list counts as a person's
    await Deno.writeTextFile(result("review.json"), "{");
    assert.equal((await review()).file, "review_3.csv", "which is just what would be written");
    await Deno.writeTextFile(result("review_3.csv"), own);
    await Deno.writeTextFile(result("review.json"), "{");
    assert.equal((await review()).file, "review_4.csv");
  }),
);
