import { createRandom, type Random } from "../../lib/core/random.ts";

/** Predictions of two or three classes. */
export interface FitCase {
  rows: number[][];
  labels: number[];
}

/** Predictions that a threshold is chosen on; both classes are there. */
export interface ThresholdCase {
  labels: number[];
  probabilities: number[];
  sensitivity: number;
  falseNegativeCost: number;
  falsePositiveCost: number;
}

/** Predictions that an accept band is chosen on. */
export interface BandCase {
  probabilities: number[];
  right: boolean[];
  threshold: number;
  errorRate: number;
}

const softmax = (logits: number[]): number[] => {
  const powers = logits.map((logit) => Math.exp(logit - Math.max(...logits)));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => Math.fround(power / sum)); // as a model gives them
};

/** Models of every skill, over- and underconfident, biased, useless, perfect and upside down. */
export function fitCases(count: number): FitCase[] {
  const random = createRandom("calibration cases");
  return Array.from({ length: count }, (_, i) => {
    const classes = i % 4 === 3 ? 3 : 2;
    const n = classes + random.integer([4, 20, 120][random.integer(3)]!);
    const share = [0.1, 0.3, 0.5][random.integer(3)]!;
    const skill = [-1, 0, 0.5, 1, 3, 20][random.integer(6)]!;
    const sharpness = [0.1, 1, 4][random.integer(3)]!;
    const bias = [0, 0, 2, -3][random.integer(4)]!;
    const labels = Array.from(
      { length: n },
      (_, at) =>
        at < classes ? at : random.next() < share ? classes - 1 : random.integer(classes - 1),
    );
    const rows = labels.map((label) =>
      softmax(
        Array.from({ length: classes }, (_, k) =>
          sharpness * (skill * Number(k === label) + random.normal()) +
          (k === classes - 1 ? bias : 0)),
      )
    );
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
export function thresholdCases(count: number): ThresholdCase[] {
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

/** Answers that are mostly right where they are sure. */
export function bandCases(count: number): BandCase[] {
  const random = createRandom("band cases");
  return Array.from({ length: count }, () => {
    const n = random.integer([10, 60, 150][random.integer(3)]!);
    const labels = Array.from({ length: n }, () => random.integer(2));
    const probabilities = scores(random, labels);
    const threshold = [0.5, 0.3, 0.77][random.integer(3)]!;
    const right = probabilities.map((p, i) => (p >= threshold ? 1 : 0) === labels[i]);
    return { probabilities, right, threshold, errorRate: [0.05, 0.1, 0.2][random.integer(3)]! };
  });
}
