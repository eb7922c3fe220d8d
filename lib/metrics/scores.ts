import { DataError } from "../core/errors.ts";
import { rankByProbability, type Ranking, reverseRanking, rocAuc } from "../core/stats.ts";
import type { ScoreName } from "../core/words.ts";
import type { Interval, Score, Scores } from "../run/metrics_file.ts";
import { bootstrap, describeUnits, wilson } from "./intervals.ts";
import * as rates from "./rates.ts";
import {
  averagePrecision,
  brier,
  type ConfusionMatrix,
  confusionMatrix,
  expectedCalibrationError,
  kappa,
  logLoss,
  mcc,
  undefinedReason,
} from "./rates.ts";

/** Predictions to be scored, one entry an image in every array. */
export interface ScoredSample {
  /** True class: 0 or 1 (positive). */
  labels: readonly number[];
  /** Probability of the positive class, 0 to 1. */
  probabilities: readonly number[];
  /** Predicted class: 0 or 1, at the threshold in force. */
  predicted: readonly number[];
  /** Patient or slide; left out, or all different, when every image stands for itself. */
  groups?: readonly string[];
  /** Of the bootstrap. */
  seed: string | number;
}

/**
 * All scores of a set of predictions, each with a 95 % interval and beside the majority baseline.
 *
 * The baseline always predicts the class that is more frequent in these labels (the negative one
 * in a draw) and always gives the share of positive images as its probability: anything that does
 * not beat it has learnt nothing. Intervals: Wilson for shares of images, else a percentile
 * bootstrap of 2000 resamples. Where images share groups, whole groups are resampled for all
 * scores, and a share's interval is never narrower than Wilson's.
 *
 * @example
 * ```ts
 * const { sensitivity } = computeScores({ labels, probabilities, predicted, groups, seed: 42 });
 * ```
 * @throws {DataError} When the arrays differ in length or hold something that cannot be scored.
 */
export function computeScores(sample: ScoredSample): Scores {
  checkSample(sample);
  const { labels, seed } = sample;
  const n = labels.length;
  const prepared = prepareSample(sample);
  const ones = new Uint32Array(n).fill(1);
  const baselineSample = majorityBaseline(prepared.labels);
  const values = scoreValues(prepared, ones);
  const baseline = scoreValues(baselineSample, ones);
  const distinct = new Set(sample.groups).size;
  const groups = distinct === n ? undefined : sample.groups;
  const resampled = bootstrap((weights) => scoreValues(prepared, weights), { n, groups, seed });
  const matrix = confusionMatrix(prepared.labels, prepared.predicted);
  const baselineMatrix = confusionMatrix(prepared.labels, baselineSample.predicted);
  const entries = (Object.keys(values) as ScoreName[]).map((name) => {
    const share = shares(matrix)[name];
    const { method, low, high, reason } = values[name] === null
      ? { method: "none", low: null, high: null, reason: undefined }
      : interval(resampled[name], share, groups ? distinct : null);
    const reasons = [
      values[name] === null ? undefinedReason(name, matrix) : reason && `no interval: ${reason}`,
      baseline[name] === null && n > 0
        ? `no baseline: ${undefinedReason(name, baselineMatrix)}`
        : undefined,
    ].filter((text) => text !== undefined);
    const score: Score = {
      value: values[name],
      low,
      high,
      baseline: baseline[name],
      n: share ? share.of : n,
      method,
      ...(reasons.length > 0 ? { reason: reasons.join("; ") } : {}),
    };
    return [name, score] as const;
  });
  return Object.fromEntries(entries) as Scores;
}

/**
 * All scores of a set of predictions, as often as wanted: for resampling.
 *
 * @returns Every score when image i counts `weights[i]` times; `null` for undefined.
 * @throws {DataError} As {@linkcode computeScores}.
 */
export function weightedScores(
  sample: Omit<ScoredSample, "seed">,
): (weights: Uint32Array) => Record<ScoreName, number | null> {
  checkSample(sample);
  const prepared = prepareSample(sample);
  return (weights) => scoreValues(prepared, weights);
}

interface Prepared {
  labels: Uint8Array;
  predicted: Uint8Array;
  probabilities: Float64Array;
  ranking: Ranking;
  /** With the other side taken as the positive one. */
  reversed: { labels: Uint8Array; ranking: Ranking };
}

function prepareSample(
  { labels, predicted, probabilities }: Omit<ScoredSample, "seed">,
): Prepared {
  return prepare(
    Uint8Array.from(labels),
    Uint8Array.from(predicted),
    Float64Array.from(probabilities),
  );
}

function prepare(
  labels: Uint8Array,
  predicted: Uint8Array,
  probabilities: Float64Array,
): Prepared {
  const ranking = rankByProbability(probabilities);
  const reversed = { labels: labels.map((label) => 1 - label), ranking: reverseRanking(ranking) };
  return { labels, predicted, probabilities, ranking, reversed };
}

/** Every score when image i counts `weights[i]` times. */
function scoreValues(sample: Prepared, weights: Uint32Array): Record<ScoreName, number | null> {
  const { labels, predicted, probabilities, ranking } = sample;
  const matrix = confusionMatrix(labels, predicted, weights);
  const balanced = rates.balancedAccuracy(matrix);
  const auc = rocAuc(labels, probabilities, { ranking, weights });
  const ap = averagePrecision(labels, probabilities, { ranking, weights });
  const reversed = sample.reversed;
  const restAp = averagePrecision(reversed.labels, probabilities, {
    ranking: reversed.ranking,
    weights,
  });
  return {
    accuracy: rates.accuracy(matrix),
    balanced_accuracy: balanced,
    sensitivity: rates.sensitivity(matrix),
    specificity: rates.specificity(matrix),
    precision: rates.precision(matrix),
    f1: rates.f1(matrix),
    mcc: mcc(matrix),
    kappa: kappa(matrix),
    roc_auc: auc,
    average_precision: ap,
    brier: brier(labels, probabilities, weights),
    log_loss: logLoss(labels, probabilities, weights),
    ece: expectedCalibrationError(labels, probabilities, weights),
    macro_sensitivity: balanced, // the mean over both sides, and so is the specificity's
    macro_specificity: balanced,
    macro_precision: rates.macroPrecision(matrix),
    macro_f1: rates.macroF1(matrix),
    macro_roc_auc: auc, // either side's
    macro_average_precision: ap === null || restAp === null ? null : (ap + restAp) / 2,
  };
}

function majorityBaseline(labels: Uint8Array): Prepared {
  const positives = labels.reduce((sum, label) => sum + label, 0);
  const majority = 2 * positives > labels.length ? 1 : 0;
  const probabilities = new Float64Array(labels.length).fill(positives / labels.length);
  return prepare(labels, new Uint8Array(labels.length).fill(majority), probabilities);
}

/** The scores that are shares of images, as counts. */
function shares(m: ConfusionMatrix): { [name in ScoreName]?: { right: number; of: number } } {
  const right = m.truePositive + m.trueNegative;
  return {
    accuracy: { right, of: right + m.falsePositive + m.falseNegative },
    sensitivity: { right: m.truePositive, of: m.truePositive + m.falseNegative },
    specificity: { right: m.trueNegative, of: m.trueNegative + m.falsePositive },
    precision: { right: m.truePositive, of: m.truePositive + m.falsePositive },
  };
}

/**
 * The interval of one defined score. A bootstrap by group of a share that is 0 or 1 in every
 * group has no width, which would be a claim of certainty: Wilson's interval is its least width.
 */
function interval(
  resampled: Interval,
  share: { right: number; of: number } | undefined,
  groups: number | null,
): Interval & { method: string } {
  const wilsonInterval = share && wilson(share.right, share.of);
  if (wilsonInterval && groups === null) return { ...wilsonInterval, method: "Wilson" };
  const units = groups === null ? "images" : describeUnits(groups, true);
  const method = `percentile bootstrap, 2000 resamples of ${units}`;
  if (!wilsonInterval || groups === 1) return { ...resampled, method };
  return {
    low: Math.min(resampled.low ?? 1, wilsonInterval.low),
    high: Math.max(resampled.high ?? 0, wilsonInterval.high),
    method: `${method}, not narrower than Wilson`,
  };
}

function checkSample(
  { labels, probabilities, predicted, groups }: Omit<ScoredSample, "seed">,
): void {
  const remedy = "Run notebook 06 (metrics) again, so that the predictions are written anew.";
  const lengths = [probabilities.length, predicted.length, groups?.length ?? labels.length];
  if (lengths.some((length) => length !== labels.length)) {
    throw new DataError("Labels and predictions are not of the same images.", remedy);
  }
  const isClass = (value: number) => value === 0 || value === 1;
  const isProbability = (value: number) => value >= 0 && value <= 1; // false for NaN
  for (
    const [what, values, valid] of [
      ["label", labels, isClass],
      ["predicted class", predicted, isClass],
      ["probability", probabilities, isProbability],
    ] as const
  ) {
    const at = values.findIndex((value) => !valid(value));
    if (at >= 0) throw new DataError(`Image ${at + 1} has the ${what} ${values[at]}.`, remedy);
  }
}

/** A share of images with Wilson's 95 % interval; `null` where it is a share of none. */
export interface ScoredShare {
  right: number;
  of: number;
  value: number | null;
  low: number | null;
  high: number | null;
}

/** How one patient or slide fares. */
export interface GroupScores {
  group: string;
  n: number;
  accuracy: ScoredShare;
  sensitivity: ScoredShare;
  specificity: ScoredShare;
}

/**
 * Accuracy, sensitivity and specificity of each group, the worst first: the one whose accuracy is
 * low even at the upper end of its interval, so that one image that went wrong does not come before
 * twenty of which ten did.
 *
 * @param labels 0 or 1 (positive).
 * @param predicted 0 or 1, in the same order.
 * @param groups Patient or slide of each image, in the same order.
 */
export function groupScores(
  { labels, predicted, groups }: {
    labels: readonly number[];
    predicted: readonly number[];
    groups: readonly string[];
  },
): GroupScores[] {
  const members = Map.groupBy(groups.keys(), (i) => groups[i]!);
  const scores = [...members].map(([group, images]) =>
    scoresOf(
      group,
      confusionMatrix(images.map((i) => labels[i]!), images.map((i) => predicted[i]!)),
    )
  );
  return scores.sort((a, b) =>
    a.accuracy.high! - b.accuracy.high! || a.accuracy.value! - b.accuracy.value! ||
    (a.group < b.group ? -1 : 1)
  );
}

function scoresOf(group: string, m: ConfusionMatrix): GroupScores {
  const [positives, negatives] = [
    m.truePositive + m.falseNegative,
    m.trueNegative + m.falsePositive,
  ];
  return {
    group,
    n: positives + negatives,
    accuracy: scored(m.truePositive + m.trueNegative, positives + negatives),
    sensitivity: scored(m.truePositive, positives),
    specificity: scored(m.trueNegative, negatives),
  };
}

function scored(right: number, of: number): ScoredShare {
  return of === 0
    ? { right, of, value: null, low: null, high: null }
    : { right, of, value: right / of, ...wilson(right, of) };
}
