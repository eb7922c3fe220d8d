import assert from "node:assert/strict";
import { parseConfig } from "../../lib/core/config.ts";
import { describeEvaluation, type Evaluation } from "../../lib/evaluation/results.ts";
import type { HistoryRow } from "../../lib/run/history.ts";
import {
  evaluationNotices,
  outcomeNotices,
  reviewNotices,
  runsTable,
  trainingNotices,
} from "../../lib/show/tables.ts";
import { runsChart } from "../../lib/show/validation_charts.ts";
import { evaluate, putImages, withNewImages } from "../evaluation/with_new_images.ts";
import { runSummary } from "../run/run_summaries.ts";

const ofTraining = (training: object) =>
  trainingNotices(parseConfig({ training }).training).map(({ text }) => text);

Deno.test("trainingNotices() says what augmentation costs, what is not safe, and what balanced sampling does", () => {
  assert.deepEqual([{}, { classWeights: "balanced" }].flatMap(ofTraining), []);
  const [cost, ...others] = ofTraining({ cachedViews: 0, augmentation: "safe" });
  assert.match(cost!, /frozen layers run on every one of them in every epoch/);
  assert.deepEqual([others, ofTraining({ cachedViews: 0, augmentation: "none" })], [[], []]);
  const [warning] = ofTraining({ augmentation: { blur: 3, stain: 0.1, cutOut: 0.5 } });
  assert.match(warning!, /blur \(up to 3 px\), cutOut \(up to 50 % of the side\)\. Notebook 04/);
  assert.doesNotMatch(warning!, /stain/);
  const [sampling, ...none] = ofTraining({ sampling: "balanced" });
  assert.match(sampling!, /rarer classes higher probabilities/);
  assert.deepEqual(none, []);
});

const ofOutcome = (change: Partial<Parameters<typeof outcomeNotices>[0]>) =>
  outcomeNotices({
    history: Array.from({ length: 4 }, (_, i) => ({ epoch: i + 1 })) as HistoryRow[],
    resumedFrom: 0,
    interrupted: false,
    cacheProblem: null,
    members: 1,
    startingWeights: { kind: "imagenet", note: "ImageNet", sha256: null },
    ...change,
  }).map(({ text }) => text);

Deno.test("outcomeNotices() says what was stopped, continued, left to do and not kept", () => {
  assert.deepEqual(ofOutcome({}), ["Started from: ImageNet."]);
  assert.match(ofOutcome({ interrupted: true })[0]!, /Stopped as you asked, after epoch 4/);
  assert.match(ofOutcome({ interrupted: true, history: [] })[0]!, /before there was a model/);
  assert.match(ofOutcome({ resumedFrom: 4 })[0]!, /already trained/);
  assert.match(ofOutcome({ resumedFrom: 3 })[0]!, /continued after its epoch 3/);
  const all = ofOutcome({ interrupted: true, resumedFrom: 3, cacheProblem: "the disk is full" });
  assert.equal(all.length, 4);
  assert.match(all[2]!, /because the disk is full\./);
});

const row = { path: "a", label: "x", predicted: "y", probability: 1, suggested: "y" };

const review = {
  ...{ file: "review.csv", edited: [], howTo: "To correct: …", corrections: null, pending: 0 },
  ...{ doubtful: [row, row], uncertain: [row] },
};

Deno.test("reviewNotices() tells what to do, of lists that were kept, and of corrections", () => {
  const [howTo, ...others] = reviewNotices(review);
  assert.match(howTo!.text, /^3 images .*review\.csv\. To correct: …$/);
  assert.deepEqual(others, []);
  const corrections = {
    changes: [{ path: "<b>", before: "x_y", after: null, predicted: "z" }],
    ...{ accuracy: { before: 0.5, after: 1 }, sentence: "1 label corrected." },
  };
  const kept = { file: "review_2.csv", edited: ["review.csv"], pending: 1, corrections };
  const texts = reviewNotices({ ...review, ...kept });
  assert.match(texts[1]!.text, /edited.*review\.csv\..*review_2\.csv/);
  assert.equal(texts[2]!.text, "1 label corrected.");
  assert.match(texts[3]!.html, /&lt;b&gt;.*x y.*left out.*z/);
  assert.match(texts[4]!.text, /1 label of labels\.csv is not in this split yet/);
});

Deno.test(
  "evaluationNotices() warns of an interruption, and of images that differ in more than their share",
  withNewImages((folder) => putImages(folder, 6), async (places) => {
    const result = await evaluate(places);
    const [done, shift] = evaluationNotices(result);
    assert.equal(done!.text, describeEvaluation(result).join("\n"));
    assert.equal(shift!.text, result.priorShift!.text);
    const html = (change: Partial<Evaluation>) =>
      evaluationNotices({ ...result, ...change }).map(({ html }) => html.includes("<b>⚠</b>"));
    assert.deepEqual(html({}), [false, false]);
    assert.deepEqual(html({ state: "stopped", priorShift: null }), [true]);
    const another = { ...result.priorShift!, anotherShift: true };
    assert.deepEqual(html({ priorShift: another }), [false, true]);
  }),
);

const config = parseConfig({ run: "mine" });

const HOSTILE = `<script>alert("1")</script>`;

/** Cells of the table's body, row by row. */
function cellsOf(html: string): string[][] {
  return [...html.matchAll(/<tr>(.*?)<\/tr>/g)].slice(1).map(([, row]) =>
    [...row!.replaceAll("<wbr>", "").replaceAll("\u00a0", " ").matchAll(/<td[^>]*>(.*?)<\/td>/g)]
      .map(([, cell]) => cell!)
  );
}

Deno.test("runsTable() shows settings that are not at the default, and scores, best first", () => {
  const runs = [
    runSummary("mine", { config: { training: { learningRate: 0.01, warmupEpochs: 2 } } }),
    runSummary("other", {
      losses: [0.3, 0.2, 0.25],
      config: { training: { reduceLROnPlateau: { monitor: "val_auc" } } },
      test: { roc_auc: 0.875, balanced_accuracy: null },
    }),
  ];
  const { html, text } = runsTable({ runs, remarks: [] }, config);
  assert.deepEqual(cellsOf(html).map((cells) => cells.join(" | ")), [
    "other | aaaaaaa | reduceLROnPlateau.monitor val_auc | 2 of 3 | 0.2 | 0.8 | 0.98 | 0.875",
    "mine (this run) | aaaaaaa | learningRate 0.01, warmupEpochs 2 | 2 of 2 | 0.4 | 0.8 | 0.96 | –",
  ]);
  assert.match(html, /sorted by val_loss, the lowest first/);
  assert.doesNotMatch(html, /different splits/);
  assert.equal(text, "2 trained runs; best val_loss 0.2000: other");
});

Deno.test("runsTable() says which runs do not compare, what all share and what is left out", () => {
  const model = { backbone: "efficientnet_lite0" } as const;
  const { html } = runsTable({
    runs: [
      runSummary("mine", { config: { model } }),
      runSummary("b", { split: "b", losses: [0.1], config: { model } }),
    ],
    remarks: [{ run: HOSTILE, text: `left out:\n${HOSTILE}` }],
  }, parseConfig({ run: "mine", training: { checkpoint: { monitor: "val_auc" } } }));
  assert.deepEqual(cellsOf(html).map(([run, split]) => [run, split]), [
    ["mine (this run)", "aaaaaaa"],
    ["b", "bbbbbbb"],
  ]);
  assert.match(html, /sorted by val_auc, the highest first/);
  assert.match(html, /The runs are of 2 different splits/);
  assert.match(
    html,
    /The same in all runs, and not the default: backbone\u00a0efficientnet_lite0\./,
  );
  assert.match(html, /results\/&lt;script&gt;.*left out: &lt;script&gt;/);
});

Deno.test("runsTable() and runsChart() take run names as text, no run and a run of one epoch", () => {
  const runs = [runSummary(HOSTILE), runSummary("mine\u0000")];
  for (const html of [runsTable({ runs, remarks: [] }, config).html, runsChart(runs, config).svg]) {
    assert.doesNotMatch(html, /<script/);
    assert.match(html, /&lt;script/);
    // deno-lint-ignore no-control-regex -- what is looked for
    assert.doesNotMatch(html, /\u0000/);
  }
  assert.match(runsTable({ runs: [], remarks: [] }, config).html, /No run has been trained yet/);
  assert.doesNotMatch(runsChart([], config).svg, /NaN|undefined|Infinity/);
  const { svg } = runsChart([runSummary("mine", { losses: [0] })], config);
  assert.doesNotMatch(svg, /NaN|undefined|Infinity/);
});

Deno.test("runsChart() gives 14 runs and the one at hand a look of their own, the rest grey", () => {
  const names = Array.from({ length: 20 }, (_, i) => `run ${i}`);
  const runs = names.map((name, i) => runSummary(name, { losses: [1, 0.1 + i / 100] }));
  runs.push(runSummary("mine", { losses: [2, 1] }), runSummary("x", { split: "b" }));
  const { svg } = runsChart(runs, config);
  const looks = [...svg.matchAll(/<line x1="0" x2="16"([^>]*)\/><text[^>]*>([^<]*)</g)];
  const shown = [...names.slice(0, 14), "mine", "6 more runs"];
  assert.deepEqual(looks.map(([, , name]) => name), shown);
  assert.equal(new Set(looks.map(([, look]) => look)).size, 16);
  assert.match(svg, /Not drawn: 1 run of other splits/);
  assert.match(svg, /21 runs of the same split/);
});
