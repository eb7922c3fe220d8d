import assert from "node:assert/strict";
import { join } from "node:path";
import { parseConfig } from "../../lib/core/config.ts";
import { createRandom, type Random } from "../../lib/core/random.ts";
import { chanceOfWorse } from "../../lib/metrics/accept_band.ts";
import { fitCalibration } from "../../lib/metrics/calibration.ts";
import { chooseThreshold } from "../../lib/metrics/threshold.ts";
import { calibrate, type Decision } from "../../lib/run/decision.ts";
import { askPython } from "../ask_python.ts";

/** Predictions of two or three classes. */
interface FitCase {
  rows: number[][];
  labels: number[];
}

const softmax = (logits: number[]): number[] => {
  const powers = logits.map((logit) => Math.exp(logit - Math.max(...logits)));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => Math.fround(power / sum)); // as a model gives them
};

/** Models of every skill, over- and underconfident, biased, useless, perfect and upside down. */
function fitCases(count: number): FitCase[] {
  const random = createRandom("calibration cases");
  return Array.from({ length: count }, (_, i) => {
    const classes = i % 4 === 3 ? 3 : 2;
    const n = classes + random.integer([4, 20, 120][random.integer(3)]!);
    const share = [0.1, 0.3, 0.5][random.integer(3)]!;
    const skill = [-1, 0, 0.5, 1, 3, 20][random.integer(6)]!;
    const sharpness = [0.1, 1, 4][random.integer(3)]!;
    const bias = [0, 0, 2, -3][random.integer(4)]!;
    const last = classes - 1;
    const drawn = () => random.next() < share ? last : random.integer(last);
    const labels = Array.from({ length: n }, (_, at) => at < classes ? at : drawn());
    const rows = labels.map((label) => {
      const logit = (k: number) =>
        sharpness * (skill * Number(k === label) + random.normal()) + (k === last ? bias : 0);
      return softmax(Array.from({ length: classes }, (_, k) => logit(k)));
    });
    return { rows, labels };
  });
}

function scores(random: Random, labels: readonly number[]): number[] {
  const steps = [2, 5, 20, 1e6][random.integer(4)]!; // few steps: many ties, and 0 and 1
  const skill = [0, 0.3, 0.7, 1][random.integer(4)]!;
  return labels.map((label) =>
    Math.round((skill * label + (1 - skill) * random.next()) * steps) / steps
  );
}

/** Scores with ties and ends, of tiny sets and larger ones. */
function thresholdCases(count: number) {
  const random = createRandom("threshold cases");
  return Array.from({ length: count }, () => {
    const n = 2 + random.integer([3, 15, 100][random.integer(3)]!);
    const share = [0.1, 0.5, 0.8][random.integer(3)]!;
    const labels = Array.from({ length: n }, (_, i) => i < 2 ? i : Number(random.next() < share));
    return {
      labels,
      probabilities: scores(random, labels),
      sensitivity: [0.5, 0.8, 0.95, 1][random.integer(4)]!,
      falseNegativeCost: [1, 5, 0.2, 300][random.integer(4)]!,
      falsePositiveCost: [1, 3, 300][random.integer(3)]!,
    };
  });
}

/** Patients of few and many images, of whom most have no error. */
function chanceCases(count: number) {
  const random = createRandom("band cases");
  return Array.from({ length: count }, () => {
    const n = 5 + random.integer([2, 20, 200][random.integer(3)]!);
    const patients = Array.from({ length: n }, () => {
      const accepted = 1 + random.integer(9);
      return [accepted, random.next() < 0.9 ? 0 : random.integer(accepted + 1)] as const;
    });
    return { patients, rate: [0.05, 0.1, 0.3][random.integer(3)]! };
  });
}

interface Fitted {
  slope: number;
  intercept: number;
  loss: number;
  sklearn: [number, number] | null;
}

interface Answers {
  fits: Record<"temperature" | "platt", Fitted>[];
  thresholds: Record<"youden" | "falsePositives" | "truePositives" | "costs", number>[];
  chances: number[];
  limits: number[][];
}

const fits = fitCases(400);

const thresholds = thresholdCases(300);

const chances = chanceCases(150);

const limits = [{ rate: 0.02, most: 400 }, { rate: 0.05, most: 200 }, { rate: 0.4, most: 50 }];

const script = join(import.meta.dirname!, "decision_oracle.py");

const answers = await askPython(script, { fits, thresholds, chances, limits }) as Answers;

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
      const given = { probabilities: item.rows, labels: item.labels };
      const { calibration, reason } = fitCalibration(given, method);
      if (calibration === null) {
        assert.match(reason, /would turn the order/, what);
        assert.ok(answer.slope < 1e-6, what);
        seen.refused++;
        continue;
      }
      seen.fitted++;
      const loss = smoothedLoss(item, calibration);
      assert.ok(loss <= answer.loss + 1e-12, `${loss} of ${what}`);
      assert.ok(loss >= answer.loss - 1e-9, `${loss} of ${what}`);
      const { slope, intercept } = calibration;
      for (const [own, theirs] of [[slope, answer.slope], [intercept, answer.intercept]] as const) {
        assert.ok(Math.abs(own - theirs) < 1e-5 * (1 + Math.abs(own)), `${own} of ${what}`);
      }
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

const tallies = (patients: readonly (readonly [number, number])[]) =>
  patients.map(([accepted, wrong]) => ({ accepted, wrong }));

Deno.test("chanceOfWorse() is exact, on 150 cases", () => {
  chances.forEach(({ patients, rate }, i) => {
    const [own, expected] = [chanceOfWorse(tallies(patients), rate), answers.chances[i]!];
    assert.ok(Math.abs(own - expected) < 1e-7, `${own} ${expected} ${JSON.stringify(patients)}`);
    const twice = chanceOfWorse(tallies([...patients, ...patients]), rate);
    assert.ok(Math.abs(chanceOfWorse(tallies(patients), rate, 2) - twice) < 1e-7);
  });
  const small = answers.chances.filter((chance) => chance < 0.05).length;
  assert.ok(small > 10 && small < 140, String(small));
});

Deno.test("chanceOfWorse() of one image a patient is scipy's exact bound", () => {
  limits.forEach(({ rate, most }, i) => {
    for (let n = 5; n <= most; n++) {
      const shows = (wrong: number) => {
        const patients = Array.from({ length: n }, (_, at) => [1, Number(at < wrong)] as const);
        return chanceOfWorse(tallies(patients), rate) <= 0.05;
      };
      const limit = answers.limits[i]![n - 1]!;
      assert.deepEqual(
        [limit < 0 || shows(limit), shows(limit + 1)],
        [true, false],
        `${n} ${rate}`,
      );
    }
  });
});
