import assert from "node:assert/strict";
import { join } from "node:path";
import { parseConfig } from "../../../lib/core/config.ts";
import { readCsv } from "../../../lib/core/csv.ts";
import { createRandom } from "../../../lib/core/random.ts";
import { correctProbabilities, uncorrectedThreshold } from "../../../lib/evaluation/prevalence.ts";
import { decidePriorShift } from "../../../lib/evaluation/prior_shift.ts";
import { decisionSchema, DEFAULT_DECISION } from "../../../lib/run/decision.ts";
import { inProjectCopy, sectionsOf } from "../../copy_project.ts";
import { put } from "../../data/test_images.ts";
import { areThere, realCrops } from "../../real_crops.ts";
import { f1At, summaryOf } from "./synthetic_scores.ts";

const CLASSES = ["non_globally_sclerotic_glomeruli", "globally_sclerotic_glomeruli"];

/** Trains on the slides of one centre and classifies the crops of the other: calibrated. */
async function trainAndEvaluate(from: string, to: string) {
  const crops: { label: number; probability: number; slide: string }[] = [];
  let decision = DEFAULT_DECISION;
  await inProjectCopy(async ({ root, load }) => {
    for (const label of CLASSES) {
      for await (const { name } of Deno.readDir(join(realCrops, label))) {
        const centre = name.split("_")[0]!;
        await Deno.mkdir(join(root, centre, label), { recursive: true });
        await Deno.copyFile(join(realCrops, label, name), join(root, centre, label, name));
      }
    }
    const config = parseConfig({
      seed: 1,
      data: { folder: from, groupPattern: "([^/]+)-[^-]+\\.png$" },
      split: { train: 0.6, validation: 0.25, test: 0.15 },
      model: { backbone: "efficientnet_lite0", unfreezeLast: 0 },
      evaluation: { folder: to, priorShift: "off" },
    });
    await put(root, "results/default/config.json", JSON.stringify(config));
    const run = sectionsOf({ load }, config);
    await run("scanRun", "lib/data/scan.ts");
    await run("splitRun", "lib/split/split.ts");
    await run("trainRun", "lib/training/training.ts");
    await run("chooseDecision", "lib/metrics/decision.ts");
    await run("evaluateRun", "lib/evaluation/evaluate.ts");
    const card = JSON.parse(await Deno.readTextFile(join(root, "model/default/model_card.json")));
    const columns = ["name", "probability_uncorrected", "group"] as const;
    const rows = await readCsv(join(root, "results/default/evaluation_details.csv"), columns, "");
    decision = decisionSchema.parse(card.decision);
    for (const { name, probability_uncorrected, group } of rows) {
      const label = Number(name.startsWith(CLASSES[1]!));
      crops.push({ label, probability: Number(probability_uncorrected), slide: group });
    }
  });
  return { decision, crops };
}

Deno.test({
  name: "auto costs no F1 on mixes of real crops of another centre, where a correction would",
  ignore: !areThere,
  fn: async () => {
    const { decision, crops } = await trainAndEvaluate("SESCAM", "SAS");
    const pools = [0, 1].map((label) => crops.filter((crop) => crop.label === label));
    const draws = 8;
    let worst = 0;
    for (const share of [0.01, 0.03, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9]) {
      let [without, withAuto, toEstimate] = [0, 0, 0];
      for (let draw = 0; draw < draws; draw++) {
        const random = createRandom(`${share}/${draw}`);
        const mix = Array.from({ length: 300 }, (_, i) => {
          const pool = pools[i < Math.round(300 * share) ? 1 : 0]!;
          return pool[random.integer(pool.length)]!;
        });
        const labels = mix.map(({ label }) => label);
        const probabilities = mix.map(({ probability }) => probability);
        const slides = mix.map(({ slide }) => slide);
        const summary = summaryOf(probabilities, slides, decision.threshold);
        const input = { summary, decision, classes: CLASSES, unlike: 0, seed: draw };
        const { change, threshold, estimate } = decidePriorShift({ setting: "auto", ...input });
        const corrected = change
          ? probabilities.map((p) => correctProbabilities([1 - p, p], change)[1]!)
          : probabilities;
        const estimated = Math.min(0.99, Math.max(0.01, estimate!.share));
        const other = { reference: estimate!.reference, share: estimated };
        without += f1At(labels, probabilities, decision.threshold) / draws;
        withAuto += f1At(labels, corrected, threshold) / draws;
        const best = uncorrectedThreshold(decision.threshold, other);
        toEstimate += f1At(labels, probabilities, best) / draws;
      }
      const text = `${share}: ${without.toFixed(3)}, auto ${withAuto.toFixed(3)}, corrected to ` +
        `the estimate ${toEstimate.toFixed(3)}`;
      assert.ok(withAuto >= without - 0.01, text);
      worst = Math.min(worst, toEstimate - without);
    }
    assert.ok(worst < -0.1, `the scores have moved here, but a correction cost only ${worst}`);
  },
});
