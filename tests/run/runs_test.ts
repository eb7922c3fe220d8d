import fc from "fast-check";
import assert from "node:assert/strict";
import { join } from "node:path";
import { parseConfig } from "../../lib/core/config.ts";
import { DataError } from "../../lib/core/errors.ts";
import {
  type HistoryRow,
  readEvents,
  readHistory,
  type TrainingEvent,
  writeEvents,
  writeHistory,
} from "../../lib/run/history.ts";
import { configDifferences, rankRuns, writeTrainingRecord } from "../../lib/run/run.ts";
import { inProjectCopy } from "../copy_project.ts";
import { inFolder, put } from "../data/test_images.ts";
import { historyOf, runSummary } from "./run_summaries.ts";

type RunsModule = typeof import("../../lib/run/run.ts");

const names = (runs: readonly { run: string }[]) => runs.map(({ run }) => run);

/** Puts a trained run into a project; its second epoch is kept. */
async function putRun(root: string, run: string): Promise<void> {
  const folder = join(root, "results", run);
  const config = parseConfig({ training: { learningRate: 0.003 } });
  await writeTrainingRecord(join(folder, "training.json"), { config, splitSha256: "ab" });
  await writeHistory(join(folder, "history.csv"), historyOf([0.5, 0.25, 0.75]));
  const events: TrainingEvent[] = [
    { epoch: 1, kind: "checkpoint", note: "" },
    { epoch: 2, kind: "checkpoint", note: "" },
    { epoch: 3, kind: "early_stopping", note: "" },
  ];
  await writeEvents(join(folder, "training_events.csv"), events);
}

const score = (value: number | null) => {
  return { value, low: null, high: null, baseline: null, n: 4, method: "none" };
};

const READER = {
  weights_sha256: "a",
  calibration: { method: "none", slope: 1, intercept: 0 },
  threshold: 0.5,
  reads: 1,
};

const METRICS = JSON.stringify({
  roc_auc: score(0.75),
  balanced_accuracy: score(null),
  secret: { value: 1 },
  test_reads: { count: 1, test_sha256: "b", readers: [READER] },
});

/** Runs with a project of its own, and what {@linkcode readRuns} finds in it. */
const withRuns = (test: (root: string, readRuns: RunsModule["readRuns"]) => Promise<void>) => () =>
  inProjectCopy(async ({ root, load }) => {
    const { readRuns } = await load<RunsModule>("lib/run/run.ts");
    await test(root, readRuns);
  });

Deno.test(
  "readRuns() gives the config, the kept epoch and the test scores of every run",
  withRuns(async (root, readRuns) => {
    assert.deepEqual(await readRuns(), { runs: [], remarks: [] }, "without a folder");
    await putRun(root, "b");
    await putRun(root, "=cmd() <script>");
    await put(root, "results/b/metrics.json", METRICS);
    await put(root, "results/README.md", "not a run");
    await put(root, "results/.hidden/a", "not a run");
    const { runs, remarks } = await readRuns();
    assert.deepEqual(remarks, []);
    assert.deepEqual(names(runs), ["=cmd() <script>", "b"]);
    const [first, second] = runs;
    assert.deepEqual(first!.best, historyOf([0.5, 0.25, 0.75])[1]);
    assert.deepEqual([first!.history.length, first!.stoppedEarly, first!.splitSha256], [
      3,
      true,
      "ab",
    ]);
    assert.equal(first!.config.training.learningRate, 0.003);
    assert.equal(first!.test, null);
    assert.deepEqual(second!.test, { roc_auc: 0.75, balanced_accuracy: null });
  }),
);

Deno.test(
  "readRuns() leaves out what is damaged, foreign or not trained, and says why",
  withRuns(async (root, readRuns) => {
    const damaged = async (run: string, file: string, text: string | null) => {
      await putRun(root, run);
      const path = join(root, "results", run, file);
      if (text === null) await Deno.remove(path);
      else await Deno.writeTextFile(path, text);
    };
    await put(root, "results/a foreign/notes.txt", "");
    await put(root, "results/b new/config.json", "{}");
    await damaged("c json", "training.json", "{");
    await damaged("d record", "training.json", '{"config": {}}');
    await damaged("e config", "training.json", '{"config": {"gone": 1}, "splitSha256": "ab"}');
    await damaged("f history", "history.csv", null);
    await damaged("g history", "history.csv", "epoch,loss\n1,x\n");
    await damaged("h events", "training_events.csv", "epoch,kind,note\n9,checkpoint,\n");
    await putRun(root, "z good");
    const { runs, remarks } = await readRuns();
    assert.deepEqual(names(runs), ["z good"]);
    const texts = new Map(remarks.map(({ run, text }) => [run, text]));
    assert.equal(texts.size, 8);
    for (
      const [run, expected] of [
        ["a foreign", /^left out: it is no run of this project$/],
        ["b new", /^left out: it has not been trained yet$/],
        ["c json", /^left out: results\/c json\/training\.json is not valid JSON\.$/],
        ["d record", /^left out: training\.json is damaged\.$/],
        ["e config", /^left out: .*gone: there is no such field$/s],
        ["f history", /^left out: results\/f history\/history\.csv cannot be read/],
        ["g history", /^left out: results\/g history\/history\.csv/],
        ["h events", /^left out: its history has no epoch that was kept\.$/],
      ] as const
    ) assert.match(texts.get(run) ?? "", expected);
  }),
);

Deno.test(
  "readRuns() gives no test scores of an earlier model, and none that are damaged",
  withRuns(async (root, readRuns) => {
    const now = Date.now();
    const card = (created: number) =>
      JSON.stringify({ created: new Date(created).toISOString(), rest: 1 });
    for (
      const [run, metrics, model] of [
        ["current", METRICS, card(now - 60_000)],
        ["earlier", METRICS, card(now + 60_000)],
        ["broken", "{", card(now - 60_000)],
        ["strange", METRICS, "{}"],
      ] as const
    ) {
      await putRun(root, run);
      await put(root, `results/${run}/metrics.json`, metrics);
      await put(root, `model/${run}/model_card.json`, model);
    }
    const { runs, remarks } = await readRuns();
    assert.deepEqual(runs.filter(({ test }) => test !== null).map(({ run }) => run), ["current"]);
    assert.equal(runs.length, 4);
    const texts = new Map(remarks.map(({ run, text }) => [run, text]));
    assert.deepEqual([...texts.keys()], ["broken", "earlier", "strange"]);
    assert.match(texts.get("earlier")!, /earlier model: run notebook 06 again/);
    assert.match(texts.get("broken")!, /^without test scores: .*metrics\.json is not valid JSON/);
  }),
);

Deno.test("rankRuns() puts the split of the run at hand first, then the best score first", () => {
  const runs = [
    runSummary("other split", { losses: [0.1], split: "b" }),
    runSummary("worst", { losses: [0.9] }),
    runSummary("tie b", { losses: [0.3] }),
    runSummary("best", { losses: [0.2, 0.7] }),
    runSummary("tie a", { losses: [0.3] }),
  ];
  const ranked = (monitor: "val_loss" | "val_auc", run: string) =>
    names(rankRuns(runs, { monitor, run }));
  const own = ["best", "tie a", "tie b", "worst"];
  assert.deepEqual(ranked("val_loss", "worst"), [...own, "other split"]);
  assert.deepEqual(ranked("val_auc", "worst"), [...own, "other split"], "1 - loss / 10");
  assert.deepEqual(ranked("val_loss", "other split"), ["other split", ...own]);
});

Deno.test("rankRuns() puts a run without the score last in its split", () => {
  const without = runSummary("a");
  without.best = { ...without.best, val_auc: null };
  const runs = [without, runSummary("b", { losses: [9] }), runSummary("c", { split: "b" })];
  assert.deepEqual(names(rankRuns(runs, { monitor: "val_auc", run: "b" })), ["b", "a", "c"]);
});

Deno.test("rankRuns() gives one order, however the runs come", () => {
  const runs = ["a", "b", "c", "d", "e", "f"].map((run, i) =>
    runSummary(run, { losses: [[0.2, 0.1][i % 2]!], split: "ab"[Math.floor(i / 3)]! })
  );
  const options = { monitor: "val_loss", run: "d" } as const;
  const expected = names(rankRuns(runs, options));
  assert.deepEqual(expected, ["d", "f", "e", "b", "a", "c"]);
  fc.assert(
    fc.property(fc.shuffledSubarray(runs, { minLength: 6 }), (shuffled) => {
      assert.deepEqual(names(rankRuns(shuffled, options)), expected);
    }),
    { seed: 4, numRuns: 50 },
  );
});

Deno.test("configDifferences() tells what differs, and what all share that is no default", () => {
  const shared = { model: { imageSize: 96 }, data: { folder: "elsewhere" } };
  const runs = [
    runSummary("a", { config: { ...shared, run: "a", training: { learningRate: 0.01 } } }),
    runSummary("b", {
      config: {
        ...shared,
        run: "b",
        training: { logs: "tensorboard", cacheMegabytes: 1 },
        evaluation: { folder: "there" },
      },
    }),
  ];
  const { differing, shared: found } = configDifferences(runs);
  assert.deepEqual(
    differing.map(({ field, values, fallback }) => [field, [...values], fallback]),
    [["training.learningRate", [["a", 0.01], ["b", 1e-4]], 1e-4]],
  );
  assert.deepEqual(found, [
    { field: "data.folder", value: "elsewhere" },
    { field: "model.imageSize", value: 96 },
  ]);
  assert.deepEqual(configDifferences([]), { differing: [], shared: [] });
});

const rows: HistoryRow[] = [
  {
    epoch: 1,
    loss: 0.123456789012345,
    accuracy: 0.75,
    auc: null,
    val_loss: 1e-9,
    val_accuracy: 1,
    val_auc: null,
    learning_rate: Math.fround(1e-4),
    seconds: 12.5,
  },
  {
    epoch: 2,
    loss: 2,
    accuracy: 0,
    auc: 0.5,
    val_loss: 3,
    val_accuracy: 0,
    val_auc: 1,
    learning_rate: Math.fround(1e-5),
    seconds: 0.1,
  },
];

Deno.test("writeHistory() writes just the documented columns, readHistory() every digit of them", () =>
  inFolder(async (folder) => {
    const path = join(folder, "history.csv");
    await writeHistory(path, rows);
    const [header] = (await Deno.readTextFile(path)).split("\n");
    assert.equal(
      header,
      "epoch,loss,accuracy,auc,val_loss,val_accuracy,val_auc,learning_rate,seconds",
    );
    assert.deepEqual(await readHistory(path), rows);
  }));

Deno.test("readHistory() refuses what is missing, lacks a column or is no number", () =>
  inFolder(async (folder) => {
    const path = join(folder, "history.csv");
    await assert.rejects(readHistory(path), DataError);
    await writeHistory(path, rows);
    const text = await Deno.readTextFile(path);
    await put(folder, "history.csv", text.replace("val_auc", "auc_val"));
    await assert.rejects(readHistory(path), /lacks the column\(s\) val_auc/);
    await put(folder, "history.csv", text.replace("0.75", "good"));
    await assert.rejects(readHistory(path), /not a number/);
  }));

Deno.test("readEvents() gives back what writeEvents() wrote, and none where there is no file", () =>
  inFolder(async (folder) => {
    const path = join(folder, "training_events.csv");
    assert.deepEqual(await readEvents(path), []);
    const events: TrainingEvent[] = [
      { epoch: 3, kind: "reduce_lr", note: "learning rate 1e-4 → 1e-5" },
      { epoch: 9, kind: "early_stopping", note: 'no better "val_loss", for 2 epochs' },
    ];
    await writeEvents(path, events);
    assert.deepEqual(await readEvents(path), events);
  }));
