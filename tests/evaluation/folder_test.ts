import assert from "node:assert/strict";
import { join } from "node:path";
import { readCsv } from "../../lib/core/csv.ts";
import { ModelError } from "../../lib/core/errors.ts";
import { writeJson } from "../../lib/core/files.ts";
import { tf } from "../../lib/core/tensorflow.ts";
import { compareCodePoints } from "../../lib/core/words.ts";
import { listImages } from "../../lib/data/list.ts";
import { imageTraits } from "../../lib/images/traits.ts";
import { disposeModel } from "../../lib/model/model.ts";
import {
  type Appearance,
  createPredictor,
  decodeOptions,
  predictImages,
} from "../../lib/model/predict.ts";
import { fitReference, REFERENCE_FILE } from "../../lib/model/reference.ts";
import { loadModel } from "../../lib/model/saved.ts";
import { DEFAULT_DECISION } from "../../lib/run/decision.ts";
import { askPython } from "../ask_python.ts";
import { boundByPermissions } from "../bound_by_permissions.ts";
import { inFolder, picture, put } from "../data/test_images.ts";
import { testCard } from "../model/model_card.ts";
import { makeOddFolder, READABLE, TWINS, UNREADABLE } from "./odd_folder.ts";
import {
  BAND,
  CLASSES,
  csvTexts,
  detailsOf,
  evaluate,
  evaluateInChild,
  evaluateRows,
  type Places,
  putImages,
  putPictures,
  refuses,
  undisturbed,
  withNewImages,
} from "./with_new_images.ts";

const DATA = testCard({ backbone: "resnet50", imageSize: 32, classes: CLASSES }).data;

Deno.test(
  "evaluateFolder() puts every image of an odd folder into one of two files",
  withNewImages(makeOddFolder, async (places) => {
    const { folder } = places;
    const before = tf.memory().numTensors;
    const progress: string[] = [];
    const evaluation = await evaluate(places, {
      onProgress: (done, total, name) => void progress.push(`${done}/${total} ${name}`),
    });
    assert.equal(tf.memory().numTensors, before);
    const { files, skipped } = evaluation;
    const names = (await listImages(folder)).paths;
    assert.deepEqual(progress, names.map((name, i) => `${i + 1}/${names.length} ${name}`));
    assert.deepEqual(skipped, { hidden: 1, links: 2, otherType: 1 });

    const accepted = await readCsv(files.evaluation, ["name", "ground_truth"], "");
    const refused = await readCsv(files.errors, ["name", "error"], "");
    const namesOf = (rows: { name: string }[]) => rows.map(({ name }) => name);
    assert.deepEqual(namesOf(accepted), Object.keys(READABLE).sort(compareCodePoints));
    assert.deepEqual(namesOf(refused), Object.keys(UNREADABLE).sort(compareCodePoints));
    assert.deepEqual(namesOf([...accepted, ...refused]).sort(compareCodePoints), names);
    for (const { name, error } of refused) {
      assert.match(error, UNREADABLE[name]![1], name);
      assert.ok(!error.includes(folder) && !/\n/.test(error), error);
    }
    assert.deepEqual(new Set(accepted.map((row) => row.ground_truth)), new Set(CLASSES));
    assert.deepEqual(evaluation.errors, refused);
    assert.deepEqual([evaluation.state, evaluation.images], ["finished", names.length]);
    const details = await detailsOf(evaluation);
    assert.deepEqual(namesOf(details), namesOf(accepted));
    const review = details.filter(({ decision }) => decision === "review");
    assert.equal(evaluation.review, review.length);
    const oracle = join(import.meta.dirname!, "../core/csv_oracle.py");
    const texts = [await Deno.readTextFile(files.evaluation)];
    const [table] = await askPython(oracle, texts) as string[][][];
    assert.ok(table!.every((row) => row.length === 2));
    for (const cell of table!.flat()) assert.doesNotMatch(cell, /^[=+\-@\t\r\n]/, "a formula");
  }),
);

Deno.test(
  "evaluateFolder() gives an image the same answer alone and in a folder, rotated and upright",
  withNewImages(makeOddFolder, async ({ folder, modelFolder }) => {
    const options = { modelFolder };
    const together = await evaluateRows({ ...options, folder });
    const of = (name: string) => together.find((image) => image.name === name)!.probability;
    await inFolder(async (alone) => {
      await put(alone, "upright.jpg", await TWINS.upright.toBuffer());
      await put(alone, "sideways.jpg", await TWINS.sideways.toBuffer());
      await Deno.copyFile(join(folder, "b.png"), join(alone, "b.png"));
      const [plain, sideways, upright] = (await evaluateRows({ ...options, folder: alone }))
        .map(({ probability }) => probability);
      assert.ok(Math.abs(plain! - of("b.png")) < 1e-6);
      const rotated = of("a/rotated.jpg");
      const [near, far] = [Math.abs(rotated - upright!), Math.abs(rotated - sideways!)];
      assert.ok(near < 5e-3 && near < far / 5, `${rotated}: ${upright} and ${sideways}`);
    });
  }),
);

Deno.test(
  "evaluateFolder() decides by the model's card: threshold, classes, accept band, flags and groups",
  withNewImages(
    async (folder) => {
      for (let i = 0; i < 12; i++) {
        await put(folder, `slide_${i % 3}_${i}.png`, await picture(i, 40, 40).png().toBuffer());
      }
      await put(folder, "other.png", await picture(30, 20, 90).png().toBuffer());
    },
    async (places) => {
      const evaluation = await evaluate(places);
      const images = await detailsOf(evaluation);
      assert.deepEqual(images.map(({ name }) => name), (await listImages(places.folder)).paths);
      const decisions = new Set<string>();
      for (const { name, predicted, probability, confidence, decision, group, flags } of images) {
        assert.ok(probability > 0 && probability < 1);
        assert.equal(predicted, CLASSES[probability >= 0.45 ? 1 : 0]);
        const expected = probability >= 0.45 ? probability : 1 - probability;
        assert.ok(Math.abs(confidence - expected) < 1e-6);
        assert.equal(group, /slide_(\d)/.exec(name)?.[1] ?? "");
        assert.equal(flags, "", "nothing is known of ordinary images");
        const isSure = probability <= BAND.low || probability >= BAND.high;
        assert.equal(decision, isSure ? "accept" : "review");
        decisions.add(`${decision} ${predicted}`);
      }
      assert.ok(decisions.size > 2, [...decisions].join());
    },
    {
      decision: { ...DEFAULT_DECISION, threshold: 0.45, acceptBand: BAND },
      data: { ...DATA, groupPattern: "slide_(\\d)_" },
    },
  ),
);

Deno.test(
  "evaluateFolder() flags images unlike the training images, and queues them for review first",
  withNewImages(
    async (folder) => {
      await putPictures(folder, 8, 100);
      await put(folder, "long.png", await picture(200, 300, 20).png().toBuffer());
    },
    async (places) => {
      await learnPictures(places.modelFolder);
      const evaluation = await evaluate(places);
      const rows = await detailsOf(evaluation);
      const long = rows.find(({ name }) => name === "long.png")!;
      assert.match(long.flags, /unusual_shape/);
      assert.equal(long.decision, "review");
      assert.ok(rows.filter(({ flags }) => flags !== "").length <= 3, JSON.stringify(rows));
      assert.equal(evaluation.queue.flags, true);
      const review = await readCsv(evaluation.files.review, ["path", "label", "suggested"], "");
      assert.equal(review.length, evaluation.review);
      const row = review.find(({ path }) => path === "long.png")!;
      assert.deepEqual([row.label, row.suggested], ["", ""]);
      const needs = evaluation.queue.first.map(({ need }) => need);
      assert.deepEqual(needs, needs.toSorted((a, b) => b - a));
      // what was learnt is part of what a work file is of
      await Deno.remove(join(places.modelFolder, "reference.json"));
      const again = await evaluate(places);
      assert.deepEqual([again.restarted, again.queue.flags], ["model", false]);
    },
  ),
);

/** Lets a model learn from 60 square pictures what is ordinary. */
async function learnPictures(modelFolder: string): Promise<void> {
  await inFolder(async (folder) => {
    const { model, card } = await loadModel(modelFolder);
    const predictor = createPredictor(model, card.preprocessing);
    const seen: Appearance[] = [];
    const paths = Array.from({ length: 60 }, (_, i) => join(folder, `${i}.png`));
    await putPictures(folder, paths.length);
    const options = { ...decodeOptions(card), batchSize: 32 };
    for await (const image of predictImages(predictor, paths, options)) {
      assert.ok("features" in image);
      const traits = imageTraits(image.original, options.size, image);
      seen.push({ traits, features: Float32Array.from(image.features) });
    }
    const sample = { train: seen.slice(0, 30), validation: seen.slice(30) };
    const reference = fitReference([sample], { share: 0.01, weightsSha256: card.weights.sha256 });
    await writeJson(join(modelFolder, REFERENCE_FILE), reference);
    predictor.dispose();
    disposeModel(model);
  });
}

Deno.test(
  "evaluateFolder() says when the folder is missing, a file or without an image, or the model is not there",
  withNewImages(
    (folder) => put(folder, "notes.txt", "no image"),
    async (places) => {
      const { root, folder } = places;
      const before = tf.memory().numTensors;
      const noFolder = (folder: string, message: RegExp) =>
        refuses(evaluate({ ...places, folder }), message);
      const noModel = (message: RegExp, modelFolder = places.modelFolder) =>
        refuses(evaluate({ ...places, modelFolder }), message, ModelError);
      await noFolder(folder, /There is no image in ".*new images"/);
      await noFolder(join(folder, "no"), /"[^"]*no" is not there/);
      await noFolder(join(folder, "notes.txt"), /is a file, and the folder/);
      await put(folder, "a.png", await picture(1).png().toBuffer());
      await noModel(/There is no model in .*no\b/, join(folder, "no"));
      await Deno.copyFile(join(root, "model/model.json"), join(root, "whole.json"));
      const json = JSON.parse(await Deno.readTextFile(join(root, "model/model.json")));
      json.userDefinedMetadata.format = 1;
      await put(root, "model/model.json", JSON.stringify(json));
      await noModel(/not written by this version/);
      await Deno.rename(join(root, "whole.json"), join(root, "model/model.json"));
      const [weights] = json.weightsManifest[0].paths;
      await Deno.truncate(join(root, "model", weights), 1000);
      await noModel(/./);
      await assert.rejects(Deno.stat(join(root, "results")), "nothing is written");
      assert.equal(tf.memory().numTensors, before);
    },
  ),
);

Deno.test(
  "evaluateFolder() writes its headers where no image can be read, and reports a name that is no text",
  withNewImages((folder) => put(folder, "a.png", ""), async (places) => {
    assert.deepEqual(await csvTexts(await evaluate(places)), [
      "name,ground_truth\n",
      "name,predicted,probability,confidence,decision,group,flags,probability_uncorrected,spread\n",
      "name,error\na.png,the file is empty (0 bytes).\n",
    ]);
    await put(places.folder, "a.png", await picture(1).png().toBuffer());
    const args = ["-c", `cp a.png "$(printf 'caf\\351.png')"`];
    assert.ok((await new Deno.Command("sh", { args, cwd: places.folder }).output()).success);
    const { first, errors } = await evaluate(places);
    assert.deepEqual(first.map(({ name }) => name), ["a.png"]);
    assert.deepEqual(errors.map(({ name }) => name), ["caf\ufffd.png"]);
    assert.match(errors[0]!.error, /not valid UTF-8 text; rename it/);
  }),
);

Deno.test(
  "evaluateFolder() leaves a model that it is given as it was, and writes the same with it",
  withNewImages((folder) => putImages(folder, 12), async (places) => {
    const expected = await csvTexts(await evaluate(places));
    const loaded = await loadModel(places.modelFolder);
    const { numTensors } = tf.memory();
    for (const name of ["a.csv", "b.csv"]) {
      const out = join(places.root, name);
      assert.deepEqual(await csvTexts(await evaluate({ ...places, out }, { loaded })), expected);
      assert.equal(tf.memory().numTensors, numTensors);
    }
    disposeModel(loaded.model);
  }),
);

/** Two images in the folder's own tree, three behind links, one link that leads nowhere. */
async function linkImages(folder: string): Promise<void> {
  const store = join(folder, "..", "store");
  const paths = ["a.png", "b/b.png", "../store/S1/c.png", "../store/S1/d.png", "../store/e.png"];
  for (const [seed, path] of paths.entries()) {
    await put(folder, path, await picture(seed, 40, 36).png().toBuffer());
  }
  await Deno.symlink(join(store, "S1"), join(folder, "S1"));
  await Deno.symlink(join(store, "e.png"), join(folder, "e.png"));
  await Deno.symlink(join(store, "gone.png"), join(folder, "gone.png"));
  await Deno.symlink("..", join(folder, "b", "loop"));
}

const namesIn = async ({ out }: Places) =>
  (await readCsv(out, ["name"], "")).map(({ name }) => name);

Deno.test(
  "evaluateFolder() follows links when asked alone, to what has changed too, and counts those it does not follow",
  withNewImages(linkImages, async (places) => {
    const own = await evaluate(places);
    assert.deepEqual(await namesIn(places), ["a.png", "b/b.png"]);
    assert.equal(own.skipped.links, 4);

    const followed = await evaluate(places, { followLinks: true });
    assert.deepEqual(await namesIn(places), ["S1/c.png", "S1/d.png", "a.png", "b/b.png", "e.png"]);
    const error = "the file is not there (any more).";
    assert.deepEqual(followed.errors, [{ name: "gone.png", error }]);
    assert.equal(followed.skipped.links, 1);

    const inStore = join(places.root, "store", "S1", "evaluation.csv");
    const intoStore = evaluate({ ...places, out: inStore }, { followLinks: true });
    await refuses(intoStore, /written into the folder of the im/);
    await evaluate({ ...places, out: inStore }); // no link leads there now

    await put(places.root, "store/e.png", await picture(3, 44, 40).png().toBuffer());
    const again = await evaluate(places, { followLinks: true });
    assert.deepEqual([again.restarted, again.resumed], ["folder", 0], "it has changed");
  }),
);

Deno.test(
  "evaluateFolder() says how links are followed where a folder holds nothing else",
  withNewImages(async (folder) => {
    await put(folder, "../store/a.png", await picture(1).png().toBuffer());
    await Deno.symlink("../store/a.png", join(folder, "a.png"));
  }, async (places) => {
    await assert.rejects(
      evaluate(places),
      /no image in .*\(1 link not looked at\).*--follow-links/s,
    );
    assert.equal((await evaluate(places, { followLinks: true })).classified, 1);
  }),
);

const ignore = boundByPermissions === null;

Deno.test({
  name: "evaluateFolder() reports an image that may not be read, and goes on with the others",
  ignore,
  fn: withNewImages((folder) => putPictures(folder, 3), async (places) => {
    const locked = join(places.folder, "1.png");
    await Deno.chmod(locked, 0o000);
    assert.equal(await evaluateInChild(places, { before: boundByPermissions! }), "finished");
    const errors = await Deno.readTextFile(places.out.replace(".csv", "_errors.csv"));
    assert.equal(errors, "name,error\n1.png,there is no permission to read it.\n");

    await Deno.chmod(locked, 0o644); // the next evaluation reads it, and all is as if it always could
    assert.deepEqual(await csvTexts(await evaluate(places)), await undisturbed(places));
  }),
});

Deno.test({
  name:
    "evaluateFolder() refuses a folder with a folder in it that may not be read, and results that may not be written",
  ignore,
  fn: withNewImages((folder) => putPictures(join(folder, "deep"), 1), async (places) => {
    const inner = join(places.folder, "deep");
    await Deno.chmod(inner, 0o000); // its images would be lost in silence
    const before = boundByPermissions!;
    assert.match(await evaluateInChild(places, { before }), /^DataError: .*deep.* cannot be read/);
    await Deno.chmod(inner, 0o755);

    const parent = join(places.root, "results");
    await Deno.mkdir(parent, { mode: 0o555 });
    const refused = await evaluateInChild(places, { before });
    assert.match(refused, /^DataError: .*results cannot be written.*permission to write there/);
    await Deno.chmod(parent, 0o755);
    assert.equal(await evaluateInChild(places, { before }), "finished");
  }),
});
