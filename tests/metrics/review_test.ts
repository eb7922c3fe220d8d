import fc from "fast-check";
import assert from "node:assert/strict";
import { join } from "node:path";
import { parseConfig } from "../../lib/core/config.ts";
import { readCsv } from "../../lib/core/csv.ts";
import { createRandom } from "../../lib/core/random.ts";
import { scanDataset } from "../../lib/data/scan.ts";
import {
  chooseReview,
  compareLabels,
  rankByDoubt,
  type ReviewRun,
} from "../../lib/metrics/review.ts";
import { chooseExamples } from "../../lib/metrics/test.ts";
import { type SplitRow, writeSplit } from "../../lib/run/split_file.ts";
import { inProjectCopy, ofConfig } from "../copy_project.ts";
import { picture, put } from "../data/test_images.ts";

const CLASSES = ["negative", "positive"];

function predictions(rows: readonly (readonly [label: 0 | 1, probability: number])[], t: number) {
  return rows.map(([label, probability], i) => ({
    path: `${String(i).padStart(3, "0")}.png`,
    label: CLASSES[label]!,
    predicted: CLASSES[probability >= t ? 1 : 0]!,
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
  const groups = chooseExamples({ rows, threshold: 0.2, classes: CLASSES }, 2);
  assert.deepEqual(
    groups.map(({ kind, examples, of }) => [kind, examples.map((row) => rows.indexOf(row)), of]),
    [
      ["mistakes", [0, 2], 3],
      ["uncertain", [3, 4], 11],
      ["typical", [9, 11], 5], // certainties 0.05, 0.5, 0.75, 0.85, 0.95
      ["typical", [6, 12], 5], // 0.0625, 0.5, 0.75, 0.8125, 0.9875
    ],
  );
  assert.deepEqual(groups.map(({ label }) => label), [null, null, "negative", "positive"]);
});

Deno.test("chooseExamples() of a model without mistakes, or of nothing, has empty groups", () => {
  const rows = predictions([[0, 0.1], [1, 0.9]], 0.5);
  const right = chooseExamples({ rows, threshold: null, classes: CLASSES }, 1);
  assert.deepEqual(right.map(({ examples }) => examples.length), [0, 1, 0, 1]);
  const none = chooseExamples({ rows: [], threshold: 0.5, classes: CLASSES }, 3);
  assert.deepEqual(none.map(({ examples, of }) => examples.length + of), [0, 0, 0, 0]);
});

Deno.test("chooseExamples() takes the same images in any order, each once, at any threshold", () => {
  const label = fc.constantFrom(0 as const, 1 as const);
  const row = fc.tuple(label, fc.constantFrom(0, 0.2, 0.5, 0.5000001, 0.9, 1));
  fc.assert(fc.property(
    fc.array(row, { maxLength: 30 }),
    fc.constantFrom(0, 0.3, 0.5, 1),
    (drawn, threshold) => {
      const rows = predictions(drawn, threshold);
      const chosen = chooseExamples({ rows, threshold, classes: CLASSES }, 3);
      const paths = chosen.flatMap(({ examples }) => examples.map(({ path }) => path));
      assert.equal(new Set(paths).size, paths.length);
      const [mistakes, uncertain] = chosen;
      assert.ok(mistakes!.examples.every((e) => e.label !== e.predicted));
      assert.equal(mistakes!.examples.length, Math.min(3, mistakes!.of));
      assert.equal(uncertain!.examples.length, Math.min(3, uncertain!.of));
      const again = chooseExamples({ rows: rows.toReversed(), threshold, classes: CLASSES }, 3);
      assert.deepEqual(again, chosen);
    },
  ));
});

const row = (path: string, label: string, probability: number) => {
  return { path, label, predicted: CLASSES[probability >= 0.4 ? 1 : 0]!, probability };
};

const review = (rows: ReturnType<typeof row>[]) =>
  chooseReview({ rows, threshold: 0.4, classes: CLASSES });

const suggestions = (rows: readonly { path: string; suggested: string }[]) =>
  rows.map(({ path, suggested }) => [path, suggested]);

Deno.test("chooseReview() lists candidates, then other mistakes, then the least certain", () => {
  const rows = [
    row("a", "negative", 0.02),
    row("b", "positive", 0.19), // a candidate: 0.81 is above 0.56, the mean of the negative ones
    row("c", "negative", 0.99), // a candidate, and the surest
    row("d", "positive", 0.9),
    row("e", "negative", 0.41), // a mistake: 0.41 is below 0.55, the mean of the positive ones
    row("f", "negative", 0.39),
  ];
  const { doubtful, uncertain, candidates, mistakesOf, of } = review(rows);
  assert.deepEqual(suggestions(doubtful), [["c", "positive"], ["b", "negative"], ["e", ""]]);
  assert.deepEqual(suggestions(uncertain), [["f", ""], ["d", ""], ["a", ""]]);
  assert.deepEqual([candidates, mistakesOf, of], [2, 3, 6]);
});

Deno.test("chooseReview() lists no more than a person can look at", () => {
  const rows = Array.from({ length: 1000 }, (_, i) => row(`${i}`, "negative", i / 1000));
  const { doubtful, uncertain, candidates, mistakesOf } = review(rows);
  // no image is labelled positive, so nothing says from where on one is likely to be
  assert.deepEqual([doubtful.length, uncertain.length, candidates, mistakesOf], [50, 50, 0, 600]);
  assert.equal(doubtful[0]!.path, "999");
  assert.equal(uncertain[0]!.path, "400");
});

Deno.test("rankByDoubt() agrees with cleanlab 2.9.0 on candidates and order", () => {
  const labels = "111010010010000011010011";
  // deno-fmt-ignore
  const hundredths = [87, 95, 67, 7, 86, 33, 3, 85, 29, 96, 91, 23, 1, 34, 3, 1, 93, 24, 5, 64, 90, 9, 99, 97];
  const rows = hundredths.map((p, i) => row(`${i + 10}`, CLASSES[Number(labels[i])]!, p / 100));
  const ranked = rankByDoubt({ rows, classes: CLASSES });
  // compute_confident_joint(…, calibrate=False, return_indices_of_off_diagonals=True)
  assert.deepEqual(
    suggestions(ranked).filter(([, suggested]) => suggested !== ""),
    [["19", "positive"], ["30", "positive"], ["27", "negative"]],
  );
  // get_label_quality_scores(…, method="normalized_margin"), and "self_confidence"
  assert.deepEqual(ranked.slice(3, 8).map(({ path }) => path), ["29", "23", "15", "12", "18"]);
});

Deno.test("rankByDoubt() ranks each image once, in any order, and both sides alike", () => {
  const image = fc.tuple(fc.constantFrom(...CLASSES), fc.integer({ min: 0, max: 16 }));
  fc.assert(fc.property(fc.array(image, { maxLength: 30 }), (drawn) => {
    const rows = drawn.map(([label, p], i) => row(`${i}`, label, p / 16));
    const ranked = rankByDoubt({ rows, classes: CLASSES });
    assert.deepEqual(rankByDoubt({ rows: rows.toReversed(), classes: CLASSES }), ranked);
    assert.equal(new Set(ranked.map(({ path }) => path)).size, rows.length);
    const mirrored = rows.map((row) => ({ ...row, probability: 1 - row.probability }));
    const other = rankByDoubt({ rows: mirrored, classes: CLASSES.toReversed() });
    assert.deepEqual(suggestions(other), suggestions(ranked));
  }));
});

/** Share of labels flipped on purpose that stand in the first tenth of a ranking by doubt. */
function flippedFound(separation: number): number {
  const random = createRandom(`flips/${separation}`);
  let [flipped, found] = [0, 0];
  for (let set = 0; set < 20; set++) {
    const rows = Array.from({ length: 500 }, (_, i) => {
      const [isPositive, isFlipped] = [i % 3 === 0, i % 20 === 7];
      const centre = separation * (isPositive ? 1 : -1) - Math.LN2; // two of three are negative
      const logit = centre + Math.sqrt(2 * separation) * random.normal();
      return row(`${i}`, CLASSES[isPositive === isFlipped ? 0 : 1]!, 1 / (1 + Math.exp(-logit)));
    });
    const first = rankByDoubt({ rows, classes: CLASSES }).slice(0, 50);
    flipped += rows.filter((_, i) => i % 20 === 7).length;
    found += first.filter(({ path }) => Number(path) % 20 === 7).length;
  }
  return found / flipped;
}

Deno.test("rankByDoubt() puts most of 5 % flipped labels into its first tenth", () => {
  // calibrated log odds of an AUC of 0.985 and of 0.921: normal, of variance twice their mean
  const [good, fair] = [flippedFound(4.7), flippedFound(2)];
  assert.ok(good > 0.9 && fair > 0.7, `${good}, ${fair}`);
});

Deno.test("compareLabels() says what corrections make of the same predictions", () => {
  const tested = [
    row("a", "negative", 0.9), // wrong, and corrected to the answer
    row("b", "positive", 0.9), // right, and corrected to another
    row("c", "negative", 0.8), // wrong, and corrected to the answer
    row("d", "negative", 0.1),
    row("e", "positive", 0.1), // wrong, and left out
  ];
  const now = new Map([["a", "positive"], ["b", "negative"], ["c", "positive"], ["d", "negative"]]);
  const comparison = compareLabels(tested, (path) => now.get(path) ?? null, "since then")!;
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
  const label = fc.constantFrom(...CLASSES);
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

interface Place {
  /** Tests the images as they are labelled in split.csv, and lists those to review. */
  review: () => Promise<ReviewRun>;
  /** Absolute path of a file in the run's results. */
  result: (name: string) => string;
  labels: string;
  /** Scans the data and makes its labels the split's, as notebooks 02 and 03 do. */
  scan: () => Promise<Record<string, string>>;
}

/** A run of six images: the model predicts the first of each class wrong, and is sure of it. */
function test(name: string, body: (place: Place) => Promise<void>): void {
  Deno.test(name, () =>
    inProjectCopy(async ({ root, load }) => {
      type Call = typeof import("../../lib/metrics/review.ts").reviewRun;
      const reviewRun = await ofConfig<Call>({ load }, "lib/metrics/review.ts", "reviewRun");
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
        rows = scanned.rows.filter(({ status }) => status === "ok")
          .map(({ path, label, group, sha256 }) => {
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
      await body({ review, result, labels: join(root, "data/labels.csv"), scan });
    }));
}

test("review.csv copied to labels.csv as it is changes nothing; a label corrected in it does", async ({ review, result, labels, scan }) => {
  const before = await scan();
  const { file, corrections, edited, howTo } = await review();
  assert.deepEqual([file, corrections, edited], ["review.csv", null, []]);
  assert.match(howTo, /open results\/default\/review\.csv .* save it as data\/labels\.csv/);
  const text = await Deno.readTextFile(result("review.csv"));
  assert.match(text, /^path,label,predicted,probability,suggested\n/);
  const rows = await readCsv(result("review.csv"), ["path", "label", "suggested"], "");
  assert.deepEqual(rows.slice(0, 2).map((row) => [row.path, row.label, row.suggested]), [
    ['negative/=0,"x";é.png', "negative", "positive"],
    ['positive/=3,"x";é.png', "positive", "negative"],
  ]);
  assert.ok(rows.length > 2 && rows.slice(2).every(({ suggested }) => suggested === ""));
  await Deno.copyFile(result("review.csv"), labels);
  assert.deepEqual(await scan(), before);

  const corrected = text.replace(",negative,positive,0.97", ",positive,positive,0.97");
  assert.notEqual(corrected, text);
  await Deno.writeTextFile(labels, corrected);
  assert.deepEqual(await scan(), { ...before, 'negative/=0,"x";é.png': "positive" });
});

test("reviewRun() tells what corrections changed, before and after they are taken up", async ({ review, result, labels, scan }) => {
  await review();
  const text = await Deno.readTextFile(result("review.csv"));
  const corrected = text.replace(",negative,positive,0.97", ",positive,positive,0.97");
  await Deno.writeTextFile(labels, corrected);
  const pending = await review(); // notebook 06 alone: split.csv has the old label
  assert.equal(pending.pending, 1);
  assert.deepEqual(pending.corrections!.accuracy, { before: 4 / 6, after: 5 / 6 });
  assert.match(pending.howTo, /put the corrected rows into data\/labels\.csv/);

  await scan();
  for (let again = 0; again < 2; again++) { // a repetition says the same
    const taken = await review();
    assert.equal(taken.pending, 0);
    const changed = { before: "negative", after: "positive", predicted: "positive" };
    assert.deepEqual(taken.corrections!.changes, [{ path: 'negative/=0,"x";é.png', ...changed }]);
    assert.deepEqual(taken.corrections!.accuracy, { before: 4 / 6, after: 5 / 6 });
    assert.match(taken.corrections!.sentence, /^1 label corrected since the test of 20/);
    assert.equal(taken.mistakesOf, 1);
  }
  // of another run, which has no list yet, the class folders are what was before
  await Deno.remove(result("review.json"));
  const other = await review();
  assert.match(other.corrections!.sentence, /^1 label corrected against the names of the class/);
  assert.deepEqual(other.corrections!.accuracy, { before: 4 / 6, after: 5 / 6 });
});

test("reviewRun() never overwrites a list that a person has edited", async ({ review, result }) => {
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
});
