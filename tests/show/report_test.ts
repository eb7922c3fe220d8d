import fc from "fast-check";
import { parseHTML } from "linkedom";
import assert from "node:assert/strict";
import { join } from "node:path";
import { parseConfig } from "../../lib/core/config.ts";
import { toCsv } from "../../lib/core/csv.ts";
import { createRandom } from "../../lib/core/random.ts";
import { SCORE_NAMES, SYNTHETIC_NOTE } from "../../lib/core/words.ts";
import { computeScores } from "../../lib/metrics/scores.ts";
import { writeFindings } from "../../lib/run/findings.ts";
import { writeHistory } from "../../lib/run/history.ts";
import { type ManifestRow, writeManifest } from "../../lib/run/manifest.ts";
import type { ModelCard } from "../../lib/run/model_card.ts";
import { certifySplit } from "../../lib/run/split_certificate.ts";
import { type SplitRow, SUBSETS, writeSplit } from "../../lib/run/split_file.ts";
import { reportPage } from "../../lib/show/report.ts";
import { matchFiles, type ReportData, type RunFiles } from "../../lib/show/report_files.ts";
import { type Content, html } from "../../lib/show/report_page.ts";
import { inProjectCopy } from "../copy_project.ts";
import { picture as drawn, put } from "../data/test_images.ts";
import { testCard } from "../model/model_card.ts";
import { historyOf } from "../run/run_summaries.ts";

const CLASSES = ["non_globally_sclerotic", "globally_sclerotic"];

const probeScores = Object.fromEntries(SCORE_NAMES.map((name) => [name, 0.789])) as Record<
  (typeof SCORE_NAMES)[number],
  number
>;

const noGain = { value: 0, low: null, high: null, reason: "all the same" };

/** The files of a run of 180 images, a fifth positive, 60 to a subset; each image its own group. */
function runFiles(
  probabilityOf: (index: number, label: 0 | 1) => number,
  { classes = CLASSES, name = (i: number) => `${i}.png` } = {},
): RunFiles {
  const split = Array.from({ length: 180 }, (_, i): SplitRow => {
    const label = classes[i % 5 === 0 ? 1 : 0]!;
    const sha256 = i.toString(16).padStart(64, "0");
    const subset = SUBSETS[Math.floor(i / 60)]!;
    return { path: `${label}/${name(i)}`, label, group: `patient ${i}`, sha256, subset };
  });
  const image = { dhash: "", width: 700, height: 730, channels: 4, format: "png", status: "ok" };
  const manifest = split.map(({ subset: _, ...row }): ManifestRow => ({ ...row, ...image }));
  const fractions = { train: 0.4, validation: 0.3, test: 0.3 };
  const certificate = certifySplit(split, manifest, [], { seed: 42, fractions, repeats: 1 });
  const predictions = split.filter(({ subset }) => subset === "test").map((row, i) => {
    const probability = probabilityOf(i, row.label === classes[1] ? 1 : 0);
    const predicted = classes[probability >= 0.5 ? 1 : 0]!;
    return { path: row.path, label: row.label, predicted, probability };
  });
  const draft = testCard({ backbone: "efficientnet_lite0", imageSize: 32, classes });
  const card: ModelCard = {
    ...draft,
    data: { ...draft.data, synthetic: false, splitSha256: certificate.split_sha256 },
    weights: { sha256: "a".repeat(64), parameters: 1234 },
  };
  const index = (label: string) => label === classes[1] ? 1 : 0;
  const { calibration, threshold } = card.decision;
  return {
    config: parseConfig({ data: { classes, groupPattern: "(patient \\d+)" } }),
    manifest,
    findings: [],
    split,
    splitSha256: certificate.split_sha256,
    certificate,
    history: historyOf([0.4]),
    events: [],
    card,
    metrics: {
      scores: computeScores({
        labels: predictions.map(({ label }) => index(label)),
        predicted: predictions.map(({ predicted }) => index(predicted)),
        probabilities: predictions.map(({ probability }) => probability),
        seed: 1,
      }),
      reads: {
        count: 1,
        test_sha256: "b".repeat(64),
        readers: [{ weights_sha256: card.weights.sha256, calibration, threshold, reads: 1 }],
        other_runs: [],
      },
      probe: {
        ...{ l2: [10], images: 60, scores: probeScores },
        gains: { roc_auc: { value: 0.02, low: 0.01, high: 0.03 }, accuracy: { ...noGain } },
      },
    },
    predictions,
    mapCheck: null,
    evaluation: null,
  };
}

/** What a report is made from when no picture is there. */
const bare: Omit<ReportData, "files" | "test" | "evaluation" | "problems"> = {
  run: "try",
  made: "2026-01-02T03:04:05.678Z",
  synthetic: false,
  stopped: null,
  plots: new Map(),
  examples: new Map(),
  mistakes: [],
};

Deno.test("html`` escapes texts wherever they are, and leaves its own markup as it is", () => {
  const inner = html`<b title="${`"'`}">${"<&>"}</b>`;
  assert.equal(
    html`<p>${inner} ${3}${["a<", [inner]]}</p>`.markup,
    '<p><b title="&quot;&#39;">&lt;&amp;&gt;</b> 3a&lt;' +
      '<b title="&quot;&#39;">&lt;&amp;&gt;</b></p>',
  );
});

Deno.test("html`` lets no text and no other object become markup", () => {
  fc.assert(fc.property(fc.string({ unit: fc.constantFrom(...`<>&"'/ a\0\ud800`) }), (text) => {
    const { markup } = html`<p title="${text}">${text}</p>`;
    assert.match(markup, /^<p title="[^<>"']*">[^<>"']*<\/p>$/);
  }));
  const forged = { markup: "<script>" };
  assert.throws(() => html`<p>${forged}</p>`, TypeError);
  assert.throws(() => html`<p>${JSON.parse("{}") as Content}</p>`, TypeError);
});

const good = (i: number, label: 0 | 1) => label === 1 ? 0.9 : i === 1 ? 0.6 : 0.1;

const evaluation: RunFiles["evaluation"] = {
  ...{ classified: 7, unreadable: 1, review: 2, classes: [{ name: "a_b", images: 7 }] },
  ...{ shareText: null, weightsSha256: null },
};

const picture = { source: "data:image/png;base64,AA", width: 2, height: 2, text: '"<b>' };

const noFiles = Object.keys(runFiles(good)).map((name) => [name, null]);

const NO_FILES = Object.fromEntries(noFiles) as RunFiles;

function page(files: RunFiles, change: Partial<ReportData> = {}): string {
  return reportPage({ ...bare, ...matchFiles(files, bare.run), files, ...change });
}

/** The text of a page above its table of contents, on one line. */
function firstLines(markup: string): string {
  const { document } = parseHTML(markup) as unknown as {
    document: { querySelector(selector: string): { textContent: string } };
  };
  const [head] = document.querySelector("main").textContent.split("In short");
  return head!.replace(/\s+/g, " ").trim();
}

Deno.test("a report says first that a useless model is no better than the baseline, and which ranks well", () => {
  const constant = firstLines(page(runFiles(() => 0.2)));
  assert.match(constant, /This model is no better than the baseline.* Do not rely on its answers/);
  assert.match(constant, /80\.0 % is not shown to be better than the 80\.0 %/);
  const always = firstLines(page(runFiles(() => 0.9)));
  assert.match(always, /This model is no better than the baseline/);
  for (const seed of [1, 2, 3]) {
    const random = createRandom(seed);
    const text = firstLines(page(runFiles(() => random.next())));
    assert.match(text, /This model is no better than the baseline/, `seed ${seed}`);
    assert.doesNotMatch(text, /better than chance/, `seed ${seed}`);
  }
  const useful = firstLines(page(runFiles(good)));
  assert.match(useful, /Better than always giving the more frequent answer\./);
  assert.doesNotMatch(useful, /no better/);
  const ranks = firstLines(page(runFiles((i, label) => label === 1 && i > 0 ? 0.4 : 0.1)));
  assert.match(ranks, /no better than the baseline.*do rank images better than chance \(ROC-AUC 0/);
});

Deno.test("a report has the sections of TRIPOD+AI and CLAIM, and says first that images are synthetic", () => {
  const markup = page(runFiles(good));
  const ids = [...markup.matchAll(/<section id="([a-z]+)"><h2>[^<]+</g)].map(([, id]) => id);
  assert.equal(
    ids.join(),
    "data,labels,partition,model,training,performance,explanations,errors,limitations," +
      "reproducibility",
  );
  assert.match(markup, /<td class="text">globally sclerotic<\/td>\s*<td class="number">36</);
  assert.match(markup, /1 of 60 images was predicted otherwise than labelled/);
  assert.match(markup, /20\.0 % of the test images are “globally sclerotic”/);
  assert.match(markup, /No external validation/);
  assert.match(markup, /results\/try\/notebooks\//);
  assert.ok(!markup.includes(SYNTHETIC_NOTE));
  const text = firstLines(page(runFiles(good), { synthetic: true }));
  assert.ok(text.indexOf(SYNTHETIC_NOTE) < text.indexOf("Better than always"), text);
  assert.ok(text.includes(SYNTHETIC_NOTE));
});

Deno.test("a report lets no name become markup, and nothing run or load", () => {
  const name = `"><script>alert(1)</script><img src=x onerror=alert(2)>'&`;
  const classes = [`<i>non`, `<script src=x>`];
  const scored = { probability: 0.5, uncalibrated: 0.5, group: name };
  const files = runFiles(good, { classes, name: (i) => `${i}${name}` });
  files.findings = [{ path: name, finding: "blurred", detail: name, other_path: name }];
  const unmeasured = { randomHead: null, randomLastLayers: null, occlusion: null };
  files.mapCheck = { images: 1, ...unmeasured, doubtful: true, sentence: name };
  files.card!.startingWeights.note = name;
  files.config!.data.groupPattern = name;
  files.evaluation = { ...evaluation, classes: [{ name, images: 1 }], shareText: name };
  files.metrics!.scores.f1!.references = [{ name, value: 0.5, note: name }];
  const markup = page(files, {
    stopped: name,
    problems: [name],
    plots: new Map([["roc", picture], ["explained_1", picture], ["learning_curves", picture]]),
    examples: new Map([[name, [{ path: name, picture }, { path: name, picture: null }]]]),
    mistakes: [{ path: name, picture, label: name, predicted: name, ...scored }],
  });
  assert.ok(markup.split("alert(1)").length > 10); // the names are there, as text
  assert.doesNotMatch(markup, /<script|<link|<iframe|<i>|javascript:/i);
  const tags = [...markup.matchAll(/<[a-z][^>]*>/g)].map(([tag]) => tag);
  for (const tag of tags) {
    assert.doesNotMatch(tag, /\son[a-z]+\s*=/, tag);
    for (const [, target] of tag.matchAll(/(?:src|href)\s*=\s*"?([^\s">]*)/g)) {
      assert.match(target!, /^(data:image\/|#)/, tag);
    }
  }
  assert.match(markup, /Content-Security-Policy" content="default-src 'none'; img-src data:;/);
});

Deno.test("a report of a run that has not come far says what is missing", () => {
  const nothing = page(NO_FILES);
  assert.match(firstLines(nothing), /There are no test scores yet/);
  assert.match(nothing, /The images have not been split yet/);
  assert.match(nothing, /There is no trained model yet/);
  assert.doesNotMatch(nothing, /undefined|NaN|null/);
  const untested = page({ ...runFiles(good), metrics: null, predictions: null });
  assert.match(firstLines(untested), /There are no test scores yet/);
  const stopped = page(NO_FILES, { stopped: "05_training, cell 3 failed." });
  assert.match(firstLines(stopped), /The run stopped before its end.*05_training, cell 3 failed/);
});

Deno.test("a report shows no scores of another model, threshold or split", () => {
  const damage: [string, (files: RunFiles) => void][] = [
    ["other weights", (files) => files.card!.weights.sha256 = "c".repeat(64)],
    ["other threshold", (files) => Object.assign(files.card!.decision, { threshold: 0.25 })],
    ["other split of the model", (files) => files.card!.data.splitSha256 = "d".repeat(64)],
    ["a corrected label", (files) => files.split!.at(-1)!.label += "x"],
    ["an image too few", (files) => files.predictions!.pop()],
    ["no model", (files) => files.card = null],
  ];
  for (const [what, change] of damage) {
    const files = structuredClone(runFiles(good));
    change(files);
    const text = page(files);
    assert.match(firstLines(text), /Not everything here fits together.*run notebook 06/, what);
    assert.match(firstLines(text), /There are no test scores of this model/, what);
    assert.doesNotMatch(text, /Test scores</, what);
  }
  const files = runFiles(good);
  files.evaluation = { ...evaluation, weightsSha256: files.card!.weights.sha256 };
  assert.match(page(files), /7 images of a folder without labels were classified, 2 of which/);
  files.evaluation.weightsSha256 = "e".repeat(64);
  assert.doesNotMatch(page(files), /of a folder without labels/);
  assert.match(firstLines(page(files)), /evaluation\.csv is of another model/);
});

Deno.test("a report names undefined scores as such, and why, never as 0", () => {
  const files = runFiles(() => 0.2); // no image is called positive: precision is undefined
  const row = /<b>Precision<\/b>&nbsp;<sup>([a-z ]+)<\/sup><\/td>\s*<td class="number">([^<]*)</
    .exec(page(files));
  assert.equal(row?.[2], "–");
  assert.match(page(files), /<sup>[a-z]<\/sup> no image is predicted to be of the positive class/);
});

type WriteReport = typeof import("../../lib/show/report.ts");

const SVG =
  '<svg xmlns="http://www.w3.org/2000/svg" width="20" height="10"><title>a &lt; b</title>' +
  "<script>alert(1)</script></svg>";

/** A run on disk, its model as good as can be but for one mistake. */
function withRun(
  test: (root: string, write: (stopped?: string) => Promise<string>) => Promise<void>,
): () => Promise<void> {
  return () =>
    inProjectCopy(async ({ root, load }) => {
      const { writeReport } = await load<WriteReport>("lib/show/report.ts");
      const files = runFiles(good);
      const at = (name: string) => join(root, "results/try", name);
      const json = (name: string, value: unknown) =>
        put(root, `results/try/${name}`, JSON.stringify(value));
      await json("config.json", { ...files.config, run: "try" });
      await json("split_certificate.json", files.certificate);
      const { scores, reads, probe } = files.metrics!;
      await json("metrics.json", { ...scores, test_reads: reads, probe });
      await json("explanation_check.json", null);
      await writeManifest(at("manifest.parquet"), files.manifest!);
      const finding = { path: "=x", finding: "blurred", detail: "d", other_path: "" } as const;
      await writeFindings(at("audit.csv"), [finding]);
      await writeSplit(at("split.csv"), files.split!);
      await writeHistory(at("history.csv"), files.history!);
      const columns = ["path", "label", "predicted", "probability"] as const;
      await put(root, "results/try/predictions_test.csv", toCsv(columns, files.predictions!));
      await put(root, "model/try/model_card.json", JSON.stringify(files.card));
      await put(root, "results/try/plots/roc.svg", SVG);
      const wrong = files.predictions!.find((row) => row.label !== row.predicted)!;
      await put(root, `data/${wrong.path}`, await drawn(1, 40, 40).png().toBuffer());
      await test(root, async (stopped) =>
        await Deno.readTextFile(await writeReport("try", stopped ? { stopped } : {})));
    });
}

Deno.test(
  "writeReport() puts the files of a run on one page that needs nothing else",
  withRun(async (_root, write) => {
    const page = await write();
    assert.match(page, /Better than always giving the more frequent answer/);
    assert.match(page, /1 of 60 images was predicted otherwise/);
    assert.match(page, /gains 0\.020 in ROC-AUC \(95 % .* 0\.030\) over a linear probe/);
    assert.match(page, /accuracy \(no interval: all the same\)/);
    assert.equal(page.split('<td class="number">0.789<').length - 1, SCORE_NAMES.length);
    assert.match(page, /far less sharp than the other images/);
    assert.doesNotMatch(page, /Not everything here fits together|NaN|\[object|>(undefined|null)/);
    const [, encoded, rest] = /"data:image\/svg\+xml;base64,([^"]+)"([^>]+)>/.exec(page)!;
    assert.equal(new TextDecoder().decode(Uint8Array.fromBase64(encoded!)), SVG);
    assert.equal(rest, ' width="20" height="10" alt="a &lt; b"');
    assert.match(page, /<img src="data:image\/jpeg;base64,[^"]+" width="140" height="140"/);
    assert.match(page, /cannot be read/); // of the images of the data folder only one is there
    assert.doesNotMatch(page, /<script/);
    assert.equal(page.match(/(src|href)="(?!data:image|#)/), null);
    assert.match(await write("why it stopped"), /why it stopped/);
  }),
);

Deno.test(
  "writeReport() makes a page of what there is, and names what is damaged or too large",
  withRun(async (root, write) => {
    await put(root, "results/try/metrics.json", "{");
    await put(root, "results/try/plots/roc.svg", "no picture");
    await put(root, "results/try/plots/groups.svg", new Uint8Array(7e6));
    await put(root, "results/try/audit.csv", "path\n");
    const page = await write();
    assert.match(page, /metrics\.json is not valid JSON/);
    assert.match(page, /audit\.csv lacks the column/);
    assert.match(page, /The plot roc\.svg is damaged/);
    assert.match(page, /The plot groups\.svg is too large for this page/);
    assert.match(page, /There are no test scores of this model/);
    await Deno.remove(join(root, "results/try"), { recursive: true });
    assert.match(await write(), /There are no test scores yet/);
  }),
);

Deno.test(
  "writeReport() counts what section 7 left",
  withRun(async (root, write) => {
    await put(root, "results/try/evaluation.csv", "name,ground_truth\n");
    const rows = [CLASSES[0], CLASSES[1], CLASSES[1]].map((name, i) => `${i},${name},review`);
    const details = ["name,predicted,decision", ...rows].join("\n");
    await put(root, "results/try/evaluation_details.csv", `${details}\n`);
    await put(root, "results/try/evaluation_errors.csv", "name,error\nx,cut\n");
    assert.match(await write(), /3 images of a folder without labels were classified, 3 of which/);
    const summary = {
      model: { weights_sha256: "a".repeat(64) },
      ...{ classified: 1234, unreadable: 2, review: 3 },
      classes: [{ name: CLASSES[0], images: 1234 }],
      class_share: { text: "Of these images an estimated 4 % are." },
    };
    await put(root, "results/try/evaluation_summary.json", JSON.stringify(summary));
    const page = await write();
    assert.match(page, /1,234 images of a folder without labels were classified, 3 of/);
    assert.match(page, /<p>Of these images an estimated 4 % are\.<\/p>/);
  }),
);
