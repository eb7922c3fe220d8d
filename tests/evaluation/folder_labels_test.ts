import assert from "node:assert/strict";
import { join } from "node:path";
import { toCsv } from "../../lib/core/csv.ts";
import { folderLabels } from "../../lib/data/labels.ts";
import { NO_TEST_SCORES, readTestSample } from "../../lib/evaluation/external.ts";
import { createSample } from "../../lib/evaluation/tally.ts";
import { DEFAULT_DECISION } from "../../lib/run/model_card.ts";
import { inFolder, put } from "../data/test_images.ts";
import { CLASSES as NAMES, evaluate, putImages, withNewImages } from "./with_new_images.ts";

const CLASSES = ["negative", "positive"];

Deno.test("folderLabels() takes the innermost folder that is a class, and labels.csv over it", () =>
  inFolder(async (folder) => {
    const names = [
      "positive/a.png",
      "slide 1/negative/b.png",
      "positive/negative/c.png",
      "positive.png",
      "other/d.png",
    ];
    const labels = async () => {
      const of = await folderLabels(folder, names, CLASSES);
      return names.map((name) => of?.(name)?.label ?? null);
    };
    assert.deepEqual(await labels(), ["positive", "negative", "negative", null, null]);
    await put(
      folder,
      "labels.csv",
      "path,label,group\nother/d.png,positive,P1\npositive/a.png,,\nslide 1/negative/b.png,positive,\n",
    );
    assert.deepEqual(await labels(), [null, "positive", "negative", null, "positive"]);
    const of = await folderLabels(folder, names, CLASSES);
    assert.deepEqual(of?.("other/d.png"), { label: "positive", group: "P1" });
    await put(folder, "labels.csv", "path,label\nnowhere.png,positive\n");
    await assert.rejects(folderLabels(folder, names, CLASSES), /no such image/);
  }));

Deno.test("folderLabels() of a folder that tells nothing is nothing", () =>
  inFolder(async (folder) => {
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
    await put(
      places.folder,
      "labels.csv",
      toCsv(["path", "label", "group"], [
        { path: "slide_0/0000.jpg", label: positive, group: "patient" },
        { path: "slide_1/0001.png", label: negative, group: "" },
        { path: "slide_0/0005.png", label: negative, group: "" },
        { path: "slide_0/0010.jpg", label: negative, group: "patient" },
      ]),
    );
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
    const paths = {
      metrics: join(folder, "metrics.json"),
      predictionsTest: join(folder, "predictions_test.csv"),
      split: join(folder, "split.csv"),
    };
    const card = {
      architecture: { backbone: "resnet50" as const, imageSize: 224, classes: CLASSES },
      weights: { sha256: "a".repeat(64), parameters: 1 },
    };
    const readers = ["b".repeat(64), card.weights.sha256].map((weights_sha256) => {
      return {
        weights_sha256,
        calibration: DEFAULT_DECISION.calibration,
        threshold: 0.5,
        reads: 1,
      };
    });
    const metrics = (readers: unknown[]) =>
      JSON.stringify({ test_reads: { count: 2, test_sha256: "c", readers } });
    assert.equal(await readTestSample(paths, card, 7), null);
    await put(folder, "metrics.json", metrics(readers));
    await put(
      folder,
      "predictions_test.csv",
      "path,label,predicted,probability\nx.png,positive,positive,0.75\n'=y.png,negative,positive,1e-9\n",
    );
    await put(
      folder,
      "split.csv",
      `path,label,group,sha256,subset\nx.png,positive,P1,${"0".repeat(64)},test\n` +
        `'=y.png,negative,P2,${"1".repeat(64)},test\n`,
    );
    assert.deepEqual(await readTestSample(paths, card, 7), {
      labels: [1, 0],
      predicted: [1, 1],
      probabilities: [0.75, 1e-9],
      groups: ["P1", "P2"],
      seed: 7,
    });
    await put(folder, "metrics.json", metrics(readers.toReversed()));
    assert.equal(await readTestSample(paths, card, 7), null);
  }));
