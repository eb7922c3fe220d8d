import fc from "fast-check";
import assert from "node:assert/strict";
import sharp from "sharp";
import { groupShares } from "../../lib/evaluation/shares.ts";
import type { HistoryRow, TrainingEvent } from "../../lib/run/history.ts";
import type { Predictions } from "../../lib/run/predictions.ts";
import {
  card,
  type ChartOptions,
  type Figure,
  shorten,
  textWidth,
  thresholdText,
  wrap,
} from "../../lib/show/card.ts";
import {
  precisionRecallChart,
  reliabilityChart,
  rocChart,
  thresholdChart,
} from "../../lib/show/curve_charts.ts";
import { classCountsChart, sizeChart, splitChart } from "../../lib/show/data_charts.ts";
import { jupyterDisplay } from "../../lib/show/display.ts";
import { groupChart, groupSharesChart } from "../../lib/show/group_charts.ts";
import { drawPng } from "../../lib/show/save_plots.ts";
import {
  confusionMatrixChart,
  newScoresHistogram,
  scoreHistogram,
} from "../../lib/show/score_charts.ts";
import { groupSharesTable } from "../../lib/show/tables.ts";
import { learningCurves } from "../../lib/show/training_charts.ts";
import { historyOf } from "../run/run_summaries.ts";
import { CLASSES, predictionsFrom, type Sample, scene } from "./predictions.ts";

const run = "trial";

const HOSTILE = ['<script>alert("1")</script>&\u0007', `'"]]><img src=x onerror=alert(1)>\ud800`];

const small: Sample = {
  labels: [0, 0, 0, 1, 1, 0, 1, 0],
  probabilities: [0.1, 0.2, 0.7, 0.9, 0.4, 0.3, 0.8, 0.05],
};

const history = historyOf([1.2, 0.6, 0.4]).map((row, i): HistoryRow => ({
  ...row,
  auc: null,
  val_auc: i === 1 ? null : 0.9,
  learning_rate: i < 2 ? 1e-4 : 1e-5,
}));

const events = (["checkpoint", "reduce_lr", "early_stopping"] as const)
  .map((kind, i): TrainingEvent => ({ epoch: i + 1, kind, note: "" }));

/** Every plot of notebook 06. */
function plots(predictions: Predictions, options?: ChartOptions) {
  return {
    confusion: confusionMatrixChart(predictions, options),
    histogram: scoreHistogram(predictions, options),
    roc: rocChart(predictions, options),
    precisionRecall: precisionRecallChart(predictions, options),
    threshold: thresholdChart(predictions, options),
    reliability: reliabilityChart(predictions, options),
    groups: groupChart(predictions, options),
  };
}

/** Every kind of figure, with given class names. */
function allFigures(classes: readonly string[], options?: ChartOptions) {
  const [negative, positive] = [classes[0]!, classes.at(-1)!];
  const rows = ["train", "validation", "test"].flatMap((subset, i) => [
    { subset, label: negative, count: 30 - 10 * i },
    { subset, label: positive, count: 5 },
  ]);
  const requested = { train: 0.7, validation: 0.15, test: 0.15 };
  const sizes = classes.map((label, i) => ({ width: 700 - 50 * i, height: 720 + 80 * i, label }));
  const counts = [{ label: negative, count: 80 }, { label: positive, count: 20 }];
  const groups = small.labels.map((_, i) => classes[i % 2]!);
  const newScores = { counts: [7, 0, 12, 1000], called: 1012, threshold: 0.5 };
  return {
    ...plots(predictionsFrom({ ...small, classes, groups }), options),
    confusionOfThree: confusionMatrixChart(
      predictionsFrom({ ...small, classes: [negative, "between", positive] }),
      options,
    ),
    classCounts: classCountsChart({ counts, run }, options),
    size: sizeChart({ sizes, classes, run }, options),
    split: splitChart({ rows, requested, classes, run }, options),
    curves: learningCurves({ history, events, run, epochs: 25 }, options),
    newImages: newScoresHistogram({ ...newScores, classes, run }, options),
  };
}

/** The texts of a figure, as they are read, lines of one text apart. */
function texts(figure: Figure): string[] {
  return [...figure.svg.matchAll(/<(?:text|tspan|title)[^>]*>([^<]+)</g)].map((match) => match[1]!);
}

/** What cells say: counts and percentages, or that there is none. */
const numbersOf = (figure: Figure) => texts(figure).filter((text) => /^\d+$|%$|^–$/.test(text));

/** The pixels of a figure as it is drawn. */
const pixelsOf = ({ svg }: Figure) =>
  sharp(new TextEncoder().encode(svg)).raw().toBuffer({ resolveWithObject: true });

/** Width and height as the SVG says. */
function sizeOf({ svg }: Figure): number[] {
  return /^<svg [^>]*width="(\d+)" height="(\d+)"/.exec(svg)!.slice(1).map(Number);
}

Deno.test("every figure is a complete SVG of its own size on white, and an image in a notebook", async () => {
  for (const [name, figure] of Object.entries(allFigures(CLASSES))) {
    const [width, height] = sizeOf(figure);
    assert.ok(width! <= 720, name);
    const { data, info } = await pixelsOf(figure);
    assert.deepEqual([info.width, info.height], [width, height], name);
    const centre = (10 * info.width + 10) * info.channels;
    assert.deepEqual([...data.subarray(centre, centre + 3)], [255, 255, 255], name);
    assert.ok(data.some((value) => value < 60), `${name} has ink`);
    assert.doesNotMatch(figure.svg, /currentColor|var\(|<style|NaN|undefined/, name);
    assert.match(figure.text, /Run trial · /, name);
    const shown = figure[jupyterDisplay]();
    assert.deepEqual(Object.keys(shown), ["text/html", "text/plain"]);
    const [, encoded] = /^<img src="data:image\/svg\+xml;base64,([^"]+)"/.exec(figure.html)!;
    assert.equal(new TextDecoder().decode(Uint8Array.fromBase64(encoded!)), figure.svg);
    assert.equal(shown["text/html"], figure.html);
  }
});

Deno.test("every figure takes another width and title, and says what a narrower one said", () => {
  const said = (figures: Figure[]) => figures.map(({ text }) => text.split(". ").slice(1).join());
  for (const width of [480, 1000]) {
    const others = allFigures(CLASSES, { width, title: "Mine <1>" });
    for (const [name, figure] of Object.entries(others)) {
      assert.equal(sizeOf(figure)[0], width, name);
      assert.doesNotMatch(figure.svg, /NaN|Infinity|width="-/, name);
      assert.ok(texts(figure).includes("Mine &lt;1&gt;"), name);
    }
    assert.deepEqual(said(Object.values(others)), said(Object.values(allFigures(CLASSES))));
  }
});

const long = `${"a class folder with a name of many words ".repeat(4)}${"W".repeat(90)}`;

const scenes: Record<string, Predictions> = {
  "six images": scene(6, { groups: 2 }),
  "no positive image": scene(30, { share: 0 }),
  "no negative image": scene(30, { share: 1 }),
  "forty groups": scene(400, { groups: 40 }),
  "long names": predictionsFrom({
    ...scene(60),
    run: "r".repeat(120),
    classes: [long, `${long} 2`],
    groups: Array.from({ length: 60 }, (_, i) => `${"patient/".repeat(20)}${i % 5}`),
    threshold: 0.5,
  }),
};

Deno.test("every plot has its run and n, and no ink between its frame and its content", async () => {
  for (const [situation, predictions] of Object.entries(scenes)) {
    for (const [name, figure] of Object.entries(plots(predictions))) {
      const what = `${name}, ${situation}`;
      assert.doesNotMatch(figure.svg, /NaN|undefined<|Infinity/, what);
      const about = `Run ${predictions.run} · n = ${predictions.labels.length} image`;
      assert.ok(figure.text.includes(about), what);
      const { data, info }: { data: Uint8Array; info: { width: number; height: number } } =
        await sharp(drawPng(figure.svg)).resize({ width: sizeOf(figure)[0]! })
          .flatten({ background: "#fff" }).greyscale().raw().toBuffer({ resolveWithObject: true });
      const { width, height } = info;
      const dark = data.findIndex((value, at) => {
        if (value >= 250) return false;
        const [x, y] = [at % width, Math.floor(at / width)];
        const [across, down] = [Math.min(x, width - 1 - x), Math.min(y, height - 1 - y)];
        const margin = across < 13 || down < 10;
        const frame = Math.min(across, down) < 4 || across + down < 20; // its corners are round
        return margin && !frame;
      });
      assert.equal(dark, -1, `${what}: ink at ${dark % width}, ${Math.floor(dark / width)}`);
    }
  }
});

Deno.test("every figure keeps hostile names of classes, groups and runs as text", async () => {
  const figures = {
    ...allFigures(HOSTILE),
    ...plots(predictionsFrom({
      ...scene(30),
      classes: HOSTILE,
      groups: Array.from({ length: 30 }, (_, i) => `${HOSTILE[i % 2]}${i % 5}`),
      run: HOSTILE[0]!,
      threshold: 0.5,
    })),
    shares: sharesChart(3),
  };
  for (const [name, figure] of Object.entries(figures)) {
    assert.doesNotMatch(figure.svg, /<script|<img|onerror=alert\(1\)>/, name);
    assert.doesNotMatch(figure.html.slice(1), /<(script|img)/, name);
    await pixelsOf(figure); // throws on broken XML
  }
});

Deno.test("classCountsChart() states the majority baseline, splitChart() what was asked for", () => {
  const { classCounts, split } = allFigures(CLASSES);
  assert.ok(texts(classCounts).includes("80 (80.0 %)"));
  assert.match(classCounts.text, /“non globally .*” is right 80\.0 % of the time/);
  assert.ok(texts(split).includes("35 images, 46.7 % (asked 70.0 %)"));
  assert.ok(texts(split).includes("5 positive, 14.3 %"));
});

Deno.test("confusionMatrixChart() has counts and row rates in the right cells, of three classes too", () => {
  const numbers = numbersOf(confusionMatrixChart(predictionsFrom(small)));
  // rows: true negative class 4 and 1 of 5, true positive class 1 and 2 of 3
  assert.deepEqual(numbers, ["4", "1", "1", "2", "80.0 %", "20.0 %", "33.3 %", "66.7 %"]);
  const ofOne = confusionMatrixChart(predictionsFrom({ labels: [0, 0], probabilities: [0, 1] }));
  assert.deepEqual(numbersOf(ofOne).slice(4), ["50.0 %", "50.0 %", "–", "–"]);
  const figure = confusionMatrixChart({
    ...predictionsFrom({ ...small, classes: ["one", "two", "three"] }),
    trueClasses: [0, 0, 0, 0, 1, 2, 2],
    predictedClasses: [0, 0, 0, 2, 1, 2, 0],
  });
  const ofThree = numbersOf(figure);
  assert.deepEqual(ofThree.slice(0, 9), ["3", "0", "1", "0", "1", "0", "1", "0", "1"]);
  assert.deepEqual(ofThree.slice(9).map(parseFloat), [75, 0, 25, 0, 100, 0, 50, 0, 50]);
  assert.doesNotMatch(figure.text, /specificity/);
});

Deno.test("rocChart() and precisionRecallChart() name area, prevalence and operating point", () => {
  const { roc, precisionRecall } = plots(predictionsFrom(small));
  const [area, other] = [roc, precisionRecall].map((figure) => texts(figure).join("\n"));
  assert.match(area!, /model \(AUC 0\.933, 95 % confidence interval 0\.\d+ to 1\.000\)/);
  assert.match(roc.text, /sensitivity 66\.7 %, specificity 80\.0 %/);
  assert.match(other!, /model \(average precision 0\.917, 95 % conf/);
  assert.match(other!, /^prevalence 37\.5 %$/m);
  assert.match(precisionRecall.text, /precision 66\.7 %, recall 66\.7 %/);
  const ofOne = plots(predictionsFrom({ labels: [0, 0], probabilities: [0.1, 0.2] }));
  assert.match(ofOne.roc.text, /There is no ROC curve: it needs images of both/);
  assert.match(ofOne.precisionRecall.text, /There is no precision-recall curve/);
});

Deno.test("rocChart() and precisionRecallChart() have a band and name what was resampled, or why not", () => {
  const { roc, precisionRecall } = plots(scene(60));
  const labels = [1, 1, 1, 0, 0, 0];
  const { groups } = scene(6);
  const perfect = plots(predictionsFrom({ labels, probabilities: labels, groups }));
  for (const figure of [roc, precisionRecall]) {
    assert.ok(texts(figure).includes("95 % band"));
    assert.match(figure.text, /2000 bootstrap resamples of 8 groups/);
    assert.match(figure.svg, /<g [^>]*fill-opacity="0\.2"[^>]*><path d="M/);
  }
  for (const figure of [perfect.roc, perfect.precisionRecall]) {
    assert.ok(!texts(figure).includes("95 % band"));
    assert.match(figure.text, /No band: the resamples all give the same value/);
  }
});

Deno.test("reliabilityChart() names the ECE before and after, and counts the images of bins", () => {
  const labels = [...Array(10).fill(1), ...Array(10).fill(0)];
  const uncalibrated = [...Array(10).fill(0.75), ...Array(10).fill(0.15)];
  const calibrated = predictionsFrom({ labels, probabilities: labels, uncalibrated });
  const read = texts(reliabilityChart(calibrated));
  assert.ok(read.includes("Before calibration: ECE 0.200")); // gaps of 0.25 and 0.15
  assert.ok(read.includes("After calibration: ECE 0.000"));
  assert.equal(read.filter((text) => text === "10").length, 4);
  const groups = labels.map((_, i) => `slide ${i % 2}`);
  const [single, grouped] = [{}, { groups }].map((more) =>
    reliabilityChart(predictionsFrom({ labels, probabilities: uncalibrated, ...more }))
  );
  assert.ok(texts(single!).includes("Not calibrated: ECE 0.200"));
  assert.doesNotMatch(single!.text, /too narrow/);
  assert.match(grouped!.text, /too narrow/);
});

Deno.test("thresholdChart() has the counts behind the rates at the chosen threshold", () => {
  const sample = { labels: [0, 0, 0, 1, 1], probabilities: [0.1, 0.2, 0.6, 0.4, 0.9] };
  const at = (threshold: number) => thresholdChart(predictionsFrom({ ...sample, threshold })).text;
  assert.match(
    at(0.5),
    /sensitivity 50\.0 % \(1 of 2\), specificity 66\.7 % \(2 of 3\), precision 50\.0 % \(1 of 2\)/,
  );
  assert.match(at(0.95), /specificity 100\.0 % \(3 of 3\), precision undefined/);
});

Deno.test("of more than two classes no chart shows a threshold, and the others stand together", () => {
  const all = plots(scene(40, { classes: ["a", "b", "c_d"] }));
  for (const figure of Object.values(all)) {
    assert.ok(!texts(figure).some((text) => text.startsWith("threshold ")));
  }
  assert.ok(texts(all.histogram).includes("not c d (24)"));
});

Deno.test("scoreHistogram() counts every image once", () => {
  const sample = { labels: [0, 0, 1], probabilities: [0, 0.5, 1] };
  const figure = scoreHistogram(predictionsFrom(sample));
  assert.match(figure.text, /2 of 3 images at or above the threshold/);
  assert.ok(texts(figure).includes("non globally sclerotic glomeruli (2)"));
  const scores = { counts: [1, 2], called: 2, classes: CLASSES, threshold: 0.5, run };
  const ofNew = newScoresHistogram(scores);
  assert.match(ofNew.text, /2 of 3 images at or above the threshold/);
  assert.ok(texts(ofNew).includes("class not known (3)"));
});

Deno.test("groupChart() shows the worst 20 groups, a rate that a group cannot have as none, and groups not known", () => {
  const one = scene(400, { groups: 40 });
  const predicted = one.labels.map((label, i) => one.groups[i] === "slide 7" ? 1 - label : label);
  const figure = groupChart({ ...one, predicted });
  const names = texts(figure).filter((text) => text.startsWith("slide "));
  assert.equal(names.length, 20);
  assert.equal(names[0], "slide 7");
  assert.match(figure.text, /n = 400 images in 40 groups/);
  assert.match(figure.text, /The worst 20 of 40 groups; 20 are not shown/);
  assert.ok(texts(figure).includes("all: 97.5 %"));
  const two = { labels: [0, 0, 1], probabilities: [0, 1, 1], groups: ["a", "a", "b"] };
  const read = texts(groupChart(predictionsFrom(two)));
  // b, a: accuracy; sensitivity; specificity
  const rates = ["1/2", "1/1", "none", "1/1", "1/2", "none"];
  assert.deepEqual(read.filter((text) => /^\d\/\d$|^none$/.test(text)), rates);
  assert.match(groupChart(predictionsFrom(small)).text, /no scores by group.*data\.groupPattern/);
});

const known = { truePositives: 57, falseNegatives: 3, trueNegatives: 85, falsePositives: 5 };

const sharesOf = (groups: number) =>
  groupShares(
    Array.from({ length: groups }, (_, i) => {
      const group = [HOSTILE[0]!, ""][i] ?? `slide ${i}`;
      return { group, n: 10 + i % 30, positive: i % 11, uncorrected: i % 11 };
    }),
    known,
  );

const sharesChart = (groups: number) =>
  groupSharesChart({ shares: sharesOf(groups), positive: "globally_sclerotic", run });

Deno.test("groupSharesChart() names up to 40 groups, draws up to 600, and is whole for none", async () => {
  for (const groups of [0, 1, 2, 40, 41, 2000]) {
    const chart = sharesChart(groups);
    const { svg, text } = chart;
    assert.doesNotMatch(svg, /NaN|undefined|<script/);
    const { data, info } = await pixelsOf(chart);
    assert.ok(info.width <= 720 && info.height < 900 && data.some((value) => value < 60));
    assert.match(text, new RegExp(`Run trial · n = .* in ${groups.toLocaleString("en-GB")} group`));
    assert.equal(svg.includes("slide 3<"), groups === 40);
    assert.equal(/600 of the groups/.test(text), groups === 2000);
    const dots = svg.split("<circle").length - 1;
    assert.equal(dots, Math.min(groups, 600) + 1); // one in the legend
  }
});

Deno.test("groupSharesChart() and groupSharesTable() say what all images come to, corrected too", () => {
  const shares = groupShares([{ group: "a", n: 50, positive: 11, uncorrected: 11 }], known);
  const { text } = groupSharesChart({ shares, positive: "globally_sclerotic", run });
  assert.match(text, /11 of 50 images .*22\.0 % \(95 % [a-z ]+ 12\.8 % to 35\.2 %\)/);
  assert.match(text, /corrected for the model's errors 18\.4 % \(\d/); // (0.22 - 5/90) / (…)
  assert.match(sharesChart(0).text, /There are no images/);
  const { html } = groupSharesTable(sharesOf(3));
  assert.doesNotMatch(html, /<script/);
  const cells = [...html.matchAll(/<td[^>]*>([^<]*)</g)].map((match) => match[1]);
  assert.deepEqual(cells.slice(0, 4), ["all images", "33", "3", "9.1 %"]);
  assert.ok(cells.includes("(group not known)"));
});

Deno.test("sizeChart() has an axis of whole pixels, draws a selection of very many images and says so", () => {
  const alike = Array(3).fill({ width: 224, height: 224, label: CLASSES[0]! });
  const read = texts(sizeChart({ sizes: alike, classes: CLASSES, run }));
  const ticks = read.filter((text) => /^\d/.test(text));
  assert.ok(ticks.includes("200") && ticks.includes("250"), ticks.join());
  assert.ok(ticks.every((text) => /^\d+$/.test(text)), ticks.join());
  const sizes = Array.from({ length: 10_000 }, (_, i) => {
    return { width: 600 + i % 100, height: 700 + i % 77, label: CLASSES[i % 2]! };
  });
  const figure = sizeChart({ sizes, classes: CLASSES, run });
  assert.equal(figure.svg.match(/<circle/g)!.length - 2, 2500); // two more in the legend
  assert.match(figure.text, /n = 10,000 images · 2,500 of them drawn/);
  assert.match(figure.text, /Width 600 to 699, median 650; height 700 to 776, median 738/);
});

Deno.test("learningCurves() draws a history of any length and any learning rate, and names the kept epoch", () => {
  for (const rate of [1e-4, 2.5e-4, 3e-4, 9e-4, 5e-6].map(Math.fround)) { // as they are recorded
    const steady = history.map((row) => ({ ...row, learning_rate: rate }));
    const read = texts(learningCurves({ history: steady, events: [], run }));
    assert.ok(read.some((text) => /^1e-\d$/.test(text)), `${rate}: ${read.join()}`);
  }
  for (const length of [0, 1, 2, 3]) {
    const figure = learningCurves({ history: history.slice(0, length), events, run });
    assert.doesNotMatch(figure.svg, /NaN|Infinity/);
  }
  const figure = learningCurves({ history, events, run });
  assert.match(figure.text, /epoch 1, validation loss 1\.2000, accuracy 0\.8000, AUC 0\.9000/);
  assert.ok(texts(figure).includes("learning rate reduced"));
  assert.ok(!texts(learningCurves({ history, events: [], run })).includes("kept epoch"));
});

Deno.test("card() keeps the entries of a legend apart, and the note inside, in any font", () => {
  const labels = ["non globally sclerotic glomeruli", "globally sclerotic glomeruli", "asked for"];
  const figure = card({
    title: "Title",
    subtitle: "",
    legend: labels.map((label) => ({ label, color: "#000", mark: "area" as const })),
    rows: [[{ markup: "", width: 400, height: 10 }]],
    note: "A note of many words, so that it takes two lines of the card at least. ".repeat(3),
  });
  const entry = /translate\((\d+)[^)]*,(\d+)\)">.*?<text x="22"[^>]*textLength="([\d.]+)"/g;
  const entries = [...figure.svg.matchAll(entry)].map((match) => match.slice(1).map(Number));
  assert.equal(entries.length, labels.length);
  for (const [i, [x, y, width]] of entries.entries()) {
    const [nextX, nextY] = entries[i + 1] ?? [];
    assert.ok(x! + 22 + width! < (nextY === y ? nextX! : 400 + 2 * 18));
  }
  const notes = [...figure.svg.matchAll(/<text x="18"[^>]*font-size="12" textLength="([\d.]+)"/g)];
  assert.ok(notes.length >= 2);
  for (const [, width] of notes) assert.ok(Number(width) <= 400);
});

Deno.test("thresholdText() tells small and large thresholds from 0 and 1", () => {
  const shown = [0, 0.37, 0.5, 0.05, 0.0042, 0.995, 1].map(thresholdText);
  assert.deepEqual(shown, ["0.00", "0.37", "0.50", "0.050", "0.0042", "0.9950", "1.00"]);
});

Deno.test("shorten() and wrap() fit, and keep what fits already", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 80 }), fc.integer({ min: 40, max: 400 }), (text, width) => {
      const short = shorten(text, width, 12);
      assert.ok(textWidth(short, 12) <= width);
      if (textWidth(text, 12) <= width) assert.equal(short, text);
    }),
    { seed: 1, numRuns: 300 },
  );
  assert.equal(shorten("non_globally_sclerotic_glomeruli", 100, 12), "non_glob…lomeruli");
  const text = "Percentages are of the images of one true class: lower right the sensitivity.";
  const lines = wrap(text, 150, 12);
  assert.equal(lines.join(" "), text);
  assert.ok(lines.length > 2 && lines.every((line) => textWidth(line, 12) <= 150));
});
