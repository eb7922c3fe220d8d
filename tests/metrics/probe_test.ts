import assert from "node:assert/strict";
import { join } from "node:path";
import { createRandom } from "../../lib/core/random.ts";
import { rocAuc } from "../../lib/core/stats.ts";
import { fitProbe, probeLogOdds, STRENGTHS } from "../../lib/metrics/logistic.ts";
import { compareWithProbe } from "../../lib/metrics/probe.ts";
import { describeProbe } from "../../lib/run/metrics_file.ts";
import { askPython } from "../ask_python.ts";
import { predictionsFrom } from "../show/predictions.ts";

/** Images whose first feature tells the class, more or less; the last is the same for all. */
function sampleOf(n: number, channels: number, { share = 0.4, skill = 1 } = {}) {
  const random = createRandom(`${n} ${channels}`);
  const labels = Array.from({ length: n }, (_, i) => i < share * n ? 1 : 0);
  const features = labels.map((label) =>
    Float32Array.from(
      { length: channels },
      (_, k) =>
        k === channels - 1 ? 0.3 : (k + 1) * (random.normal() + (k < 3 ? skill * label : 5)),
    )
  );
  return { labels, features, groups: labels.map((_, i) => `slide ${i % 7}`) };
}

type Fit = { weights: number[]; intercept: number; logOdds: number[] };

Deno.test("fitProbe() fits what scikit-learn's LogisticRegression does, in the same order", async () => {
  const cases = ([[60, 150], [300, 20], [40, 400]] as const).flatMap(([n, channels]) =>
    [1000, 30, 0.5].map((l2, i) => {
      return { ...sampleOf(n, channels, { share: [0.5, 0.1, 0.7][i]!, skill: i }), l2 };
    })
  );
  const request = cases.map(({ features, ...rest }) => {
    return { ...rest, features: features.map((row) => [...row]) };
  });
  const fits = await askPython(join(import.meta.dirname!, "probe_oracle.py"), request) as Fit[];
  for (const [i, { features, labels, groups, l2 }] of cases.entries()) {
    const probe = fitProbe(features, labels, groups, 1, [l2]);
    const fit = fits[i]!;
    const size = Math.max(...fit.weights.map(Math.abs));
    const near = (own: number, other: number, scale: number) =>
      assert.ok(Math.abs(own - other) <= 1e-5 * scale, `case ${i}: ${own} and ${other}`);
    fit.weights.forEach((weight, k) => near(probe.weights[k]!, weight, size));
    near(probe.intercept, fit.intercept, 1 + Math.abs(fit.intercept));
    const logOdds = features.map((row) => probeLogOdds(probe, row));
    const ranks = (values: number[]) => [...values.keys()].sort((a, b) => values[a]! - values[b]!);
    fit.logOdds.forEach((value, k) => near(logOdds[k]!, value, 1 + Math.abs(value)));
    assert.deepEqual(ranks(logOdds), ranks(fit.logOdds));
  }
});

Deno.test("fitProbe() chooses its strength on groups that it was not fitted on", () => {
  const random = createRandom("groups");
  const labels = Array.from({ length: 120 }, (_, i) => Math.floor(i / 12) % 2);
  const groups = labels.map((_, i) => `slide ${Math.floor(i / 12)}`);
  const marks = new Map(groups.map((group) => [
    group,
    Array.from({ length: 30 }, () => random.normal()),
  ]));
  // the features tell the slide, and nothing about the class of another slide
  const features = groups.map((group) => marks.get(group)!.map((x) => x + 0.1 * random.normal()));
  const strength = (of: readonly string[]) => fitProbe(features, labels, of, 1).l2;
  assert.equal(strength(groups), STRENGTHS[0]);
  assert.equal(strength(labels.map((_, i) => `${i}`)), STRENGTHS.at(-1));
  const single = labels.map(() => "one slide");
  assert.equal(strength(single), 100, "there are no folds to choose by");
});

Deno.test("fitProbe() takes the stronger strength when equal, and needs both classes", () => {
  const labels = [0, 1, 0, 1, 0, 1, 0, 1];
  const same = labels.map(() => [1, 2]);
  const groups = labels.map((_, i) => `${i}`);
  const { l2, weights, intercept } = fitProbe(same, labels, groups, 1);
  assert.deepEqual([l2, [...weights]], [STRENGTHS[0], [0, 0]]);
  assert.ok(Math.abs(intercept) < 1e-6);
  assert.throws(() => fitProbe(same, labels.map(() => 1), groups, 1), { name: "DataError" });
});

const sample = {
  labels: [1, 1, 1, 1, 0, 0, 0, 0],
  probabilities: [0.9, 0.8, 0.7, 0.4, 0.6, 0.3, 0.2, 0.1],
  groups: ["a", "b", "c", "d", "a", "b", "c", "d"],
};

/** A probe's log odds by the path of each image. */
const logOddsOf = (probabilities: readonly number[]) =>
  new Map(probabilities.map((p, i) => [`${i}.png`, Math.log(p / (1 - p))]));

Deno.test("compareWithProbe() scores both on the same images, at the thresholds of each", () => {
  const weaker = [0.9, 0.2, 0.7, 0.45, 0.6, 0.3, 0.25, 0.1];
  const predictions = predictionsFrom({ ...sample, threshold: 0.4 });
  const scores = compareWithProbe(predictions, { l2: [10], logOdds: logOddsOf(weaker) });
  assert.ok("gains" in scores);
  const gain = rocAuc(sample.labels, sample.probabilities)! - rocAuc(sample.labels, weaker)!;
  assert.ok(Math.abs(scores.gains.roc_auc.value! - gain) < 1e-12);
  assert.deepEqual([scores.images, scores.scores.accuracy], [8, 5 / 8]);
  assert.equal(scores.gains.accuracy.value, 7 / 8 - 5 / 8);
  const { low, high } = scores.gains.accuracy;
  assert.ok(low! <= 0 && high! >= 1 / 4 && high! <= 1);

  const none = compareWithProbe(predictions, {
    l2: [10],
    logOdds: logOddsOf(sample.probabilities),
  });
  assert.ok("gains" in none);
  assert.equal(none.gains.roc_auc.value, 0);
  assert.match(none.gains.roc_auc.reason!, /the same value/);
  const some = new Map([...logOddsOf(weaker)].slice(0, 6));
  const fewer = compareWithProbe(predictions, { l2: [10], logOdds: some });
  assert.ok("gains" in fewer && fewer.images === 6);
  assert.deepEqual(compareWithProbe(predictions, { l2: [10], logOdds: new Map() }), {
    reason: "it has predicted no image.",
  });
});

Deno.test("describeProbe() says of a gain whether it is shown, and what is missing", () => {
  const random = createRandom("gain");
  const labels = Array.from({ length: 200 }, (_, i) => i % 2);
  const draw = (skill: number) =>
    labels.map((label) => 1 / (1 + Math.exp(-skill * (label - 0.5) - random.normal())));
  const [good, bad] = [draw(6), draw(1)];
  const said = (model: number[], probe: number[]) =>
    describeProbe(compareWithProbe(
      predictionsFrom({ labels, probabilities: model }),
      { l2: [10], logOdds: logOddsOf(probe) },
    ));
  const gain = said(good, bad);
  assert.equal(gain.isBeaten, true);
  assert.match(
    gain.text,
    /^Fine-tuning gains 0\.\d{3} in ROC-AUC \(95 % confidence interval 0\.\d/,
  );
  const loss = said(bad, good);
  assert.equal(loss.isBeaten, false);
  assert.match(loss.text, /^Fine-tuning loses against a linear probe: −0\.\d{3} in ROC-AUC/);
  const equal = said(good, good.map((p, i) => i % 7 === 0 ? p * 0.99 : p));
  assert.equal(equal.isBeaten, false);
  assert.match(equal.text, /^It is not shown that fine-tuning gains over .*model\.unfreezeLast: 0/);
  assert.match(describeProbe({ reason: "No weights." }).text, /no linear probe.*: No weights\.$/);
});
