import assert from "node:assert/strict";
import { join } from "node:path";
import { parseConfig } from "../../lib/core/config.ts";
import { readCsv } from "../../lib/core/csv.ts";
import { evaluationFiles } from "../../lib/run/evaluation_files.ts";
import type { ModelCard } from "../../lib/run/model_card.ts";
import { inProjectCopy, ofConfig, sectionsOf } from "../copy_project.ts";
import { picture, put } from "../data/test_images.ts";
import { putPictures, saveSmallModel } from "./with_new_images.ts";

type EvaluateRun = typeof import("../../lib/evaluation/evaluate.ts").evaluateRun;

Deno.test("evaluateRun() takes classes and preprocessing from the run's model, and writes its three files", () =>
  inProjectCopy(async ({ root, load }) => {
    const module = "lib/evaluation/evaluate.ts";
    const evaluateRun = await ofConfig<EvaluateRun>({ load }, module, "evaluateRun");
    await saveSmallModel(join(root, "model/mine"));
    await putPictures(join(root, "elsewhere"), 3);
    await put(root, "elsewhere/bad.png", "no image");
    const config = parseConfig({
      run: "mine",
      evaluation: { folder: "elsewhere" }, // relative to the project
      data: { classes: ["other", "classes"] },
      model: { backbone: "resnet50", imageSize: 224 },
    });
    const result = await evaluateRun(config);
    assert.deepEqual(result.files, evaluationFiles(join(root, "results/mine/evaluation.csv")));
    const text = await Deno.readTextFile(result.files.evaluation);
    assert.match(text, /^name,ground_truth\n(\d\.png,("the negative, one"|'=positive)\n){3}$/);

    const out = join(root, "my results.csv");
    const again = await evaluateRun(config, { out });
    assert.equal(await Deno.readTextFile(out), text);
    assert.equal(again.files.errors, join(root, "my results_errors.csv"));
    assert.deepEqual([again.first, again.errors], [result.first, result.errors]);

    await assert.rejects(evaluateRun({ ...config, run: "other" }), { name: "ModelError" });
    const names = (await Array.fromAsync(Deno.readDir(join(root, "results")))).map((e) => e.name);
    assert.deepEqual(names, ["mine"], "nothing is written without a model");
  }));

const CLASSES = ["normal", "segmental", "global"];

Deno.test("a task of three classes needs no code, from the scan to the new folder", () =>
  inProjectCopy(async ({ root, load }) => {
    for (let i = 0; i < 45; i++) {
      const path = `data/${CLASSES[i % 3]}/S${i % 9}_${i}.png`;
      await put(root, path, await picture(i, 40, 40).png().toBuffer());
    }
    const config = parseConfig({
      data: { classes: CLASSES },
      model: { backbone: "efficientnet_lite0", weights: "random", imageSize: 32, unfreezeLast: 0 },
      training: { epochs: 2, batchSize: 8 },
      evaluation: { folder: "data" },
    });
    await put(root, "results/default/config.json", JSON.stringify(config));
    const run = sectionsOf({ load }, config);

    await run("scanRun", "lib/data/scan.ts");
    await run("splitRun", "lib/split/split.ts");
    await run("trainRun", "lib/training/training.ts");
    const { decision } = await run("chooseDecision", "lib/metrics/decision.ts") as ModelCard;
    assert.deepEqual([decision.threshold, decision.rule], [0.5, "default"]);
    const tested = await run("testRun", "lib/metrics/test.ts") as {
      scores: Record<string, { value: number | null; n: number }>;
    };
    await run("evaluateRun", "lib/evaluation/evaluate.ts");

    const results = join(root, "results/default");
    const columns = ["path", "label", "predicted", "probability"] as const;
    const predictions = await readCsv(join(results, "predictions_test.csv"), columns, "");
    assert.ok(predictions.every(({ predicted }) => CLASSES.includes(predicted)));
    // Scores are those of the last class against the rest.
    const positive = predictions.filter(({ label }) => label === "global");
    const negative = predictions.filter(({ label }) => label !== "global");
    const found = positive.filter(({ predicted }) => predicted === "global").length;
    assert.equal(tested.scores["sensitivity"]!.value, found / positive.length);
    const higher = positive.flatMap((p) =>
      negative.map((n) => Math.sign(Number(p.probability) - Number(n.probability)) / 2 + 0.5)
    );
    const auc = higher.reduce((sum, value) => sum + value, 0) / higher.length;
    assert.ok(Math.abs(tested.scores["roc_auc"]!.value! - auc) < 1e-9);
    const evaluated = await readCsv(join(results, "evaluation.csv"), ["name", "ground_truth"], "");
    assert.equal(evaluated.length, 45);
    assert.ok(evaluated.every((row) => CLASSES.includes(row.ground_truth)));
  }));
