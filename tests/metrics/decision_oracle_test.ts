import assert from "node:assert/strict";
import { join } from "node:path";
import { parseConfig } from "../../lib/core/config.ts";
import { fitCalibration } from "../../lib/metrics/calibration.ts";
import { chooseAcceptBand, chooseThreshold, mostErrors } from "../../lib/metrics/threshold.ts";
import { calibrate, type Decision } from "../../lib/run/model_card.ts";
import { askPython } from "../ask_python.ts";
import { bandCases, type FitCase, fitCases, thresholdCases } from "./decision_cases.ts";

interface Fitted {
  slope: number;
  intercept: number;
  loss: number;
  sklearn: [number, number] | null;
}

interface Answers {
  fits: Record<"temperature" | "platt", Fitted>[];
  thresholds: {
    youden: number;
    falsePositives: number;
    truePositives: number;
    costs: number;
  }[];
  bands: number[];
  limits: number[][];
}

const fits = fitCases(400);

const thresholds = thresholdCases(300);

const bands = bandCases(150);

const limits = [{ rate: 0.02, most: 400 }, { rate: 0.05, most: 200 }, { rate: 0.4, most: 50 }];

const request = { fits, thresholds, bands, limits };

const answers = await askPython(
  join(import.meta.dirname!, "decision_oracle.py"),
  request,
) as Answers;

function smoothedLoss({ rows, labels }: FitCase, calibration: Decision["calibration"]): number {
  const classes = rows[0]!.length;
  const counts = rows[0]!.map((_, k) => labels.filter((label) => label === k).length);
  const total = labels.reduce((sum, label, i) => {
    const n = counts[label]!;
    return sum - calibrate(rows[i]!, calibration).reduce(
      (inner, q, k) => inner + (k === label ? n + 1 : 1) / (n + classes) * Math.log(q),
      0,
    );
  }, 0);
  return total / labels.length;
}

Deno.test("fitCalibration() finds the minimum that scipy and scikit-learn find, on 400 cases", () => {
  const seen = { fitted: 0, refused: 0, sklearn: 0 };
  fits.forEach((item, i) => {
    for (const method of ["temperature", "platt"] as const) {
      const answer = answers.fits[i]![method];
      const what = `${method} of case ${i}, ${JSON.stringify(answer)}`;
      const { calibration, reason } = fitCalibration(
        { probabilities: item.rows, labels: item.labels },
        method,
      );
      if (calibration === null) {
        assert.match(reason, /would turn the answers round/, what);
        assert.ok(answer.slope < 1e-6, what);
        seen.refused++;
        continue;
      }
      seen.fitted++;
      const loss = smoothedLoss(item, calibration);
      assert.ok(loss <= answer.loss + 1e-12, `${loss} of ${what}`);
      assert.ok(loss >= answer.loss - 1e-9, `${loss} of ${what}`);
      const { slope, intercept } = calibration;
      assert.ok(Math.abs(slope - answer.slope) < 1e-5 * (1 + slope), `${slope} of ${what}`);
      assert.ok(
        Math.abs(intercept - answer.intercept) < 1e-5 * (1 + Math.abs(intercept)),
        `${intercept} of ${what}`,
      );
      if (answer.sklearn === null) continue;
      const [a, b] = answer.sklearn; // it stops at a gradient of 1e-6
      const theirs = { method, slope: a, intercept: b };
      assert.ok(loss <= smoothedLoss(item, theirs) + 1e-12, what);
      assert.ok(Math.abs(slope - a) < 2e-3 * (1 + slope), `${slope} of ${what}`);
      seen.sklearn++;
    }
  });
  assert.ok(seen.fitted > 500 && seen.refused > 50 && seen.sklearn > 200, JSON.stringify(seen));
});

Deno.test("chooseThreshold() reaches the best that any threshold reaches, on 300 cases", () => {
  const defaults = parseConfig({}).metrics.threshold;
  thresholds.forEach((item, i) => {
    const { labels, probabilities, ...wanted } = item;
    const best = answers.thresholds[i]!;
    const what = JSON.stringify(item).slice(0, 300);
    const counts = (rule: typeof defaults.rule) => {
      const chosen = chooseThreshold({ labels, probabilities }, { ...defaults, ...wanted, rule });
      const called = labels.filter((_, k) => probabilities[k]! >= chosen.threshold);
      const tp = called.reduce((sum, label) => sum + label, 0);
      return { ...chosen, tp, fp: called.length - tp };
    };
    const positives = labels.reduce((sum, label) => sum + label, 0);
    const negatives = labels.length - positives;

    const youden = counts("youden");
    if (best.youden < 1e-9) assert.deepEqual([youden.rule, youden.threshold], ["default", 0.5]);
    else {
      assert.equal(youden.rule, "youden");
      const value = youden.tp / positives - youden.fp / negatives;
      assert.ok(Math.abs(value - best.youden) < 1e-9, what);
    }
    const sensitivity = counts("sensitivity");
    assert.equal(sensitivity.fp, best.falsePositives, what);
    assert.equal(sensitivity.tp, best.truePositives, what);
    const { tp, fp } = counts("costs");
    const cost = wanted.falseNegativeCost * (positives - tp) + wanted.falsePositiveCost * fp;
    // no threshold leaves out an image that scores 1
    const ones = labels.filter((_, k) => probabilities[k] === 1);
    if (ones.length === 0) assert.ok(Math.abs(cost - best.costs) < 1e-9 * (1 + cost), what);
    else assert.ok(cost >= best.costs - 1e-9 * (1 + cost), what);
  });
});

Deno.test("chooseAcceptBand() accepts as many images as any band may, on 150 cases", () => {
  let found = 0;
  bands.forEach(({ errorRate, ...sample }, i) => {
    const { acceptBand } = chooseAcceptBand(sample, errorRate);
    const what = JSON.stringify(sample).slice(0, 300);
    assert.equal(acceptBand === null, answers.bands[i] === 0, what);
    if (acceptBand === null) return;
    const { low, high } = acceptBand;
    const accepted = sample.probabilities.filter((p) => p <= low || p >= high);
    assert.ok(low < sample.threshold && sample.threshold <= high, `${low} ${high} of ${what}`);
    assert.equal(accepted.length, answers.bands[i], what);
    found++;
  });
  assert.ok(found > 30 && found < 140, String(found));
});

Deno.test("mostErrors() agrees with scipy's exact bound", () => {
  limits.forEach(({ rate, most }, i) =>
    assert.deepEqual([...mostErrors(most, rate)].slice(1), answers.limits[i])
  );
});
