import assert from "node:assert/strict";
import { join } from "node:path";
import { toCsv } from "../../lib/core/csv.ts";
import { createRandom } from "../../lib/core/random.ts";
import { folderLabels } from "../../lib/data/labels.ts";
import {
  describeExternal,
  externalScores,
  NO_TEST_SCORES,
  readTestSample,
} from "../../lib/evaluation/external.ts";
import { createSample } from "../../lib/evaluation/tally.ts";
import { newcombe } from "../../lib/metrics/intervals.ts";
import { computeScores, type ScoredSample } from "../../lib/metrics/scores.ts";
import { DEFAULT_DECISION } from "../../lib/run/decision.ts";
import { externalScoresTable } from "../../lib/show/tables.ts";
import { askPython } from "../ask_python.ts";
import { inFolder, put } from "../data/test_images.ts";
import { CLASSES as NAMES, evaluate, putImages, withNewImages } from "./with_new_images.ts";

/** Predictions that are as good as `signal`; images of a group share a part of their noise. */
function sample(
  n: number,
  signal: number,
  seed: string,
  { groups = 0, positives = 0.3 } = {},
): ScoredSample {
  const random = createRandom(seed);
  const shared = Array.from({ length: groups }, () => random.normal());
  const labels = Array.from({ length: n }, () => random.next() < positives ? 1 : 0);
  const probabilities = labels.map((label, i) => {
    const noise = random.normal() + (groups ? shared[i % groups]! : 0);
    return 1 / (1 + Math.exp(-(signal * (label - 0.5) + noise)));
  });
  return {
    labels,
    probabilities,
    predicted: probabilities.map((p) => p >= 0.5 ? 1 : 0),
    ...(groups ? { groups: labels.map((_, i) => `g${i % groups}`) } : {}),
    seed,
  };
}

const dropOf = (result: Awaited<ReturnType<typeof externalScores>>, name: string) =>
  result.drops.find((drop) => drop.name === name)!;

Deno.test("newcombe() gives the intervals of his own table", () => {
  // R. G. Newcombe, Statistics in Medicine 17 (1998), table II, method 10
  const table = [
    [[56, 70], [48, 80], 0.0524, 0.3339],
    [[9, 10], [3, 10], 0.1705, 0.8090],
    [[5, 56], [0, 29], -0.0381, 0.1926],
    [[10, 10], [0, 10], 0.6075, 1],
  ] as const;
  for (const [a, b, low, high] of table) {
    const share = ([of, n]: readonly [number, number]) => ({ share: of / n, of: n });
    const found = newcombe(share(a), share(b));
    assert.ok(Math.abs(found.low - low) < 6e-5, `${a} − ${b}: ${found.low}`);
    assert.ok(Math.abs(found.high - high) < 6e-5, `${a} − ${b}: ${found.high}`);
  }
});

Deno.test("externalScores() has scipy's and numpy's drops and intervals, by image and by group", async () => {
  const pairs = [
    [sample(150, 3, "a"), sample(220, 2, "b", { positives: 0.1 })],
    [sample(160, 3, "c", { groups: 12 }), sample(240, 3, "d", { groups: 20 })],
  ] as const;
  const cases = pairs.map(([internal, external], i) => ({ internal, external, grouped: i === 1 }));
  const oracle = join(import.meta.dirname!, "external_scores_oracle.py");
  const expected = await askPython(oracle, cases) as Record<string, [number, number, number]>[];
  for (const [i, { internal, external }] of cases.entries()) {
    const result = await externalScores(internal, external);
    const scoresOf = (side: "internal" | "external") => result.drops.map((drop) => drop[side]);
    assert.deepEqual(scoresOf("internal"), Object.values(computeScores(internal)));
    assert.deepEqual(scoresOf("external"), Object.values(computeScores(external)));
    for (const [name, [drop, low, high]] of Object.entries(expected[i]!)) {
      const found = dropOf(result, name);
      assert.ok(Math.abs(found.drop! - drop) < 1e-9, `${name}: ${found.drop} instead of ${drop}`);
      // ends of two bootstraps differ by chance; of accuracy Newcombe's interval may be the wider
      const tolerance = 0.09 * (high - low);
      if (name === "accuracy") {
        assert.ok(found.low! <= low + tolerance && found.high! >= high - tolerance);
        continue;
      }
      assert.ok(Math.abs(found.low! - low) < tolerance, `${name}: ${found.low} for ${low}`);
      assert.ok(Math.abs(found.high! - high) < tolerance, `${name}: ${found.high} for ${high}`);
    }
  }
});

Deno.test("externalScores() by hand: nine of ten right becomes six of ten", async () => {
  const of = (right: number): ScoredSample => {
    const labels = Array.from({ length: 10 }, (_, i) => i % 2);
    const predicted = labels.map((label, i) => i < right ? label : 1 - label);
    return { labels, predicted, probabilities: predicted.map((p) => p), seed: 1 };
  };
  const result = await externalScores(of(9), of(6));
  const { drop, low, high } = dropOf(result, "accuracy");
  assert.ok(Math.abs(drop! - 0.3) < 1e-12);
  const least = newcombe({ share: 0.9, of: 10 }, { share: 0.6, of: 10 });
  assert.ok(low! <= least.low && high! >= least.high);
  // an error that grows is a drop too
  assert.ok(Math.abs(dropOf(result, "brier").drop! - 0.3) < 1e-12);
  assert.deepEqual(result.external, { images: 10, positives: 5, groups: 10 });
  // without an error there is nothing to resample, and still the accuracy has an interval
  const perfect = await externalScores(of(10), of(10));
  const accuracy = dropOf(perfect, "accuracy");
  assert.ok(accuracy.drop === 0 && accuracy.low! < -0.2 && accuracy.high! > 0.2);
  const auc = dropOf(perfect, "roc_auc");
  assert.deepEqual([auc.drop, auc.low, auc.high], [0, null, null]);
  assert.match(auc.reason!, /all give the same value/);
  // where only one of the two has no error, its share of the uncertainty is said to be missing
  const worse = dropOf(await externalScores(of(10), of(6)), "roc_auc");
  assert.ok(worse.low! > 0 && worse.high! < 0.9 && worse.low! < worse.drop!);
  assert.match(worse.reason!, /test images give the same value.*others alone/);
});

Deno.test("externalScores() says why a score cannot be compared, describeExternal() whether a ranking is worse", async () => {
  const internal = sample(60, 2, "e");
  const external = sample(40, 4, "f", { positives: 0 });
  const result = await externalScores(internal, external);
  const auc = dropOf(result, "roc_auc");
  assert.deepEqual([auc.drop, auc.low, auc.external.value], [null, null, null]);
  assert.match(auc.reason!, /^new images: /);
  assert.ok(dropOf(result, "specificity").low !== null);
  const some = { labelled: 40, classified: 45 };
  assert.match(describeExternal(result, some), /5 have no label.*cannot be told/s);
  const html = externalScoresTable(result, { run: "<b>" });
  assert.match(JSON.stringify(html), /–.*&lt;b&gt;|&lt;b&gt;.*–/s);
  const good = sample(200, 3, "g");
  const bad = sample(300, 1, "h");
  const counts = { labelled: 300, classified: 300 };
  assert.match(describeExternal(await externalScores(good, bad), counts), /is worse/);
  const more = { labelled: 40_000, classified: 40_000 };
  const better = await externalScores(bad, good);
  assert.match(describeExternal(better, more), /at random from 40000.*is better/s);
  const same = await externalScores(good, { ...good, seed: "i" });
  assert.match(describeExternal(same, counts), /not shown to be another/);
});

const CLASSES = ["negative", "positive"];

Deno.test("folderLabels() takes the innermost folder that is a class, and labels.csv over it", () =>
  inFolder(async (folder) => {
    const names = [
      ...["positive/a.png", "slide 1/negative/b.png", "positive/negative/c.png"],
      ...["positive.png", "other/d.png"],
    ];
    const labels = async () => {
      const of = await folderLabels(folder, names, CLASSES);
      return names.map((name) => of?.(name)?.label ?? null);
    };
    assert.deepEqual(await labels(), ["positive", "negative", "negative", null, null]);
    const rows = [
      "other/d.png,positive,P1",
      "positive/a.png,,",
      "slide 1/negative/b.png,positive,",
    ];
    await put(folder, "labels.csv", ["path,label,group", ...rows].join("\n"));
    assert.deepEqual(await labels(), [null, "positive", "negative", null, "positive"]);
    const of = await folderLabels(folder, names, CLASSES);
    assert.deepEqual(of?.("other/d.png"), { label: "positive", group: "P1" });
    await put(folder, "labels.csv", "path,label\nnowhere.png,positive\n");
    await assert.rejects(folderLabels(folder, names, CLASSES), /no such image/);
    await Deno.remove(join(folder, "labels.csv"));
    assert.equal(await folderLabels(folder, ["a.png", "b/c.png"], CLASSES), null);
    assert.equal(await folderLabels(folder, [], CLASSES), null);
  }));

Deno.test("createSample() draws from more rows evenly, the same ones each time, and keeps a few all", () => {
  const counts = new Array<number>(10).fill(0);
  for (let seed = 0; seed < 400; seed++) {
    const draw = (of = 100) => {
      const sample = createSample<number>({ seed, most: 20 });
      for (let i = 0; i < of; i++) sample.add(i);
      assert.equal(sample.total(), of);
      return sample.rows();
    };
    const drawn = draw();
    assert.equal(drawn.length, 20);
    assert.deepEqual(drawn, drawn.toSorted((a, b) => a - b)); // in the order in which they came
    if (seed < 3) assert.deepEqual([draw(), draw(3)], [drawn, [0, 1, 2]]);
    for (const i of drawn) counts[Math.floor(i / 10)]! += 1;
  }
  // 800 of each tenth are expected, with a standard deviation of 25
  for (const count of counts) assert.ok(Math.abs(count - 800) < 110, counts.join());
});

Deno.test(
  "evaluateFolder() scores a labelled folder by the best group that is known",
  withNewImages((folder) => putImages(folder, 12), async (places) => {
    const [negative, positive] = NAMES;
    const labelled = toCsv(["path", "label", "group"], [
      { path: "slide_0/0000.jpg", label: positive, group: "patient" },
      { path: "slide_1/0001.png", label: negative, group: "" },
      { path: "slide_0/0005.png", label: negative, group: "" },
      { path: "slide_0/0010.jpg", label: negative, group: "patient" },
    ]);
    await put(places.folder, "labels.csv", labelled);
    const labels = [1, 0, 1, 0];
    const internal = { labels, predicted: labels, probabilities: labels, seed: 1 };
    const { external } = await evaluate(places, { internal: () => Promise.resolve(internal) });
    // an image whose group nobody knows stands for itself
    assert.deepEqual(external!.scores!.external, { images: 4, positives: 1, groups: 3 });
    const none = await evaluate(places, { internal: () => Promise.resolve(null) });
    assert.deepEqual(none.external, { scores: null, text: NO_TEST_SCORES });
  }),
);

Deno.test("readTestSample() reads what notebook 06 left of this model, and nothing of another one", () =>
  inFolder(async (folder) => {
    const [metrics, predictionsTest, split] = ["metrics.json", "predictions_test.csv", "split.csv"]
      .map((name) => join(folder, name)) as [string, string, string];
    const paths = { metrics, predictionsTest, split };
    const card = {
      architecture: { backbone: "resnet50" as const, imageSize: 224, classes: CLASSES },
      weights: { sha256: "a".repeat(64), parameters: 1 },
    };
    const { calibration, threshold } = DEFAULT_DECISION;
    const readers = ["b".repeat(64), card.weights.sha256].map((weights_sha256) => {
      return { weights_sha256, calibration, threshold, reads: 1 };
    });
    const metricsOf = (readers: unknown[]) =>
      JSON.stringify({ test_reads: { count: 2, test_sha256: "c", readers } });
    assert.equal(await readTestSample(paths, card, 7), null);
    await put(folder, "metrics.json", metricsOf(readers));
    const rows = ["x.png,positive,positive,0.75", "'=y.png,negative,positive,1e-9"];
    const columns = "path,label,predicted,probability";
    await put(folder, "predictions_test.csv", [columns, ...rows].join("\n"));
    const of = (row: string, digit: string) => `${row},${digit.repeat(64)},test\n`;
    const splitRows = of("x.png,positive,P1", "0") + of("'=y.png,negative,P2", "1");
    await put(folder, "split.csv", `path,label,group,sha256,subset\n${splitRows}`);
    assert.deepEqual(await readTestSample(paths, card, 7), {
      labels: [1, 0],
      predicted: [1, 1],
      probabilities: [0.75, 1e-9],
      groups: ["P1", "P2"],
      seed: 7,
    });
    await put(folder, "metrics.json", metricsOf(readers.toReversed()));
    assert.equal(await readTestSample(paths, card, 7), null);
  }));
