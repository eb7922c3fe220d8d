import fc from "fast-check";
import assert from "node:assert/strict";
import { parseConfig } from "../../lib/core/config.ts";
import { createRandom } from "../../lib/core/random.ts";
import {
  calibrationFolds,
  type CalibrationSample,
  chooseCalibration,
} from "../../lib/metrics/calibration.ts";
import { fitDecision } from "../../lib/metrics/decision.ts";
import { chooseThreshold, cuts } from "../../lib/metrics/threshold.ts";
import { decisionSchema } from "../../lib/run/decision.ts";

const CLASSES = ["negative", "positive"];

const sigmoid = (logit: number) => 1 / (1 + Math.exp(-logit));

/** Images whose true log odds are `slope` times what the model says, plus `intercept`. */
function sampleOf(n: number, { slope = 1, intercept = 0, images = 1 } = {}): CalibrationSample {
  const random = createRandom(`${n} ${slope} ${intercept}`);
  const logits = Array.from({ length: n }, () => 3 * random.normal());
  return {
    probabilities: logits.map((logit) => [1 - sigmoid(logit), sigmoid(logit)]),
    labels: logits.map((logit) => Number(random.next() < sigmoid(slope * logit + intercept))),
    groups: logits.map((_, i) => `patient ${Math.floor(i / images)}`),
    classes: CLASSES,
    seed: 1,
  };
}

Deno.test("chooseCalibration() takes what lowers the log loss of images it was not fitted on", () => {
  const overconfident = chooseCalibration(sampleOf(2000, { slope: 0.4, images: 3 }), "auto");
  assert.notEqual(overconfident.calibration.method, "none");
  assert.ok(Math.abs(overconfident.calibration.slope - 0.4) < 0.05);
  assert.ok(Math.abs(overconfident.calibration.intercept) < 0.2);
  const { before, after, outOfFold } = overconfident.logLoss;
  assert.ok(outOfFold && after < before - 0.1, `${before} ${after}`);

  const biased = chooseCalibration(sampleOf(2000, { intercept: -2 }), "auto");
  assert.equal(biased.calibration.method, "platt");
  assert.ok(Math.abs(biased.calibration.slope - 1) < 0.15);
  assert.ok(Math.abs(biased.calibration.intercept + 2) < 0.25);
  assert.match(biased.reason, /^The calibration platt .*none \d\.\d+, temperature .*, platt 0\.\d/);

  const perfect = sampleOf(100, { slope: 1000 }); // no calibration can better it
  const sure = { ...perfect, probabilities: perfect.labels.map((l) => [1 - l, l]) };
  const { calibration, reason, logLoss } = chooseCalibration(sure, "auto");
  assert.deepEqual(calibration, { method: "none", slope: 1, intercept: 0 });
  assert.match(reason, /^No calibration lowers the log loss/);
  assert.equal(logLoss.after, logLoss.before);
});

Deno.test("chooseCalibration() says why there is none", () => {
  const sample = sampleOf(200);
  type Setting = "auto" | "platt" | "none";
  const none = (change: Partial<CalibrationSample>, setting: Setting = "auto") => {
    const { calibration, reason } = chooseCalibration({ ...sample, ...change }, setting);
    assert.equal(calibration.method, "none");
    return reason;
  };
  assert.match(none({}, "none"), /None was asked for/);
  const absent = { labels: sample.labels.map(() => 0) };
  assert.match(none(absent), /of the class positive there are 0 .* 10 are needed/);
  assert.match(none(absent, "platt"), /there are 0 validation images, and 1 are needed/);
  let rare = 0;
  const nine = { labels: sample.labels.map((label) => label === 1 && rare++ < 9 ? 1 : 0) };
  assert.match(none(nine), /of the class positive there are 9/);
  const groups = sample.labels.map((label, i) => label === 1 ? "one" : `${i}`);
  assert.match(none({ groups }), /class positive all come from one group/);
  const constant = { probabilities: sample.labels.map(() => [0.7, 0.3]) };
  assert.match(none(constant, "platt"), /all validation images have the same probabilities/);
  const probabilities = sample.labels.map((label) => [0.1 + 0.8 * label, 0.9 - 0.8 * label]);
  assert.match(
    none({ probabilities }),
    /temperature not possible \(the slope that fits best would turn/,
  );
});

Deno.test("calibrationFolds() divides no group and has every class in and outside of a fold", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(1), fc.nat(7)), { maxLength: 60 }),
      fc.nat(5),
      (images, seed) => {
        const labels = images.map(([label]) => label);
        const groups = images.map(([, group]) => `g${group}`);
        const sample = { labels, groups, classes: CLASSES, seed };
        const result = calibrationFolds(sample);
        const groupsOf = (k: number) => new Set(groups.filter((_, i) => labels[i] === k)).size;
        const least = Math.min(groupsOf(0), groupsOf(1));
        if (least < 2) return assert.ok("reason" in result);
        if ("reason" in result) return assert.match(result.reason, /cannot be divided/);
        assert.ok(result.folds <= Math.min(5, least));
        const foldOfGroup = new Map(groups.map((group, i) => [group, result.foldOf[i]]));
        groups.forEach((group, i) => assert.equal(result.foldOf[i], foldOfGroup.get(group)));
        for (const k of CLASSES.keys()) {
          assert.ok(new Set(result.foldOf.filter((_, i) => labels[i] === k)).size > 1);
        }
        assert.deepEqual(calibrationFolds(sample), result);
      },
    ),
    { seed: 1, numRuns: 200 },
  );
});

const rules = { ...parseConfig({}).metrics.threshold, rule: "youden" as const };

Deno.test("cuts() lie between scores, never on one, and divide no tie", () => {
  const any = fc.double({ min: 0, max: 1, noNaN: true });
  const score = fc.oneof(fc.constantFrom(0, 0.25, 0.5, 1), any);
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(1), score), { minLength: 1, maxLength: 20 }), (images) => {
      const [labels, probabilities] = [images.map(([l]) => l), images.map(([, p]) => p)];
      const all = cuts(labels, probabilities);
      const distinct = new Set(probabilities.map((p) => p + 0)); // -0 is 0
      assert.equal(all.length, distinct.size + (distinct.has(1) ? 0 : 1));
      for (const { threshold, truePositives, falsePositives, gap } of all) {
        const called = labels.filter((_, i) => probabilities[i]! >= threshold);
        const positives = called.reduce((sum, label) => sum + label, 0);
        assert.deepEqual([truePositives, falsePositives], [positives, called.length - positives]);
        if (gap > 1e-9 && threshold > 0) assert.ok(!distinct.has(threshold));
      }
    }),
    { seed: 1, numRuns: 300 },
  );
});

Deno.test("chooseThreshold() of equally good thresholds takes the one in the widest gap", () => {
  const labels = [0, 0, 1, 0, 1, 1];
  const probabilities = [0.1, 0.2, 0.3, 0.7, 0.8, 0.9];
  // 0.25 finds all three with one false alarm; 0.75 finds two with none: J = 2/3 for both
  const { threshold, reason } = chooseThreshold({ labels, probabilities }, rules);
  assert.ok(Math.abs(threshold - 0.25) < 1e-12); // gaps of 0.1 both: the lower one
  assert.match(reason, /0\.2500 .*Youden\) .*3 of 3 positive .* 1 false alarms among 3 negative/);
  const wider = { labels, probabilities: [0.1, 0.2, 0.3, 0.6, 0.8, 0.9] };
  assert.ok(Math.abs(chooseThreshold(wider, rules).threshold - 0.7) < 1e-12);
});

Deno.test("chooseThreshold() stays at 0.5 where there is nothing to choose by", () => {
  const stays = (labels: number[], probabilities: number[], words: RegExp) => {
    const { threshold, rule, reason } = chooseThreshold({ labels, probabilities }, rules);
    assert.deepEqual([threshold, rule], [0.5, "default"]);
    assert.match(reason, words);
  };
  stays([0, 0], [0.1, 0.2], /no validation image is of the positive class/);
  stays([1], [0.1], /no validation image is of the negative class/);
  stays([0, 1, 0, 1], [0.3, 0.3, 0.3, 0.3], /none is better than chance/);
  stays([1, 0], [0.3, 0.6], /none is better than chance/);
  // where errors are weighed, the answer that costs least may be the same for all images
  const costs = { ...rules, rule: "costs" as const };
  const useless = chooseThreshold({ labels: [1, 0, 0], probabilities: [0.3, 0.6, 0.6] }, costs);
  assert.deepEqual([useless.rule, useless.threshold > 0.6], ["costs", true]);
});

Deno.test("fitDecision() gives a card's decision for useless models too, with no claim in it", () => {
  const labels = Array.from({ length: 100 }, (_, i) => Number(i % 5 === 0));
  const rest = { labels, groups: labels.map((_, i) => `${i}`), classes: CLASSES, seed: 1 };
  const youden = parseConfig({ metrics: { threshold: { rule: "youden" } } });
  const constant = fitDecision({ ...rest, probabilities: labels.map(() => [0.8, 0.2]) }, youden);
  assert.deepEqual(constant.decision, {
    calibration: { method: "none", slope: 1, intercept: 0 },
    threshold: 0.5,
    rule: "default",
    testTimeAugmentation: false,
    acceptBand: null,
    validation: {
      ...{ truePositives: 0, falsePositives: 0, trueNegatives: 80, falseNegatives: 20 },
      scores: { positives: Array(20).fill(-1.3863), negatives: Array(80).fill(-1.3863) },
    },
  });
  const random = createRandom("useless");
  const probabilities = labels.map(() => random.next()).map((p) => [1 - p, p]);
  const useless = fitDecision({ ...rest, probabilities }, parseConfig({}));
  assert.equal(useless.decision.acceptBand, null);
  assert.deepEqual(decisionSchema.parse(useless.decision), useless.decision);
});

Deno.test("fitDecision() stores at most 256 scores of a class, spread as all of them are", () => {
  const sample = sampleOf(3000, { slope: 1, intercept: 0 });
  const { decision, calibrated, labels } = fitDecision(sample, parseConfig({}));
  const { positives } = decision.validation!.scores!;
  const all = calibrated.filter((_, i) => labels[i] === 1).map((p) => Math.log(p / (1 - p)))
    .sort((a, b) => a - b);
  assert.ok(all.length > 1000);
  assert.equal(positives.length, 256);
  for (const part of [0.1, 0.5, 0.9]) {
    const [own, expected] = [positives, all].map((x) => x[Math.floor(part * x.length)]!);
    assert.ok(Math.abs(own! - expected!) < 0.05, `${part}: ${own}, ${expected}`);
  }
  const one = fitDecision({ ...sample, labels: sample.labels.map(() => 0) }, parseConfig({}));
  assert.equal(one.decision.validation!.scores, null, "of one class alone there are none");
});

Deno.test("fitDecision() orders images as the model does, whatever it chooses", () => {
  const sample = sampleOf(300, { slope: 0.5, intercept: 1 });
  const raw = sample.probabilities.map(([, positive]) => positive!);
  for (const calibration of ["auto", "none", "temperature", "platt"] as const) {
    for (const rule of ["default", "youden", "sensitivity", "costs"] as const) {
      const settings = parseConfig({ metrics: { calibration, threshold: { rule } } });
      const { decision, calibrated, labels } = fitDecision(sample, settings);
      decisionSchema.parse(decision);
      assert.equal(decision.rule, rule);
      if (calibration !== "auto") assert.equal(decision.calibration.method, calibration);
      const byRaw = [...raw.keys()].sort((a, b) => raw[a]! - raw[b]!);
      byRaw.slice(1).forEach((image, at) =>
        assert.ok(calibrated[image]! >= calibrated[byRaw[at]!]! - 1e-12)
      );
      const { truePositives, falseNegatives } = decision.validation!;
      assert.equal(truePositives + falseNegatives, labels.filter((label) => label === 1).length);
    }
  }
});

Deno.test("fitDecision() has no threshold to choose for three classes, but calibrates them", () => {
  const random = createRandom("three");
  const labels = Array.from({ length: 600 }, (_, i) => i % 3);
  const probabilities = labels.map((label) => {
    // four times as sure as it should be
    const powers = [0, 1, 2].map((k) => Math.exp(4 * (Number(k === label) + random.normal())));
    const sum = powers.reduce((total, power) => total + power, 0);
    return powers.map((power) => power / sum);
  });
  const classes = ["normal", "segmental", "global"];
  const groups = labels.map((_, i) => `${i}`);
  const sample = { probabilities, labels, groups, classes, seed: 1 };
  const { decision, reasons, logLoss, labels: positive } = fitDecision(sample, parseConfig({}));
  assert.deepEqual([decision.threshold, decision.rule], [0.5, "default"]);
  assert.match(reasons.threshold, /of three classes or more the most probable one/);
  assert.ok(Math.abs(decision.calibration.slope - 0.25) < 0.05);
  assert.ok(logLoss.after < logLoss.before - 0.5);
  assert.equal(positive.filter((label) => label === 1).length, 200);
});
