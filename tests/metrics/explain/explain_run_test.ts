import assert from "node:assert/strict";
import { join } from "node:path";
import { parseConfig } from "../../../lib/core/config.ts";
import { tf } from "../../../lib/core/tensorflow.ts";
import type { TestPrediction } from "../../../lib/metrics/test.ts";
import { disposeModel } from "../../../lib/model/model.ts";
import { saveModel } from "../../../lib/model/saved.ts";
import { inProjectCopy } from "../../copy_project.ts";
import { picture, put } from "../../data/test_images.ts";
import { testCard } from "../../model/model_card.ts";
import { smallModel } from "../../model/small_model.ts";

const CLASSES: [string, string] = ["negative", "positive"];

Deno.test("explainRun() explains the run's own model on the images worth a look, and checks it", () =>
  inProjectCopy(async ({ root, load }) => {
    const { explainRun } = await load<typeof import("../../../lib/metrics/explain.ts")>(
      "lib/metrics/explain.ts",
    );
    const model = smallModel(CLASSES);
    await saveModel(join(root, "model/default"), model, testCard(model.architecture));
    disposeModel(model);
    const predictions: TestPrediction[] = [];
    for (const [i, probability] of [0.9, 0.45, 0.1].entries()) {
      const path = `negative/=${i},"x".png`;
      await put(root, `data/${path}`, await picture(i, 40, 40).png().toBuffer());
      const predicted = CLASSES[probability >= 0.5 ? 1 : 0]!;
      predictions.push({
        path,
        label: "negative",
        predicted,
        probability,
        uncalibrated: probability,
        group: `${i}`,
      });
    }
    const config = parseConfig({ data: { classes: CLASSES } });
    const before = tf.memory().numTensors;
    const { groups, check } = await explainRun(config, predictions, { layer: "block3b_add" });
    assert.equal(tf.memory().numTensors, before);
    assert.deepEqual(
      groups.map(({ kind, examples }) => [kind, examples.map((e) => e.probability)]),
      [
        ["mistakes", [0.9]],
        ["uncertain", [0.45, 0.1]],
        ["typical", []],
        ["typical", []],
      ],
    );
    for (const { path, image } of groups.flatMap(({ examples }) => examples)) {
      assert.equal(image.path, join(root, "data", path));
      assert.deepEqual([image.size, image.map.height, image.map.width], [32, 4, 4]);
    }
    assert.equal(check!.images, 3);
    const written = join(root, "results/default/explanation_check.json");
    assert.deepEqual(JSON.parse(await Deno.readTextFile(written)), check);
    assert.deepEqual((await explainRun(config, [])).check, null);
  }));
