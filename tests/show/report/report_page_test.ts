import assert from "node:assert/strict";
import { parseHTML } from "linkedom";
import { createRandom } from "../../../lib/core/random.ts";
import { SYNTHETIC_NOTE } from "../../../lib/core/words.ts";
import { matchFiles, reportPage } from "../../../lib/show/report.ts";
import type { ReportData, RunFiles } from "../../../lib/show/report_run.ts";
import { bare, runFiles } from "./report_files.ts";

const good = (i: number, label: 0 | 1) => label === 1 ? 0.9 : i === 1 ? 0.6 : 0.1;

const picture = { source: "data:image/png;base64,AA", width: 2, height: 2, text: '"<b>' };

const NO_FILES: RunFiles = {
  config: null,
  manifest: null,
  findings: null,
  split: null,
  splitSha256: null,
  certificate: null,
  history: null,
  events: null,
  card: null,
  metrics: null,
  predictions: null,
  mapCheck: null,
  evaluation: null,
};

function page(files: RunFiles, change: Partial<ReportData> = {}): string {
  return reportPage({ ...bare, ...matchFiles(files), files, ...change });
}

/** The text of a page above its table of contents, on one line. */
function firstLines(markup: string): string {
  const { document } = parseHTML(markup) as unknown as {
    document: { querySelector(selector: string): { textContent: string } };
  };
  const [head] = document.querySelector("main").textContent.split("In short");
  return head!.replace(/\s+/g, " ").trim();
}

Deno.test("a report says first that a useless model is no better than the baseline", () => {
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
});

Deno.test("a report tells a useless model from a good ranking behind a bad threshold", () => {
  const ranks = firstLines(page(runFiles((i, label) => label === 1 && i > 0 ? 0.4 : 0.1)));
  assert.match(ranks, /no better than the baseline.*do rank images better than chance \(ROC-AUC 0/);
});

Deno.test("a report has the sections of TRIPOD+AI and CLAIM, with their numbers", () => {
  const markup = page(runFiles(good));
  const titles = [...markup.matchAll(/<section id="[a-z]+"><h2>([^<]+)</g)].map(([, title]) =>
    title
  );
  assert.deepEqual(titles, [
    "Data source and participants",
    "Labels",
    "Partition",
    "Model",
    "Training",
    "Performance",
    "Explanations",
    "Errors",
    "Limitations and intended use",
    "Reproducibility",
  ]);
  assert.match(markup, /<td class="text">globally sclerotic<\/td>\s*<td class="number">36</);
  assert.match(markup, /1 of 60 images was answered otherwise than labelled/);
  assert.match(markup, /20\.0 % of the test images are “globally sclerotic”/);
  assert.match(markup, /No external validation/);
  assert.match(markup, /results\/try\/notebooks\//);
  assert.ok(!markup.includes(SYNTHETIC_NOTE));
});

Deno.test("a report of synthetic images says so before anything else", () => {
  const text = firstLines(page(runFiles(good), { synthetic: true }));
  assert.ok(text.indexOf(SYNTHETIC_NOTE) < text.indexOf("Better than always"), text);
  assert.ok(text.includes(SYNTHETIC_NOTE));
});

Deno.test("a report lets no name become markup, and nothing run or load", () => {
  const name = `"><script>alert(1)</script><img src=x onerror=alert(2)>'&`;
  const classes = [`<i>non`, `<script src=x>`];
  const files = runFiles(good, { classes, name: (i) => `${i}${name}` });
  files.findings = [{ path: name, finding: "blurred", detail: name, other_path: name }];
  files.mapCheck = {
    images: 1,
    randomHead: null,
    randomLastLayers: null,
    occlusion: null,
    doubtful: true,
    sentence: name,
  };
  files.card!.startingWeights.note = name;
  files.config!.data.groupPattern = name;
  files.evaluation = {
    classified: 1,
    unreadable: 0,
    review: 1,
    classes: [{ name, images: 1 }],
    shareText: name,
    weightsSha256: null,
  };
  files.metrics!.scores.f1!.references = [{ name, value: 0.5, note: name }];
  const markup = page(files, {
    stopped: name,
    problems: [name],
    plots: new Map([["roc", picture], ["explained_1", picture], ["learning_curves", picture]]),
    examples: new Map([[name, [{ path: name, picture }, { path: name, picture: null }]]]),
    mistakes: [{ path: name, picture, label: name, predicted: name, probability: 0.5 }],
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
    ["other threshold", (files) =>
      files.card!.decision = {
        ...files.card!.decision,
        threshold: 0.25,
      }],
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
  files.evaluation = {
    classified: 7,
    unreadable: 1,
    review: 2,
    classes: [{ name: "a_b", images: 7 }],
    shareText: null,
    weightsSha256: files.card!.weights.sha256,
  };
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
