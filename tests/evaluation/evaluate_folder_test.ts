import assert from "node:assert/strict";
import { join } from "node:path";
import { readCsv } from "../../lib/csv.ts";
import { compareCodePoints } from "../../lib/data/compare_code_points.ts";
import { listImages } from "../../lib/data/list_images.ts";
import { DataError, ModelError } from "../../lib/errors.ts";
import { evaluateFolder } from "../../lib/evaluation/evaluate_folder.ts";
import { evaluationFiles, writeEvaluation } from "../../lib/evaluation/write_evaluation.ts";
import { disposeModel } from "../../lib/model/model.ts";
import { type CardDraft, saveModel } from "../../lib/model/save_model.ts";
import { tf } from "../../lib/setup/tensorflow.ts";
import { askPython } from "../ask_python.ts";
import { inFolder, picture, put } from "../data/test_images.ts";
import { DEFAULT_DECISION } from "../../lib/model/decision.ts";
import { testCard } from "../model/model_card.ts";
import { smallModel } from "../model/small_model.ts";
import { makeOddFolder, READABLE, rotatedTwins, UNREADABLE } from "./odd_folder.ts";

const CLASSES: [string, string] = ["the negative, one", "=positive"];

const DATA = testCard({ backbone: "resnet50", imageSize: 32, classes: CLASSES }).data;

/** Runs with the small model saved and a folder of images, which `fill` makes. */
function withFolder(
  fill: (folder: string) => Promise<void>,
  test: (folder: string, modelFolder: string) => Promise<void>,
  card: Partial<CardDraft> = {},
): () => Promise<void> {
  return () =>
    inFolder(async (root) => {
      const [folder, modelFolder] = [join(root, "new images"), join(root, "model")];
      await Deno.mkdir(folder);
      await fill(folder);
      const model = smallModel(CLASSES);
      await saveModel(modelFolder, model, { ...testCard(model.architecture), ...card });
      disposeModel(model);
      await test(folder, modelFolder);
    });
}

Deno.test(
  "evaluateFolder() and writeEvaluation() put every image of an odd folder into one of two files",
  withFolder(makeOddFolder, async (folder, modelFolder) => {
    const before = tf.memory().numTensors;
    const progress: string[] = [];
    const evaluation = await evaluateFolder({
      folder,
      modelFolder,
      onProgress: (done, total, name) => void progress.push(`${done}/${total} ${name}`),
    });
    assert.equal(tf.memory().numTensors, before);
    const { images, errors, skipped } = evaluation;
    const names = (await listImages(folder)).paths;
    assert.deepEqual(progress, names.map((name, i) => `${i + 1}/${names.length} ${name}`));
    assert.deepEqual(skipped, { hidden: 1, links: 2, otherType: 1 });

    const files = evaluationFiles(join(folder, "..", "evaluation.csv"));
    await writeEvaluation(files, evaluation);
    const accepted = await readCsv(files.evaluation, ["name", "ground_truth"], "");
    const refused = await readCsv(files.errors, ["name", "error"], "");
    assert.deepEqual(
      accepted.map(({ name }) => name),
      Object.keys(READABLE).sort(compareCodePoints),
      "all that can be read, in code-point order",
    );
    assert.deepEqual(
      refused.map(({ name }) => name),
      Object.keys(UNREADABLE).sort(compareCodePoints),
    );
    assert.deepEqual(
      [...accepted, ...refused].map(({ name }) => name).sort(compareCodePoints),
      names,
    );
    for (const { name, error } of refused) {
      assert.match(error, UNREADABLE[name as keyof typeof UNREADABLE], name);
      assert.ok(!error.includes(folder) && !/\n/.test(error), error);
    }
    assert.deepEqual(new Set(accepted.map((row) => row.ground_truth)), new Set(CLASSES));
    assert.deepEqual(
      accepted.map((row) => row.ground_truth),
      images.map(({ predicted }) => predicted),
    );
    assert.equal(errors.length, refused.length);

    const [header] = (await Deno.readTextFile(files.evaluation)).split("\n");
    assert.equal(header, "name,ground_truth");
    const details = await readCsv(files.details, ["name"], "");
    assert.deepEqual(Object.keys(details[0]!), [
      "name",
      "predicted",
      "probability",
      "confidence",
      "decision",
      "group",
      "flags",
    ]);
    assert.deepEqual(details.map(({ name }) => name), accepted.map(({ name }) => name));
    const [table] = await askPython(join(import.meta.dirname!, "../csv_oracle.py"), [
      await Deno.readTextFile(files.evaluation),
    ]) as string[][][];
    for (const row of table!) {
      assert.equal(row.length, 2);
      for (const cell of row) assert.doesNotMatch(cell, /^[=+\-@\t\r\n]/, "a formula");
    }
  }),
);

Deno.test(
  "evaluateFolder() gives an image the same answer alone and in a folder, rotated and upright",
  withFolder(makeOddFolder, async (folder, modelFolder) => {
    const options = { modelFolder };
    const together = (await evaluateFolder({ ...options, folder })).images;
    const of = (name: string) => together.find((image) => image.name === name)!.probability;
    await inFolder(async (alone) => {
      const twins = await rotatedTwins();
      await put(alone, "upright.jpg", twins.upright);
      await put(alone, "sideways.jpg", twins.sideways);
      await Deno.copyFile(join(folder, "b.png"), join(alone, "b.png"));
      const [plain, sideways, upright] = (await evaluateFolder({ ...options, folder: alone }))
        .images.map(({ probability }) => probability);
      assert.ok(Math.abs(plain! - of("b.png")) < 1e-6);
      const rotated = of("a/rotated.jpg");
      const [near, far] = [Math.abs(rotated - upright!), Math.abs(rotated - sideways!)];
      assert.ok(near < 5e-3 && near < far / 5, `${rotated}: ${upright} and ${sideways}`);
    });
  }),
);

Deno.test(
  "evaluateFolder() decides by the model's card: threshold, classes, accept band, flags and groups",
  withFolder(
    async (folder) => {
      for (let i = 0; i < 12; i++) {
        await put(folder, `slide_${i % 3}_${i}.png`, await picture(i, 40, 40).png().toBuffer());
      }
      await put(folder, "other.png", await picture(30, 20, 90).png().toBuffer());
    },
    async (folder, modelFolder) => {
      const { images, card } = await evaluateFolder({
        folder,
        modelFolder,
      });
      assert.equal(card.decision.threshold, 0.45);
      assert.deepEqual(images.map(({ name }) => name), (await listImages(folder)).paths);
      const decisions = new Set<string>();
      for (const { name, predicted, probability, confidence, decision, group, flags } of images) {
        assert.ok(probability > 0 && probability < 1);
        assert.equal(predicted, CLASSES[probability >= 0.45 ? 1 : 0]);
        const expected = probability >= 0.45 ? probability : 1 - probability;
        assert.ok(Math.abs(confidence - expected) < 1e-6);
        assert.equal(group, /slide_(\d)/.exec(name)?.[1] ?? "");
        assert.equal(flags, name === "other.png" ? "smaller_than_input elongated" : "");
        const isSure = probability <= 0.4 || probability >= 0.55;
        assert.equal(decision, isSure && flags === "" ? "accept" : "review");
        decisions.add(`${decision} ${predicted}`);
      }
      assert.ok(decisions.size > 2, [...decisions].join());
    },
    {
      decision: {
        ...DEFAULT_DECISION,
        threshold: 0.45,
        acceptBand: { low: 0.4, high: 0.55, errorRate: 0.05 },
      },
      data: { ...DATA, groupPattern: "slide_(\\d)_" },
    },
  ),
);

Deno.test(
  "evaluateFolder() says when the folder is missing, a file or without an image, or the model is not there",
  withFolder(
    (folder) => put(folder, "notes.txt", "no image"),
    async (folder, modelFolder) => {
      const before = tf.memory().numTensors;
      const refused = (
        options: { folder: string; modelFolder?: string },
        kind: typeof DataError | typeof ModelError,
        message: RegExp,
      ) =>
        assert.rejects(
          evaluateFolder({ modelFolder, ...options }),
          (error: unknown) => {
            assert(error instanceof kind, String(error));
            assert.match(error.message, message);
            return true;
          },
        );
      await refused({ folder }, DataError, /There is no image in ".*new images"/);
      await refused({ folder: join(folder, "no") }, DataError, /"[^"]*no" is not there/);
      await refused({ folder: join(folder, "notes.txt") }, DataError, /cannot be read/);
      await put(folder, "a.png", await picture(1).png().toBuffer());
      await refused(
        { folder, modelFolder: join(folder, "no") },
        ModelError,
        /There is no model in .*no\b/,
      );
      assert.equal(tf.memory().numTensors, before);
    },
  ),
);

Deno.test(
  "evaluateFolder() reports a file whose name is no text",
  withFolder(
    async (folder) => {
      await put(folder, "a.png", await picture(1).png().toBuffer());
      const { success } = await new Deno.Command("sh", {
        args: ["-c", `cp a.png "$(printf 'caf\\351.png')"`],
        cwd: folder,
      }).output();
      assert.ok(success);
    },
    async (folder, modelFolder) => {
      const { images, errors } = await evaluateFolder({
        folder,
        modelFolder,
      });
      assert.deepEqual(images.map(({ name }) => name), ["a.png"]);
      assert.deepEqual(errors.map(({ name }) => name), ["caf\ufffd.png"]);
      assert.match(errors[0]!.error, /not valid UTF-8 text; rename it/);
    },
  ),
);

Deno.test("evaluationFiles() puts details and errors beside the main file, whatever its ending", () => {
  assert.deepEqual(evaluationFiles("/a/b.csv"), {
    evaluation: "/a/b.csv",
    details: "/a/b_details.csv",
    errors: "/a/b_errors.csv",
  });
  assert.deepEqual(evaluationFiles("/a.csv/b.CSV").details, "/a.csv/b_details.csv");
  assert.deepEqual(evaluationFiles("/a/b").errors, "/a/b_errors.csv");
});

Deno.test("writeEvaluation() writes its headers where there is nothing to tell", () =>
  inFolder(async (folder) => {
    const files = evaluationFiles(join(folder, "deep/er/evaluation.csv"));
    await writeEvaluation(files, { images: [], errors: [] });
    const texts = await Promise.all(Object.values(files).map((path) => Deno.readTextFile(path)));
    assert.deepEqual(texts, [
      "name,ground_truth\n",
      "name,predicted,probability,confidence,decision,group,flags\n",
      "name,error\n",
    ]);
  }));
