import assert from "node:assert/strict";
import { join } from "node:path";
import { runPaths } from "../../lib/core/paths.ts";
import { SYNTHETIC_NOTE } from "../../lib/core/words.ts";
import { DEFAULT_DECISION } from "../../lib/run/decision.ts";
import { formatSummary, readSummary, type Summary } from "../../tools/summary.ts";
import { inFolder } from "../data/test_images.ts";

const summary: Summary = {
  run: "default",
  results: "results/default",
  model: "model/default",
  report: true,
  synthetic: false,
  scores: {
    roc_auc: { value: 0.9125, low: 0.85, high: 0.96, baseline: 0.5 },
    f1: { value: null, low: null, high: null, baseline: null },
  },
  evaluation: { classified: 58, unreadable: 2 },
};

Deno.test("formatSummary() puts each score beside its baseline", () => {
  assert.equal(
    formatSummary(summary),
    `
Results of run "default": results/default/
One page of it:       results/default/report.html
Model:                model/default/

Test scores                   95 % interval     baseline
  roc_auc             0.912   0.850 to 0.960    0.500
  f1                  -                         -

New images: 58 classified (evaluation.csv); 2 could not be read (evaluation_errors.csv)`,
  );
});

Deno.test("formatSummary() says nothing of what was not done, and that images are synthetic", () => {
  const nothing = { report: false, scores: {}, evaluation: null };
  const text = formatSummary({ ...summary, ...nothing, synthetic: true });
  assert.doesNotMatch(text, /scores|New images|report/);
  assert.ok(text.endsWith(SYNTHETIC_NOTE));
});

Deno.test("readSummary() counts rows, and leaves out notebooks that were not executed", async () => {
  await inFolder(async (folder) => {
    const paths = {
      ...runPaths("x"),
      metrics: join(folder, "metrics.json"),
      evaluation: join(folder, "evaluation.csv"),
      report: join(folder, "report.html"),
    };
    const accuracy = { value: 0.9, low: 0.8, high: 1, baseline: 0.7, n: 20, method: "bootstrap" };
    const { calibration } = DEFAULT_DECISION;
    const reader = { weights_sha256: "a", calibration, threshold: 0.5, reads: 1 };
    const test_reads = { count: 1, test_sha256: "b", readers: [reader] };
    await Deno.writeTextFile(paths.metrics, JSON.stringify({ accuracy, test_reads }));
    await Deno.writeTextFile(paths.evaluation, 'name,ground_truth\n"a\nb.png",x\nc.png,y\n');
    await Deno.writeTextFile(join(folder, "evaluation_errors.csv"), "name,error\nd.png,cut\n");
    const all = await readSummary("x", paths, false, { from: 1, to: 7 });
    assert.deepEqual(all.evaluation, { classified: 2, unreadable: 1 });
    assert.equal(all.scores["accuracy"]?.value, 0.9);
    assert.equal(all.report, false);
    const part = await readSummary("x", paths, false, { from: 1, to: 5 });
    assert.deepEqual([part.scores, part.evaluation], [{}, null]);
  });
});
