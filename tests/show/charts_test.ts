import assert from "node:assert/strict";
import sharp from "sharp";
import type { HistoryRow, TrainingEvent } from "../../lib/run/history.ts";
import { card, type Figure } from "../../lib/show/card.ts";
import {
  precisionRecallChart,
  reliabilityChart,
  rocChart,
  thresholdChart,
} from "../../lib/show/curve_charts.ts";
import { classCountsChart, sizeChart, splitChart } from "../../lib/show/data_charts.ts";
import { jupyterDisplay } from "../../lib/show/display.ts";
import { groupChart } from "../../lib/show/group_charts.ts";
import {
  confusionMatrixChart,
  newScoresHistogram,
  scoreHistogram,
} from "../../lib/show/score_charts.ts";
import { learningCurves } from "../../lib/show/training_charts.ts";

const run = "trial";

const classes = ["non_globally_sclerotic_glomeruli", "globally_sclerotic_glomeruli"];

const labels = [0, 0, 0, 1, 1, 0, 1, 0];

const probabilities = [0.1, 0.2, 0.7, 0.9, 0.4, 0.3, 0.8, 0.05];

const predicted = probabilities.map((p) => p >= 0.5 ? 1 : 0);

const history: HistoryRow[] = [1, 2, 3].map((epoch) => ({
  epoch,
  loss: 1 / epoch,
  accuracy: 1 - 0.2 / epoch,
  auc: null,
  val_loss: 1.2 / epoch,
  val_accuracy: 0.8,
  val_auc: epoch === 2 ? null : 0.9,
  learning_rate: epoch < 3 ? 1e-4 : 1e-5,
  seconds: 2,
}));

const events: TrainingEvent[] = [
  { epoch: 1, kind: "checkpoint", note: "" },
  { epoch: 2, kind: "reduce_lr", note: "" },
  { epoch: 3, kind: "early_stopping", note: "" },
];

/** Every kind of figure, with given class names. */
function allFigures(names: string[]): Record<string, Figure> {
  const [negative, positive] = [names[0]!, names[1]!];
  const rows = ["train", "validation", "test"].flatMap((subset, i) => [
    { subset, label: negative, count: 30 - 10 * i },
    { subset, label: positive, count: 5 },
  ]);
  const requested = { train: 0.7, validation: 0.15, test: 0.15 };
  const sizes = [
    { width: 700, height: 720, label: negative },
    { width: 650, height: 800, label: positive },
  ];
  return {
    classCounts: classCountsChart({
      counts: [{ label: negative, count: 80 }, { label: positive, count: 20 }],
      run,
    }),
    size: sizeChart({ sizes, classes: names, run }),
    split: splitChart({ rows, requested, classes: names, run }),
    curves: learningCurves({ history, events, run, epochs: 25 }),
    confusion: confusionMatrixChart({ labels, predicted, classes: names, run }),
    confusionOfThree: confusionMatrixChart({
      labels,
      predicted,
      classes: [negative, "between", positive],
      run,
    }),
    roc: rocChart({ labels, probabilities, threshold: 0.5, run, seed: 1 }),
    precisionRecall: precisionRecallChart({ labels, probabilities, threshold: 0.5, run, seed: 1 }),
    threshold: thresholdChart({ labels, probabilities, threshold: 0.5, run }),
    reliability: reliabilityChart({ labels, probabilities, calibrated: probabilities, run }),
    groups: groupChart({ labels, predicted, groups: labels.map((_, i) => names[i % 2]!), run }),
    histogram: scoreHistogram({ probabilities, labels, classes: names, threshold: 0.5, run }),
    newImages: newScoresHistogram({
      counts: [7, 0, 12, 1000],
      called: 1012,
      classes: names,
      threshold: 0.5,
      run,
    }),
  };
}

/** The texts of a figure, as they are read. */
function texts(figure: Figure): string[] {
  return [...figure.svg.matchAll(/<(?:text|tspan|title)[^>]*>([^<]+)</g)].map((match) => match[1]!);
}

Deno.test("every figure is a complete SVG of its own size on white, titled with run", async () => {
  for (const [name, figure] of Object.entries(allFigures(classes))) {
    const [, width, height] = /^<svg [^>]*width="(\d+)" height="(\d+)"/.exec(figure.svg)!;
    assert.ok(Number(width) <= 720, name);
    const { data, info } = await sharp(new TextEncoder().encode(figure.svg)).raw()
      .toBuffer({ resolveWithObject: true });
    assert.deepEqual([info.width, info.height], [Number(width), Number(height)], name);
    const centre = (10 * info.width + 10) * info.channels;
    assert.deepEqual([...data.subarray(centre, centre + 3)], [255, 255, 255], name);
    assert.ok(data.some((value) => value < 60), `${name} has ink`);
    assert.doesNotMatch(figure.svg, /currentColor|var\(|<style|NaN|undefined/, name);
    assert.match(figure.text, /Run trial · /, name);
  }
});

Deno.test("every figure shows itself in a notebook as an image with its text", () => {
  for (const figure of Object.values(allFigures(classes))) {
    const shown = figure[jupyterDisplay]();
    assert.deepEqual(Object.keys(shown), ["text/html", "text/plain"]);
    const [, encoded] = /^<img src="data:image\/svg\+xml;base64,([^"]+)"/.exec(
      shown["text/html"]!,
    )!;
    const decoded = new TextDecoder().decode(Uint8Array.fromBase64(encoded!));
    assert.equal(decoded, figure.svg);
  }
});

Deno.test("every figure keeps hostile class names as text", async () => {
  const hostile = ['<script>alert("1")</script>&\u0007', `'"><img src=x onerror=alert(1)>\ud800`];
  for (const [name, figure] of Object.entries(allFigures(hostile))) {
    assert.doesNotMatch(figure.svg, /<script|<img/, name);
    assert.doesNotMatch(figure.html.slice(1), /<(script|img)/, name);
    await sharp(new TextEncoder().encode(figure.svg)).png().toBuffer(); // throws on broken XML
  }
});

Deno.test("classCountsChart() states the majority baseline", () => {
  const figure = allFigures(classes)["classCounts"]!;
  assert.ok(texts(figure).includes("80 (80.0 %)"));
  assert.match(figure.text, /always answering “non globally .*” is right 80\.0 % of the time/);
});

Deno.test("confusionMatrixChart() has counts and row rates in the right cells", () => {
  const read = texts(allFigures(classes)["confusion"]!);
  // rows: true negative class 4 and 1 of 5, true positive class 1 and 2 of 3
  const numbers = read.filter((text) => /^\d+$|%$/.test(text));
  assert.deepEqual(numbers, ["4", "1", "1", "2", "80.0 %", "20.0 %", "33.3 %", "66.7 %"]);
});

Deno.test("confusionMatrixChart() of one class shows no invented rate", () => {
  const figure = confusionMatrixChart({ labels: [0, 0], predicted: [0, 1], classes, run });
  assert.deepEqual(texts(figure).filter((text) => /%$|^–$/.test(text)), [
    "50.0 %",
    "50.0 %",
    "–",
    "–",
  ]);
});

Deno.test("rocChart() and precisionRecallChart() name area and operating point", () => {
  const { roc, precisionRecall } = allFigures(classes);
  assert.match(texts(roc!).join("\n"), /model \(AUC 0\.933, 95 % interval 0\.\d+ to 1\.000\)/);
  assert.match(roc!.text, /sensitivity 66\.7 %, specificity 80\.0 %/);
  assert.match(texts(precisionRecall!).join("\n"), /model \(average precision 0\.917, 95 % inter/);
  assert.match(precisionRecall!.text, /precision 66\.7 %, recall 66\.7 %/);
});

Deno.test("rocChart() and precisionRecallChart() say so where a class is absent", () => {
  const input = { labels: [0, 0], probabilities: [0.1, 0.2], threshold: 0.5, run, seed: 1 };
  assert.match(rocChart(input).text, /There is no ROC curve: it needs images of both classes/);
  assert.match(precisionRecallChart(input).text, /There is no precision-recall curve/);
});

Deno.test("sizeChart() of images of one size has an axis of whole pixels around it", () => {
  const sizes = Array.from({ length: 3 }, () => ({ width: 224, height: 224, label: classes[0]! }));
  const { svg } = sizeChart({ sizes, classes, run });
  const ticks = [...svg.matchAll(/<text [^>]*>(\d[\d.,]*)</g)].map(([, text]) => text!);
  assert.ok(ticks.includes("200") && ticks.includes("250"), ticks.join());
  assert.ok(ticks.every((text) => /^\d+$/.test(text)), ticks.join());
});

Deno.test("sizeChart() draws a selection of very many images and says so", () => {
  const sizes = Array.from({ length: 10_000 }, (_, i) => ({
    width: 600 + i % 100,
    height: 700 + i % 77,
    label: classes[i % 2]!,
  }));
  const figure = sizeChart({ sizes, classes, run });
  assert.equal(figure.svg.match(/<circle/g)!.length - 2, 2500); // two more in the legend
  assert.match(figure.text, /n = 10,000 images · 2,500 of them drawn/);
  assert.match(figure.text, /Width 600 to 699, median 650; height 700 to 776, median 738/);
});

Deno.test("splitChart() shows achieved beside requested fractions", () => {
  const read = texts(allFigures(classes)["split"]!);
  assert.ok(read.includes("35 images, 46.7 % (asked 70.0 %)"), read.join());
  assert.ok(read.includes("5 positive, 14.3 %"));
});

Deno.test("learningCurves() has a line to read a learning rate by that stays, whatever it is", () => {
  for (const rate of [1e-4, 2.5e-4, 3e-4, 9e-4, 5e-6].map(Math.fround)) { // as they are recorded
    const steady = history.map((row) => ({ ...row, learning_rate: rate }));
    const read = texts(learningCurves({ history: steady, events: [], run }));
    assert.ok(read.some((text) => /^1e-\d$/.test(text)), `${rate}: ${read.join()}`);
  }
});

Deno.test("learningCurves() draws a history of any length and names the kept epoch", () => {
  for (const length of [0, 1, 2, 3]) {
    const figure = learningCurves({ history: history.slice(0, length), events, run });
    assert.doesNotMatch(figure.svg, /NaN|Infinity/);
  }
  const figure = learningCurves({ history, events, run });
  assert.match(
    figure.text,
    /Kept: epoch 1, validation loss 1\.2000, accuracy 0\.8000, AUC 0\.9000/,
  );
  assert.ok(texts(figure).includes("learning rate reduced"));
  assert.ok(!texts(learningCurves({ history, events: [], run })).includes("kept epoch"));
});

Deno.test("scoreHistogram() counts every image once", () => {
  const figure = scoreHistogram({
    probabilities: [0, 0.5, 1],
    labels: [0, 0, 1],
    classes,
    threshold: 0.5,
    run,
  });
  assert.match(figure.text, /2 of 3 images at or above the threshold/);
  assert.ok(texts(figure).includes("non globally sclerotic glomeruli (2)"));
  const ofNew = newScoresHistogram({ counts: [1, 2], called: 2, classes, threshold: 0.5, run });
  assert.match(ofNew.text, /2 of 3 images at or above the threshold/);
  assert.ok(texts(ofNew).includes("class not known (3)"));
});

Deno.test("card() keeps the entries of a legend apart, and the note inside, in any font", () => {
  const labels = ["non globally sclerotic glomeruli", "globally sclerotic glomeruli", "asked for"];
  const panel = { markup: "", width: 400, height: 10 };
  const figure = card({
    title: "Title",
    subtitle: "",
    legend: labels.map((label) => ({ label, color: "#000", mark: "area" as const })),
    rows: [[panel]],
    note: "A note of many words, so that it takes two lines of the card at least. ".repeat(3),
  });
  const texts = [...figure.svg.matchAll(/translate\((\d+)[^)]*,(\d+)\)">.*?<text x="22"([^>]*)>/g)]
    .map(([, x, y, attributes]) => ({
      y,
      from: Number(x) + 22,
      width: Number(/textLength="([\d.]+)"/.exec(attributes!)?.[1]),
    }));
  assert.equal(texts.length, labels.length);
  for (const [i, { y, from, width }] of texts.entries()) {
    const next = texts[i + 1];
    assert.ok(from + width < (next?.y === y ? next!.from - 22 : 400 + 2 * 18));
  }
  const notes = [...figure.svg.matchAll(/<text x="18"[^>]*font-size="12" textLength="([\d.]+)"/g)];
  assert.ok(notes.length >= 2);
  for (const [, width] of notes) assert.ok(Number(width) <= 400);
});
