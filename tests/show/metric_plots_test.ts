import assert from "node:assert/strict";
import sharp from "sharp";
import { createRandom } from "../../lib/core/random.ts";
import { type Figure, thresholdText } from "../../lib/show/card.ts";
import {
  precisionRecallChart,
  reliabilityChart,
  rocChart,
  thresholdChart,
} from "../../lib/show/curve_charts.ts";
import { groupChart } from "../../lib/show/group_charts.ts";
import { fitFonts, fontFit } from "../../lib/show/save_plots.ts";
import { confusionMatrixChart, scoreHistogram } from "../../lib/show/score_charts.ts";

const classes = ["non_globally_sclerotic_glomeruli", "globally_sclerotic_glomeruli"];

/** Predictions of a fair model. */
interface Scene {
  labels: number[];
  probabilities: number[];
  groups: string[];
  classes: string[];
  run: string;
}

function scene(
  n: number,
  { share = 0.4, groups = 8, ...rest }: Partial<Omit<Scene, "groups">> & {
    share?: number;
    groups?: number;
  } = {},
): Scene {
  const random = createRandom(`scene/${n}`);
  const labels = Array.from({ length: n }, (_, i) => i < share * n ? 1 : 0);
  const probabilities = labels.map((label) =>
    1 / (1 + Math.exp(1 - 3 * label - 1.5 * random.normal()))
  );
  const names = labels.map((_, i) => `slide ${i % groups}`);
  return { labels, probabilities, groups: names, classes, run: "trial", ...rest };
}

/** Every plot of notebook 06. */
function plots({ labels, probabilities, groups, classes, run }: Scene): Record<string, Figure> {
  const threshold = 0.5;
  const predicted = probabilities.map((p) => p >= threshold ? 1 : 0);
  const sample = { labels, probabilities, groups, threshold, run, seed: 1 };
  return {
    confusion: confusionMatrixChart({ labels, predicted, classes, run }),
    histogram: scoreHistogram({ probabilities, labels, classes, threshold, run }),
    roc: rocChart(sample),
    precisionRecall: precisionRecallChart(sample),
    threshold: thresholdChart(sample),
    reliability: reliabilityChart({ ...sample, calibrated: probabilities.map((p) => p ** 2) }),
    groups: groupChart({ labels, predicted, groups, run }),
  };
}

/** The texts of a figure, as they are read, lines of one text apart. */
function texts(figure: Figure): string[] {
  return [...figure.svg.matchAll(/<(?:text|tspan|title)[^>]*>([^<]+)</g)].map((match) => match[1]!);
}

const long = `${"a class folder with a name of many words ".repeat(4)}${"W".repeat(90)}`;

const scenes: Record<string, Scene> = {
  "six images": scene(6, { groups: 2 }),
  "no positive image": scene(30, { share: 0 }),
  "no negative image": scene(30, { share: 1 }),
  "forty groups": scene(400, { groups: 40 }),
  "long names": {
    ...scene(60, { run: "r".repeat(120), classes: [long, `${long} 2`] }),
    groups: Array.from({ length: 60 }, (_, i) => `${"patient/".repeat(20)}${i % 5}`),
  },
};

Deno.test("every plot has its run and n", () => {
  for (const one of Object.values(scenes)) {
    for (const [name, figure] of Object.entries(plots(one))) {
      assert.match(
        figure.text,
        new RegExp(`Run ${one.run} · n = ${one.labels.length} image`),
        name,
      );
    }
  }
});

/** `null` on a computer without fonts, where letters are boxes of any width. */
const fit = await fontFit();

Deno.test({
  name: "no plot has ink between its frame and its content",
  ignore: fit === null,
  fn: async () => {
    for (const [situation, one] of Object.entries(scenes)) {
      for (const [name, figure] of Object.entries(plots(one))) {
        const what = `${name}, ${situation}`;
        assert.doesNotMatch(figure.svg, /NaN|undefined<|Infinity/, what);
        assert.match(
          figure.text,
          new RegExp(`Run ${one.run} · n = ${one.labels.length} image`),
          what,
        );
        const svg = new TextEncoder().encode(fitFonts(figure.svg, fit!));
        const { data, info }: { data: Uint8Array; info: { width: number; height: number } } =
          await sharp(svg).flatten({ background: "#fff" }).greyscale().raw()
            .toBuffer({ resolveWithObject: true });
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
  },
});

Deno.test("every plot keeps hostile names of classes, groups and runs as text", async () => {
  const hostile = ['<script>alert("1")</script>&\u0007', `'"]]><img src=x onerror=alert(1)>\ud800`];
  const one = scene(30);
  const figures = plots({
    ...one,
    classes: hostile,
    groups: one.groups.map((_, i) => `${hostile[i % 2]}${i % 5}`),
    run: hostile[0]!,
  });
  for (const [name, figure] of Object.entries(figures)) {
    assert.doesNotMatch(figure.svg, /<script|<img|onerror=alert\(1\)>/, name);
    await sharp(new TextEncoder().encode(figure.svg)).png().toBuffer(); // throws on broken XML
  }
});

Deno.test("ROC and precision-recall charts have a band, and name what was resampled", () => {
  const { roc, precisionRecall } = plots(scene(60));
  for (const figure of [roc!, precisionRecall!]) {
    assert.ok(texts(figure).includes("95 % band"));
    assert.match(figure.text, /Band and interval: 2000 bootstrap resamples of 8 groups/);
    assert.match(figure.svg, /<g [^>]*fill-opacity="0\.2"[^>]*><path d="M/);
  }
});

Deno.test("ROC and precision-recall charts say why there is no band", () => {
  const perfect = { ...scene(6), probabilities: [1, 1, 1, 0, 0, 0], labels: [1, 1, 1, 0, 0, 0] };
  const { roc, precisionRecall } = plots(perfect);
  for (const figure of [roc!, precisionRecall!]) {
    assert.ok(!texts(figure).includes("95 % band"));
    assert.match(figure.text, /No band: the resamples all give the same value/);
  }
});

Deno.test("reliabilityChart() names the ECE before and after, and counts the images of bins", () => {
  const labels = [...Array(10).fill(1), ...Array(10).fill(0)];
  const probabilities = [...Array(10).fill(0.75), ...Array(10).fill(0.15)];
  const calibrated = labels;
  const figure = reliabilityChart({ labels, probabilities, calibrated, run: "trial" });
  const read = texts(figure);
  assert.ok(read.includes("Before calibration: ECE 0.200")); // gaps of 0.25 and 0.15
  assert.ok(read.includes("After calibration: ECE 0.000"));
  assert.equal(read.filter((text) => text === "10").length, 4);
  const before = reliabilityChart({ labels, probabilities, run: "trial" });
  assert.ok(texts(before).includes("Not calibrated: ECE 0.200"));
  assert.doesNotMatch(before.text, /too narrow/);
  const groups = labels.map((_, i) => `slide ${i % 2}`);
  assert.match(
    reliabilityChart({ labels, probabilities, groups, run: "trial" }).text,
    /too narrow/,
  );
});

Deno.test("thresholdChart() has the counts behind the rates at the chosen threshold", () => {
  const input = { labels: [0, 0, 0, 1, 1], probabilities: [0.1, 0.2, 0.6, 0.4, 0.9], run: "trial" };
  const at = (threshold: number | null) => thresholdChart({ ...input, threshold }).text;
  assert.match(
    at(0.5),
    /sensitivity 50\.0 % \(1 of 2\), specificity 66\.7 % \(2 of 3\), precision 50\.0 % \(1 of 2\)/,
  );
  assert.match(at(0.95), /specificity 100\.0 % \(3 of 3\), precision undefined/);
  assert.match(at(null), /the most probable one is the answer: no threshold is in force/);
});

Deno.test("of more than two classes no chart shows a threshold", () => {
  const sample = { ...scene(40), threshold: null, seed: 1 };
  for (
    const figure of [
      rocChart(sample),
      precisionRecallChart(sample),
      thresholdChart(sample),
      scoreHistogram(sample),
    ]
  ) assert.ok(!texts(figure).some((text) => text.startsWith("threshold ")));
});

Deno.test("groupChart() shows the worst 20 groups and says how many it does not", () => {
  const one = scene(400, { groups: 40 });
  const predicted = one.labels.map((label, i) => one.groups[i] === "slide 7" ? 1 - label : label);
  const figure = groupChart({ ...one, predicted });
  const names = texts(figure).filter((text) => text.startsWith("slide "));
  assert.equal(names.length, 20);
  assert.equal(names[0], "slide 7");
  assert.match(figure.text, /n = 400 images in 40 groups/);
  assert.match(figure.text, /The worst 20 of 40 groups; 20 are not shown/);
  assert.ok(texts(figure).includes("all: 97.5 %"));
});

Deno.test("groupChart() shows a rate that a group cannot have as none", () => {
  const input = { labels: [0, 0, 1], predicted: [0, 1, 1], groups: ["a", "a", "b"], run: "trial" };
  const read = texts(groupChart(input)).filter((text) => /^\d\/\d$|^none$/.test(text));
  // b, a: accuracy; sensitivity; specificity
  assert.deepEqual(read, ["1/2", "1/1", "none", "1/1", "1/2", "none"]);
});

Deno.test("groupChart() says so where it is not known which images belong together", () => {
  const input = { labels: [0, 1], predicted: [0, 1], groups: ["a.png", "b.png"], run: "trial" };
  assert.match(groupChart(input).text, /There are no scores by group.*data\.groupPattern/);
});

Deno.test("confusionMatrixChart() of three classes has nine counts and the rates of its rows", () => {
  const figure = confusionMatrixChart({
    labels: [0, 0, 0, 0, 1, 2, 2],
    predicted: [0, 0, 0, 2, 1, 2, 0],
    classes: ["one", "two", "three"],
    run: "trial",
  });
  const numbers = texts(figure).filter((text) => /^\d+$|%$/.test(text));
  assert.deepEqual(numbers.slice(0, 9), ["3", "0", "1", "0", "1", "0", "1", "0", "1"]);
  assert.deepEqual(numbers.slice(9).map(parseFloat), [75, 0, 25, 0, 100, 0, 50, 0, 50]);
  assert.doesNotMatch(figure.text, /specificity/);
});

Deno.test("thresholdText() tells small and large thresholds from 0 and 1", () => {
  const shown = [0, 0.37, 0.5, 0.05, 0.0042, 0.995, 1].map(thresholdText);
  assert.deepEqual(shown, ["0.00", "0.37", "0.50", "0.050", "0.0042", "0.9950", "1.00"]);
});
