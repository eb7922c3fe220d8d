import assert from "node:assert/strict";
import { parseConfig } from "../../lib/core/config.ts";
import { runsTable } from "../../lib/show/tables.ts";
import { runsChart } from "../../lib/show/training_charts.ts";
import { runSummary } from "../run/run_summaries.ts";

const config = parseConfig({ run: "mine" });

const HOSTILE = `<script>alert("1")</script>`;

/** Cells of the table's body, row by row. */
function cellsOf(html: string): string[][] {
  return [...html.matchAll(/<tr>(.*?)<\/tr>/g)].slice(1).map(([, row]) =>
    [...row!.matchAll(/<td[^>]*>(.*?)<\/td>/g)].map(([, cell]) =>
      cell!.replaceAll(/<wbr>/g, "").replaceAll("\u00a0", " ")
    )
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

Deno.test("runsTable() and runsChart() take run names as text", () => {
  const runs = [runSummary(HOSTILE), runSummary("mine\u0000")];
  for (const html of [runsTable({ runs, remarks: [] }, config).html, runsChart(runs, config).svg]) {
    assert.doesNotMatch(html, /<script/);
    assert.match(html, /&lt;script/);
    // deno-lint-ignore no-control-regex -- what is looked for
    assert.doesNotMatch(html, /\u0000/);
  }
});

Deno.test("runsTable() and runsChart() stand no run and a run of one epoch", () => {
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
