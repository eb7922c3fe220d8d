import assert from "node:assert/strict";
import { join } from "node:path";
import { parseConfig } from "../../lib/core/config.ts";
import { disposeModel } from "../../lib/model/model.ts";
import { saveModel } from "../../lib/model/saved.ts";
import { inProjectCopy } from "../copy_project.ts";
import { picture, put } from "../data/test_images.ts";
import { testCard } from "../model/model_card.ts";
import { smallModel } from "../model/small_model.ts";

type EvaluateRun = typeof import("../../lib/evaluation/evaluate.ts");

Deno.test("evaluateRun() takes classes and preprocessing from the run's model, and writes its three files", () =>
  inProjectCopy(async ({ root, load }) => {
    const { evaluateRun } = await load<EvaluateRun>("lib/evaluation/evaluate.ts");
    const model = smallModel(["negative", "positive"]);
    await saveModel(join(root, "model/mine"), model, testCard(model.architecture));
    disposeModel(model);
    for (let i = 0; i < 3; i++) {
      await put(root, `elsewhere/${i}.png`, await picture(i).png().toBuffer());
    }
    await put(root, "elsewhere/bad.png", "no image");
    const config = parseConfig({
      run: "mine",
      evaluation: { folder: "elsewhere" }, // relative to the project
      data: { classes: ["other", "classes"] },
      model: { backbone: "resnet50", imageSize: 224 },
    });
    const result = await evaluateRun(config);
    assert.deepEqual(result.files, {
      evaluation: join(root, "results/mine/evaluation.csv"),
      details: join(root, "results/mine/evaluation_details.csv"),
      groups: join(root, "results/mine/evaluation_groups.csv"),
      review: join(root, "results/mine/evaluation_review.csv"),
      errors: join(root, "results/mine/evaluation_errors.csv"),
      summary: join(root, "results/mine/evaluation_summary.json"),
      parts: join(root, "results/mine/evaluation_parts"),
    });
    const text = await Deno.readTextFile(result.files.evaluation);
    assert.match(text, /^name,ground_truth\n(\d\.png,(negative|positive)\n){3}$/);

    const out = join(root, "my results.csv");
    const again = await evaluateRun(config, { out });
    assert.equal(await Deno.readTextFile(out), text);
    assert.equal(
      await Deno.readTextFile(join(root, "my results_errors.csv")),
      await Deno.readTextFile(result.files.errors),
    );
    assert.deepEqual(again.first, result.first);

    await assert.rejects(
      evaluateRun({ ...config, run: "other" }),
      (error) => error instanceof Error && error.name === "ModelError",
    );
    const names = (await Array.fromAsync(Deno.readDir(join(root, "results")))).map((e) => e.name);
    assert.deepEqual(names, ["mine"], "nothing is written without a model");
  }));
