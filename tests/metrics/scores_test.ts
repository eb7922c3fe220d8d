import fc from "fast-check";
import assert from "node:assert/strict";
import { join } from "node:path";
import { DataError } from "../../lib/core/errors.ts";
import { createRandom } from "../../lib/core/random.ts";
import type { ScoreName } from "../../lib/core/words.ts";
import { betterThanBaseline } from "../../lib/metrics/baseline.ts";
import { precisionRecallCurve, rocCurve } from "../../lib/metrics/curves.ts";
import { wilson } from "../../lib/metrics/intervals.ts";
import { confusionMatrix, countConfusions, mcc } from "../../lib/metrics/rates.ts";
import { computeScores, groupScores } from "../../lib/metrics/scores.ts";
import { askPython } from "../ask_python.ts";

/** Predictions as the oracle takes them. */
interface Case {
  labels: number[];
  probabilities: number[];
  predicted: number[];
}

/** What scikit-learn and scipy say about a {@linkcode Case}; `null` for undefined. */
interface Answer {
  scores: Record<string, number | null>;
  baseline: Record<string, number | null>;
  mcnemar: number;
  /** Sign-flip test by group. */
  flips: number;
  wilson: [number, number];
  /** False positive rate, true positive rate, thresholds. */
  roc: (number | "Infinity")[][] | null;
  /** Precision, recall, thresholds. */
  pr: number[][] | null;
}

/** Sends all cases to one Python process of the .venv and returns its answers. */
async function askOracle(request: object) {
  return await askPython(join(import.meta.dirname!, "oracle.py"), request) as {
    cases: Answer[];
    confusions: number[][][];
    intervals: Record<string, [number, number]>[];
  };
}

const TOLERANCE = 1e-9;

/** Random predictions: tiny to middling n, ties, single classes, certain and useless models. */
function randomCases(count: number): Case[] {
  const random = createRandom("metrics cases");
  return Array.from({ length: count }, () => {
    const n = 1 + random.integer([2, 6, 30, 200][random.integer(4)]!);
    const share = [0, 0.05, 0.2, 0.5, 0.9, 1][random.integer(6)]!;
    const steps = [1, 2, 4, 10, 20, 1e6][random.integer(6)]!; // few steps: many ties, bin edges
    const skill = [0, 0.5, 1][random.integer(3)]!;
    const threshold = [0.1, 0.5, 0.9][random.integer(3)]!;
    const labels = Array.from({ length: n }, () => random.next() < share ? 1 : 0);
    const probabilities = labels.map((label) => {
      const raw = skill * label + (1 - skill) * random.next();
      return Math.round(raw * steps) / steps;
    });
    const predicted = probabilities.map((p) => p >= threshold ? 1 : 0);
    return { labels, probabilities, predicted };
  });
}

function assertClose(actual: unknown, expected: unknown, what: string): void {
  if (typeof actual === "number" && typeof expected === "number" && Number.isFinite(actual)) {
    const distance = Math.abs(actual - expected);
    assert.ok(distance <= TOLERANCE, `${what}: ${actual} is not ${expected}`);
  } else {
    assert.equal(actual === Infinity ? "Infinity" : actual, expected, what);
  }
}

function assertAllClose(actual: number[], expected: unknown[], what: string): void {
  assert.equal(actual.length, expected.length, what);
  actual.forEach((value, i) => assertClose(value, expected[i], `${what}[${i}]`));
}

Deno.test("computeScores() and the curves agree with scikit-learn on 600 random cases", async () => {
  const random = createRandom("groups and classes");
  const cases = randomCases(600).map((item, i) => {
    const most = 1 + i % 6; // groups
    return { ...item, groups: item.labels.map(() => `patient ${random.integer(most)}`) };
  });
  const confusions = Array.from({ length: 60 }, (_, i) => {
    const classes = 2 + i % 5;
    const some = () => Array.from({ length: i }, () => random.integer(classes));
    return { classes, labels: some(), predicted: some() };
  }).slice(1); // scikit-learn refuses no images
  const { cases: answers, confusions: counts } = await askOracle({ cases, confusions });
  confusions.forEach(({ labels, predicted, classes }, i) =>
    assert.deepEqual(countConfusions(labels, predicted, classes), counts[i])
  );
  let undefinedScores = 0;
  cases.forEach(({ groups, ...item }, i) => {
    const answer = answers[i]!;
    const what = JSON.stringify(item).slice(0, 300);
    const scores = computeScores({ ...item, seed: i });
    assert.deepEqual(Object.keys(scores), Object.keys(answer.scores));
    for (const [name, score] of Object.entries(scores)) {
      assertClose(score.value, answer.scores[name], `${name} of ${what}`);
      assertClose(score.baseline, answer.baseline[name], `baseline ${name} of ${what}`);
      if (score.value === null || score.low === null) assert.ok(score.reason, `${name} of ${what}`);
      if (score.value === null) undefinedScores++;
    }
    assertClose(betterThanBaseline(item).p, answer.mcnemar, `McNemar of ${what}`);
    assertClose(betterThanBaseline({ ...item, groups }).p, answer.flips, `flips of ${what}`);
    const right = item.labels.filter((label, k) => label === item.predicted[k]).length;
    const share = wilson(right, item.labels.length);
    assertAllClose([share.low, share.high], answer.wilson, `Wilson of ${what}`);
    assertClose(scores.accuracy.low, answer.wilson[0], `accuracy's interval of ${what}`);

    const roc = rocCurve(item.labels, item.probabilities);
    const pr = precisionRecallCurve(item.labels, item.probabilities);
    const ours = {
      roc: roc && [roc.falsePositiveRate, roc.truePositiveRate, roc.thresholds],
      pr: pr && [pr.precision, pr.recall, pr.thresholds],
    };
    for (const name of ["roc", "pr"] as const) {
      assert.equal(ours[name] === null, answer[name] === null, `${name} of ${what}`);
      ours[name]?.forEach((values, part) =>
        assertAllClose(values, answer[name]![part]!, `part ${part} of ${name} of ${what}`)
      );
    }
  });
  assert.ok(undefinedScores > 500, "the cases reach undefined scores");
});

Deno.test("computeScores() gives bootstrap intervals within Monte-Carlo error of scipy's", async () => {
  const random = createRandom("interval cases");
  const names = [
    "balanced_accuracy",
    "f1",
    "mcc",
    "roc_auc",
    "macro_average_precision",
    "log_loss",
  ];
  const intervals = ([[120, false], [60, false], [120, true]] as const).map(([n, grouped]) => {
    const labels = Array.from({ length: n }, () => random.next() < 0.35 ? 1 : 0);
    const probabilities = labels.map((label) => 0.35 * label + 0.65 * random.next());
    const groups = grouped ? labels.map((_, i) => `slide ${i % 15}`) : null;
    const predicted = probabilities.map((p) => p >= 0.5 ? 1 : 0);
    return { labels, probabilities, predicted, groups, names, resamples: 500 };
  });
  const { intervals: answers } = await askOracle({ intervals });
  intervals.forEach(({ groups, ...item }, i) => {
    const scores = computeScores({ ...item, ...(groups ? { groups } : {}), seed: 7 });
    for (const name of names) {
      const { low, high } = scores[name as ScoreName];
      const [oracleLow, oracleHigh] = answers[i]![name]!;
      assert.ok(low !== null && high !== null);
      // the ends of 500 resamples scatter by about a tenth of the width
      const slack = 0.2 * (oracleHigh - oracleLow);
      assert.ok(Math.abs(low - oracleLow) < slack, `${name} low ${low} vs ${oracleLow}`);
      assert.ok(Math.abs(high - oracleHigh) < slack, `${name} high ${high} vs ${oracleHigh}`);
    }
  });
});

Deno.test("computeScores() has null with a reason, never 0, where a class or all are absent", () => {
  const none = [0, 0, 0];
  const scores = computeScores({ labels: none, probabilities: none, predicted: none, seed: 1 });
  assert.equal(scores.roc_auc.value, null);
  assert.match(scores.roc_auc.reason!, /^no image is of the positive class; no baseline: no image/);
  assert.deepEqual([scores.sensitivity.value, scores.sensitivity.n], [null, 0]);
  assert.match(scores.precision.reason!, /^no image is predicted to be of the positive class/);
  assert.equal(scores.specificity.value, 1);
  const empty = computeScores({ labels: [], probabilities: [], predicted: [], seed: 1 });
  for (const score of Object.values(empty)) {
    assert.deepEqual([score.value, score.baseline], [null, null]);
    assert.equal(score.reason, "there are no images");
  }
});

Deno.test("computeScores() resamples whole groups, of one none, and keeps a share's interval wide", () => {
  const labels = Array.from({ length: 40 }, (_, i) => i % 4 === 0 ? 1 : 0);
  const groups = labels.map((_, i) => `patient ${i % 5}`);
  const scores = computeScores({
    labels,
    probabilities: labels.map((label) => label === 1 ? 0.9 : 0.1),
    predicted: labels,
    groups,
    seed: 1,
  });
  assert.equal(scores.accuracy.value, 1);
  assert.equal(scores.accuracy.low, wilson(40, 40).low);
  assert.match(scores.accuracy.method, /2000 resamples of 5 groups, not narrower than Wilson/);
  assert.equal(scores.roc_auc.low, null);
  assert.match(scores.roc_auc.reason!, /^no interval: the resamples all give the same value/);
  const sample = { labels: [0, 1, 0], probabilities: [0.2, 0.6, 0.7], predicted: [0, 1, 1] };
  const { accuracy } = computeScores({ ...sample, groups: ["a", "a", "a"], seed: 1 });
  assert.equal(accuracy.low, null);
  assert.match(accuracy.reason!, /one group/);
});

Deno.test("computeScores() refuses what cannot be scored", () => {
  const good = { labels: [0, 1], probabilities: [0.1, 0.9], predicted: [0, 1], seed: 1 };
  assert.throws(() => computeScores({ ...good, predicted: [0] }), DataError);
  assert.throws(() => computeScores({ ...good, labels: [0, 2] }), /Image 2 has the label 2/);
  assert.throws(() => computeScores({ ...good, probabilities: [NaN, 0.5] }), /probability NaN/);
  assert.throws(() => computeScores({ ...good, groups: ["a"] }), DataError);
});

const predictions = fc.array(
  fc.tuple(fc.constantFrom(0, 1), fc.constantFrom(0, 0.1, 0.25, 0.5, 0.75, 1)),
  { minLength: 2, maxLength: 30 },
);

function score(rows: (readonly [label: number, probability: number])[]) {
  const [labels, probabilities] = [rows.map(([label]) => label), rows.map(([, p]) => p)];
  const predicted = probabilities.map((p) => p >= 0.5 ? 1 : 0);
  return computeScores({ labels, probabilities, predicted, seed: 1 });
}

Deno.test("computeScores() has the same for another order, and AUC 1 - AUC turned round", () => {
  fc.assert(
    fc.property(predictions, (rows) => {
      const [forward, backward] = [score(rows), score(rows.toReversed())];
      for (const name of Object.keys(forward) as ScoreName[]) {
        assertClose(forward[name].value, backward[name].value, name);
      }
      const turned = score(rows.map(([label, p]) => [label, 1 - p])).roc_auc.value;
      const auc = forward.roc_auc.value;
      assertClose(turned, auc === null ? null : 1 - auc, "AUC");
    }),
    { seed: 1, numRuns: 60 },
  );
});

Deno.test("confusionMatrix() counts the four outcomes, weighted where asked", () => {
  const [labels, predicted] = [[1, 1, 0, 0, 0], [1, 0, 1, 0, 0]];
  const counts = (weights?: number[]) => {
    const m = confusionMatrix(labels, predicted, weights);
    return [m.truePositive, m.falsePositive, m.trueNegative, m.falseNegative];
  };
  assert.deepEqual(counts(), [1, 1, 2, 1]);
  assert.deepEqual(counts([2, 0, 1, 3, 0]), [2, 1, 3, 0]);
});

Deno.test("mcc() is exact on counts whose product passes 2^53", () => {
  const m = { truePositive: 9e5, falsePositive: 1e5, trueNegative: 8e5, falseNegative: 2e5 };
  const expected = (9 * 8 - 1 * 2) / Math.sqrt(10 * 11 * 9 * 10); // the same ratios, small
  assert.ok(Math.abs(mcc(m)! - expected) < 1e-12);
});

Deno.test("groupScores() counts each group by itself and puts the surely worst first", () => {
  const groups = [...Array(20).fill("half right"), "one wrong", ...Array(4).fill("all right")];
  const labels = [...Array(10).fill(0), ...Array(10).fill(1), 1, 0, 0, 0, 0];
  const predicted = [...Array(20).fill(1), 0, 0, 0, 0, 0];
  const scores = groupScores({ labels, predicted, groups });
  assert.deepEqual(scores.map(({ group }) => group), ["half right", "one wrong", "all right"]);
  const [half, one, all] = scores;
  assert.deepEqual(half!.specificity, { right: 0, of: 10, value: 0, ...wilson(0, 10) });
  assert.deepEqual(half!.sensitivity, { right: 10, of: 10, value: 1, ...wilson(10, 10) });
  assert.deepEqual(one!.specificity, { right: 0, of: 0, value: null, low: null, high: null });
  assert.deepEqual(all!.accuracy, { right: 4, of: 4, value: 1, ...wilson(4, 4) });
});
