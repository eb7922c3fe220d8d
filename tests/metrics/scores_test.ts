import assert from "node:assert/strict";
import fc from "fast-check";
import { DataError } from "../../lib/core/errors.ts";
import { createRandom } from "../../lib/core/random.ts";
import type { ScoreName } from "../../lib/core/words.ts";
import { betterThanBaseline } from "../../lib/metrics/baseline.ts";
import { precisionRecallCurve, rocCurve } from "../../lib/metrics/curves.ts";
import { wilson } from "../../lib/metrics/intervals.ts";
import { countConfusions } from "../../lib/metrics/rates.ts";
import { computeScores } from "../../lib/metrics/scores.ts";
import { askOracle, type Case, type ConfusionCase, type IntervalCase } from "./oracle.ts";

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
  const confusions = Array.from({ length: 60 }, (_, i): ConfusionCase => {
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
    assert.equal(roc === null, answer.roc === null);
    if (roc && answer.roc) {
      assertAllClose(roc.falsePositiveRate, answer.roc[0]!, `fpr of ${what}`);
      assertAllClose(roc.truePositiveRate, answer.roc[1]!, `tpr of ${what}`);
      assertAllClose(roc.thresholds, answer.roc[2]!, `ROC thresholds of ${what}`);
    }
    const pr = precisionRecallCurve(item.labels, item.probabilities);
    assert.equal(pr === null, answer.pr === null);
    if (pr && answer.pr) {
      assertAllClose(pr.precision, answer.pr[0]!, `precision of ${what}`);
      assertAllClose(pr.recall, answer.pr[1]!, `recall of ${what}`);
      assertAllClose(pr.thresholds, answer.pr[2]!, `PR thresholds of ${what}`);
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
    "average_precision",
    "log_loss",
  ];
  const intervals: IntervalCase[] = [
    { n: 120, grouped: false },
    { n: 60, grouped: false },
    { n: 120, grouped: true },
  ].map(({ n, grouped }) => {
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

Deno.test("computeScores() has null with a reason, never 0, where a class is absent", () => {
  const scores = computeScores({
    labels: [0, 0, 0],
    probabilities: [0.1, 0.2, 0.3],
    predicted: [0, 0, 0],
    seed: 1,
  });
  assert.equal(scores.roc_auc.value, null);
  assert.equal(
    scores.roc_auc.reason,
    "no image is of the positive class; no baseline: no image is of the positive class",
  );
  assert.equal(scores.sensitivity.value, null);
  assert.equal(scores.sensitivity.n, 0);
  assert.match(scores.precision.reason!, /^no image is predicted to be of the positive class/);
  assert.equal(scores.specificity.value, 1);
});

Deno.test("computeScores() of no images is undefined throughout", () => {
  const scores = computeScores({ labels: [], probabilities: [], predicted: [], seed: 1 });
  for (const score of Object.values(scores)) {
    assert.equal(score.value, null);
    assert.equal(score.baseline, null);
    assert.equal(score.reason, "there are no images");
  }
});

Deno.test("computeScores() resamples whole groups, and keeps a share's interval wide", () => {
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
});

Deno.test("computeScores() has no interval when all images are of one group", () => {
  const scores = computeScores({
    labels: [0, 1, 0, 1],
    probabilities: [0.2, 0.6, 0.7, 0.9],
    predicted: [0, 1, 1, 1],
    groups: ["a", "a", "a", "a"],
    seed: 1,
  });
  assert.equal(scores.accuracy.low, null);
  assert.match(scores.accuracy.reason!, /one group/);
});

Deno.test("computeScores() is the same for the same seed", () => {
  const [item] = randomCases(40).filter((each) => each.labels.length > 60);
  assert.deepEqual(computeScores({ ...item!, seed: 3 }), computeScores({ ...item!, seed: 3 }));
});

Deno.test("computeScores() refuses what cannot be scored", () => {
  const good = { labels: [0, 1], probabilities: [0.1, 0.9], predicted: [0, 1], seed: 1 };
  assert.throws(() => computeScores({ ...good, predicted: [0] }), DataError);
  assert.throws(() => computeScores({ ...good, labels: [0, 2] }), /Image 2 has the label 2/);
  assert.throws(() => computeScores({ ...good, probabilities: [NaN, 0.5] }), /probability NaN/);
  assert.throws(() => computeScores({ ...good, groups: ["a"] }), DataError);
});

const predictions = fc.array(
  fc.record({
    label: fc.constantFrom(0, 1),
    probability: fc.constantFrom(0, 0.1, 0.25, 0.5, 0.75, 1),
  }),
  { minLength: 2, maxLength: 30 },
);

Deno.test("computeScores() does not depend on the order of the images", () => {
  const score = (rows: { label: number; probability: number }[]) =>
    computeScores({
      labels: rows.map((row) => row.label),
      probabilities: rows.map((row) => row.probability),
      predicted: rows.map((row) => row.probability >= 0.5 ? 1 : 0),
      seed: 1,
    });
  fc.assert(
    fc.property(predictions, (rows) => {
      const [forward, backward] = [score(rows), score(rows.toReversed())];
      for (const name of Object.keys(forward) as ScoreName[]) {
        assertClose(forward[name].value, backward[name].value, name);
      }
    }),
    { seed: 1, numRuns: 60 },
  );
});

Deno.test("computeScores() has AUC 1 - AUC when the probabilities are turned round", () => {
  fc.assert(
    fc.property(predictions, (rows) => {
      const labels = rows.map((row) => row.label);
      const auc = (probabilities: number[]) =>
        computeScores({ labels, probabilities, predicted: labels, seed: 1 }).roc_auc.value;
      const forward = auc(rows.map((row) => row.probability));
      const reverse = auc(rows.map((row) => 1 - row.probability));
      assertClose(reverse, forward === null ? null : 1 - forward, "AUC");
    }),
    { seed: 1, numRuns: 60 },
  );
});
