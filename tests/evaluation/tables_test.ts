import fc from "fast-check";
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import pl from "nodejs-polars";
import { exists } from "../../lib/core/files.ts";
import { readLabels } from "../../lib/data/labels.ts";
import { readSidecar, writeExports } from "../../lib/evaluation/export.ts";
import { describeEvaluation } from "../../lib/evaluation/results.ts";
import {
  count,
  createReviewQueue,
  createTally,
  type EvaluatedImage,
  reviewNeed,
} from "../../lib/evaluation/tally.ts";
import { type Flag, FLAGS } from "../../lib/model/reference.ts";
import { DEFAULT_DECISION } from "../../lib/run/decision.ts";
import {
  DETAILS_COLUMNS,
  type DetailsRow,
  evaluationFiles,
  reviewCsv,
} from "../../lib/run/evaluation_files.ts";
import { inFolder, picture, put } from "../data/test_images.ts";
import {
  CLASSES,
  detailsOf,
  evaluate,
  putImages,
  putPictures,
  refuses,
  saveSmallModel,
  withNewImages,
} from "./with_new_images.ts";

Deno.test("evaluationFiles() puts all others beside the main file, whatever its ending", () => {
  const endings = ["_details", "_groups", "_review", "_errors"].map((name) => `${name}.csv`);
  assert.deepEqual(
    Object.values(evaluationFiles("/a/b.csv")),
    [".csv", ...endings, "_summary.json", "_parts"].map((ending) => `/a/b${ending}`),
  );
  assert.deepEqual(evaluationFiles("/a.csv/b.CSV").details, "/a.csv/b_details.csv");
  assert.deepEqual(evaluationFiles("/a/b").errors, "/a/b_errors.csv");
});

Deno.test("evaluateFolder() writes neither among the images nor over results of another origin", () =>
  inFolder(async (root) => {
    const [folder, modelFolder] = [join(root, "new"), join(root, "model")];
    await put(folder, "deep/a.png", await picture(1).png().toBuffer());
    await put(root, "other/b.png", await picture(2).png().toBuffer());
    await saveSmallModel(modelFolder);
    const places = { root, folder, modelFolder, out: join(root, "out/evaluation.csv") };
    const refused = async (change: Partial<typeof places>, message: RegExp) =>
      await refuses(evaluate({ ...places, ...change }), message);

    const among = /would be written into the folder of the images/;
    await Deno.symlink(join(folder, "deep"), join(root, "way in"));
    await Deno.symlink(root, join(root, "back"));
    await refused({ out: join(folder, "evaluation.csv") }, among);
    await refused({ out: join(folder, "not/there/yet/evaluation.csv") }, among);
    await refused({ out: join(root, "way in/new folder/evaluation.csv") }, among);
    await refused({ folder: join(root, "back/new"), out: join(folder, "x.csv") }, among);
    assert.equal((await Array.fromAsync(Deno.readDir(folder))).length, 1, "nothing is left there");

    await put(root, "out/evaluation.csv", "someone's own");
    await refused({}, /not overwritten: it is there already, and nothing tells where/);
    assert.equal(await Deno.readTextFile(places.out), "someone's own");
    await evaluate(places, { force: true });
    await evaluate(places); // the same folder and model
    await evaluate({ ...places, folder: join(root, "back/new") }); // the same by another way
    const before = await Deno.readTextFile(places.out);
    await refused({ folder: join(root, "other") }, /results of another folder, .*new/);
    await put(root, "out/evaluation_summary.json", "{");
    await refused({}, /nothing tells where/);
    await evaluate(places, { force: true });

    const summary = join(root, "out/evaluation_summary.json");
    const text = await Deno.readTextFile(summary);
    await Deno.writeTextFile(summary, text.replace(/("weights_sha256": ")\w{4}/, "$1beef"));
    await refused({}, /results of another model/);
    assert.equal(await Deno.readTextFile(places.out), before);
  }));

Deno.test(
  "evaluateFolder() leaves a list for review alone that a person has edited in any way",
  withNewImages((folder) => putImages(folder, 12), async (places) => {
    const list = async (number = "") => {
      const path = places.out.replace(".csv", `_review${number}.csv`);
      return await exists(path) ? await Deno.readTextFile(path) : null;
    };
    const { files } = await evaluate(places);
    const first = await list();
    assert.equal((await evaluate(places)).files.review, files.review, "unedited, it is ours");
    const edited = first!.split("\n").toSpliced(1, 1).join("\n"); // a row that needs no look
    await Deno.writeTextFile(files.review, edited);
    const again = await evaluate(places);
    assert.equal(again.files.review, places.out.replace(".csv", "_review_2.csv"));
    assert.equal((await evaluate(places)).files.review, again.files.review);
    assert.deepEqual([await list(), await list("_2"), await list("_3")], [edited, first, null]);

    await Deno.remove(files.summary); // nothing tells any more whose they are
    await Deno.writeTextFile(again.files.review, edited);
    const unknown = await evaluate(places, { force: true });
    assert.equal(unknown.files.review, places.out.replace(".csv", "_review_3.csv"));
  }),
);

/** Classified images with hostile names; certain ones too, whose probabilities are whole numbers. */
const IMAGES: DetailsRow[] = [
  ...["a/=1+1.png", 'b "quoted", line\nbreak\r.png', "'apostrophe.png"],
  ...["é😀<script>.png", "last.png"],
].map((name, i) => ({
  name,
  predicted: i < 2 ? "non" : "=sclerotic",
  probability: i / 4,
  confidence: Math.max(i / 4, 1 - i / 4),
  decision: i % 2 ? "accept" : "review",
  group: i % 2 ? "" : "07",
  flags: "",
  probability_uncorrected: i / 4,
  spread: null,
}));

const SLIDE_CLASSES = ["non", "=sclerotic"];

async function* stream<T>(items: readonly T[]): AsyncGenerator<T, void, void> {
  for (const item of items) yield await Promise.resolve(item);
}

Deno.test("writeExports() writes the details as Parquet, every name as it is on disk, or no row", () =>
  inFolder(async (folder) => {
    const out = join(folder, "evaluation.csv");
    const parquet = join(folder, "evaluation_details.parquet");
    const options = { classes: SLIDE_CLASSES, places: null };
    for (const images of [IMAGES, []]) {
      const outcomes = () => stream([...images, { name: "bad.png", error: "damaged" }]);
      const wanted = { ...options, formats: ["csv", "parquet"] as const };
      const { files } = await writeExports(out, outcomes, wanted);
      assert.deepEqual(files, [parquet]);
      const table = pl.readParquet(await readFile(parquet));
      assert.deepEqual(table.columns, [...DETAILS_COLUMNS]);
      assert.deepEqual(table.toRecords(), images);
      const left = await Array.fromAsync(Deno.readDir(folder));
      assert.deepEqual(left.map(({ name }) => name), ["evaluation_details.parquet"]);
    }
    const csv = { ...options, formats: ["csv"] as const };
    assert.deepEqual((await writeExports(out, () => stream(IMAGES), csv)).files, []);
  }));

Deno.test("writeExports() writes the crops as QuPath's annotations, a file a slide", () =>
  inFolder(async (folder) => {
    const rows = [
      "name;x;y;width;height;slide", // as Excel writes it in many countries
      ...["last.png;100;200;30;40;S 1/2", "''apostrophe.png;-5;0.5;10;20;S 1/2"],
      ...["a/=1+1.png;1;2;3;4;", "not evaluated.png;1;2;3;4;S3"],
    ];
    await put(folder, "sidecar.csv", rows.join("\n"));
    const places = await readSidecar(join(folder, "sidecar.csv"));
    const options = { formats: [], places, classes: SLIDE_CLASSES };
    const out = join(folder, "evaluation.csv");
    const result = await writeExports(out, () => stream(IMAGES), options);
    assert.equal(result.withoutPlace, 2);
    const files = ["evaluation.geojson", "evaluation_S%201%2F2.geojson"];
    assert.deepEqual(result.files.sort(), files.map((name) => join(folder, name)));
    const [none, slide] = await Promise.all(
      files.map(async (name) => JSON.parse(await Deno.readTextFile(join(folder, name)))),
    );
    assert.equal(none.features.length, 1);
    assert.equal(none.features[0].properties.name, "a/=1+1.png");
    assert.equal(slide.type, "FeatureCollection");
    assert.equal(slide.features.length, 2);
    const coordinates = [[[100, 200], [130, 200], [130, 240], [100, 240], [100, 200]]];
    assert.deepEqual(slide.features[1], {
      type: "Feature",
      geometry: { type: "Polygon", coordinates },
      properties: {
        objectType: "annotation",
        name: "last.png",
        classification: { name: "=sclerotic", color: [213, 94, 0] },
        measurements: { probability: 1, confidence: 1 },
        metadata: { decision: "review" },
      },
    });
  }));

Deno.test("readSidecar() refuses what is no rectangle, and a name that is there twice", () =>
  inFolder(async (folder) => {
    const path = join(folder, "sidecar.csv");
    const refused = async (text: string, message: RegExp) => {
      await Deno.writeTextFile(path, text);
      await refuses(readSidecar(path), message);
    };
    const header = "name,x,y,width,height\n";
    await refused("name,x,y,width\na,1,1,1\n", /lacks the column\(s\) height/);
    for (const cells of ["1,2,0,4", "1,2,3,-4", "1,,3,4", "a,2,3,4", "1,2,Infinity,4"]) {
      await refused(`${header}ok,1,2,3,4\nb,${cells}\n`, /row 2 \("b"\) gives no rectangle/);
    }
    await refused(`${header}a,1,2,3,4\na,1,2,3,4\n`, /row 2 \("a"\) is there twice/);
  }));

const evaluatedImage: fc.Arbitrary<EvaluatedImage> = fc.record({
  name: fc.string(),
  probability: fc.double({ min: 0, max: 1, noNaN: true }),
  decision: fc.constantFrom("accept" as const, "review" as const),
}).map((image) => {
  const { probability } = image;
  const wasPositive = probability >= 0.3;
  const rest = {
    ...{ confidence: 0.9, group: "", flags: "", spread: null },
    probability_uncorrected: probability,
  };
  return { ...image, ...rest, predicted: CLASSES[wasPositive ? 1 : 0], wasPositive };
});

const failure = fc.record({ name: fc.string(), error: fc.string() });

Deno.test("count() says of any number of images what a table of all of them would", () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(evaluatedImage, failure), { maxLength: 200 }), (outcomes) => {
      const tally = createTally(CLASSES);
      for (const outcome of outcomes) count(tally, outcome, 0.3);
      const images = outcomes.filter((outcome) => "predicted" in outcome);
      const review = images.filter(({ decision }) => decision === "review");
      const errors = outcomes.filter((outcome) => "error" in outcome);
      const { classified, unreadable } = tally;
      assert.deepEqual([classified, unreadable], [images.length, errors.length]);
      assert.equal(tally.review, review.length);
      for (const { name, images: n, review: r } of tally.classes) {
        assert.equal(n, images.filter(({ predicted }) => predicted === name).length);
        assert.equal(r, review.filter(({ predicted }) => predicted === name).length);
      }
      const { counts, called } = tally.probabilities;
      const bins = images.map(({ probability: p }) => Math.min(19, Math.floor(20 * p)));
      for (const [i, n] of counts.entries()) {
        assert.equal(n, bins.filter((bin) => bin === i).length);
      }
      assert.equal(called, images.filter(({ probability }) => probability >= 0.3).length);
      assert.deepEqual(tally.first, images.slice(0, 10));
      assert.deepEqual(tally.errors, errors.slice(0, 100));
    }),
    { seed: 2, numRuns: 100 },
  );
});

const COUNTS = { truePositives: 40, falseNegatives: 10, trueNegatives: 45, falsePositives: 5 };

Deno.test(
  "evaluateFolder() corrects every answer for a share that it is given, and keeps both probabilities",
  withNewImages(
    (folder) => putPictures(folder, 40),
    async (places) => {
      const plain = await evaluate(places, { priorShift: "off" });
      assert.equal(plain.priorShift?.change, null);
      const before = await detailsOf(plain);
      const corrected = await evaluate(places, { priorShift: 0.75 });
      assert.deepEqual(corrected.priorShift?.change, { reference: 0.5, share: 0.75 });
      const after = await detailsOf(corrected);
      for (const [i, row] of after.entries()) {
        const { probability: p } = before[i]!;
        assert.ok(Math.abs(row.probability - 3 * p / (1 + 2 * p)) < 1e-6); // float32 sums to 1 to 1e-7
        assert.equal(row.probability_uncorrected, p);
        assert.equal(row.predicted, CLASSES[row.probability >= 0.5 ? 1 : 0]);
      }
      const positives = (rows: { predicted: string }[]) =>
        rows.filter(({ predicted }) => predicted === CLASSES[1]).length;
      assert.ok(positives(after) > positives(before));
      const { n, positive, uncorrected } = corrected.shares.all;
      assert.deepEqual([n, positive, uncorrected], [40, positives(after), positives(before)]);
      const summary = JSON.parse(await Deno.readTextFile(corrected.files.summary));
      assert.equal(summary.class_share.reason, "given");
      assert.equal(summary.positive_share.positive, positives(after));
    },
    { decision: { ...DEFAULT_DECISION, validation: { ...COUNTS, scores: null } } },
  ),
);

const flagsOf = (n: number): Flag[] => FLAGS.slice(0, n);

Deno.test("reviewNeed() is what it says, by hand, and never falls with a flag or a nearer probability more", () => {
  const need = (probability: number, flags = 0, threshold = 0.5) =>
    reviewNeed({ probability, flags: flagsOf(flags) }, threshold);
  assert.deepEqual([0.5, 1, 0, 0.75].map((p) => need(p)), [1, 0, 0, 0.5]);
  assert.deepEqual([need(1, 1), need(0, 2)], [0.5, 0.75]);
  assert.deepEqual([0.2, 0.6, 0.1].map((p) => need(p, 0, 0.2)), [1, 0.5, 0.5]);
  assert.equal(need(1, 0, 1), 1); // no room above: as uncertain as can be
  // log odds of 2 between members that differ by 1: 2 / √(1 + π / 8), a probability of 0.844
  const [probability2, spread] = [1 / (1 + Math.exp(-2)), 1];
  const moderated = reviewNeed({ probability: probability2, spread, flags: [] }, 0.5);
  assert.ok(
    Math.abs(moderated - 2 * (1 - 1 / (1 + Math.exp(-2 / Math.sqrt(1 + Math.PI / 8))))) < 1e-12,
  );
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
  const numbers = Array.from({ length: 500 }, (_, i) => i);
  const images = numbers.map((i) => image(`${i % 250}`.padStart(3, "0"), i / 499));
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
});

Deno.test("reviewCsv() is what readLabels() takes, once a person has filled it in", () =>
  inFolder(async (folder) => {
    const names = ["a/=SUM(1).png", 'b, "x".png', "c.png", "ü\\n.png"];
    const queue = createReviewQueue(0.5);
    [0.5, 0.7, 0.9, 0.9].forEach((p, i) => queue.add(image(names[i]!, p, i === 3 ? 2 : 0)));
    const path = join(folder, "review.csv");
    const text = reviewCsv(queue.rows());
    await Deno.writeTextFile(path, text);
    assert.equal(text.split("\n")[0], "path,label,predicted,probability,suggested,flags,need");
    const labels = await readLabels(path, names, ["negative", "positive"]);
    assert.deepEqual(labels.map(({ path }) => path), [names[0], names[3], names[1], names[2]]);
    assert.ok(labels.every(({ label }) => label === null)); // left out as long as nobody said
    // of the flagged one nothing is suggested
    const suggested = text.trim().split("\n").slice(1).map((line) => line.split(",").at(-3));
    assert.deepEqual(suggested, ["positive", "", "positive", "positive"]);
    await Deno.writeTextFile(path, text.replace("c.png,,", "c.png,negative,"));
    const corrected = await readLabels(path, names, ["negative", "positive"]);
    assert.deepEqual(corrected.find(({ path }) => path === "c.png")?.label, "negative");
  }));

Deno.test(
  "describeEvaluation() says what was done, what is missing, and how to go on",
  withNewImages((folder) => putImages(folder, 40), async (places) => {
    const result = await evaluate(places);
    const [counts, file, share, ...more] = describeEvaluation(result);
    assert.deepEqual(counts!.match(/\d+/g), ["37", `${result.review}`, "3"]);
    const { positive } = result.shares.all;
    assert.ok(share!.startsWith(`“=positive”: ${positive} of 37`), share!);
    assert.deepEqual([file, more], [places.out, []]);
    const stopped = { ...result, priorShift: null, state: "stopped" as const, images: 1400 };
    const before = { resumed: 20, restarted: "folder" as const };
    const [restarted, resumed, same, left] = describeEvaluation({ ...stopped, ...before });
    assert.equal(same, counts);
    assert.match(restarted!, /folder has changed/);
    assert.match(resumed!, /^20 /);
    assert.match(left!, /40 of 1,400/);
    const part = await evaluate(places, { shard: { index: 2, count: 2 } });
    assert.match(describeEvaluation(part).join("\n"), /--merge/);
    const skipped = { hidden: 0, links: 2, otherType: 1 };
    const [, passedOver] = describeEvaluation({ ...result, skipped });
    assert.match(passedOver!, /2 links, 1 file .*--follow-links/);
    const exports = { files: ["a.geojson"], withoutPlace: 3 };
    const lines = describeEvaluation({ ...result, exports });
    assert.deepEqual(lines.slice(1, 4), [places.out, "a.geojson", share]);
    assert.match(lines[4]!, /sidecar.* 3 /);
  }),
);
