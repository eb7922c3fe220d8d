import { DataError } from "../core/errors.ts";
import { rankByProbability, rocAuc } from "../core/stats.ts";
import type { ScoreName } from "../core/words.ts";
import type { Interval, Score, Scores } from "../run/metrics_file.ts";
import type { Predictions } from "../run/predictions.ts";
import { foldsOf } from "../run/split_file.ts";
import { bootstrap, describeUnits, sharedGroups, wilson } from "./intervals.ts";
import * as rates from "./rates.ts";

/** Predictions to be scored; `groups` left out, or all different: every image stands for itself. */
export type ScoredSample =
  & Pick<Predictions, "labels" | "predicted" | "probabilities" | "seed">
  & Partial<Pick<Predictions, "groups">>;

type Values = Record<ScoreName, number | null>;

type Share = { right: number; of: number };

/**
 * All scores of a set of predictions, each with a 95 % confidence interval and beside the majority
 * baseline.
 *
 * The baseline always predicts the class that is more frequent in these labels (the negative one
 * in a draw) and always gives the prevalence as its probability: anything that does not beat it has
 * learnt nothing. Intervals: Wilson for shares of images, else a percentile bootstrap of 2000
 * resamples. Where images share groups, whole groups are resampled for all scores, and a share's
 * interval is never narrower than Wilson's.
 *
 * @throws {DataError} When the arrays differ in length or hold something that cannot be scored.
 */
export function computeScores(sample: ScoredSample): Scores {
  const valuesOf = weightedScores(sample);
  const { labels, predicted, seed } = sample;
  const n = labels.length;
  const once = new Uint32Array(n).fill(1);
  const values = valuesOf(once);
  const baselineSample = majorityBaseline(labels);
  const baseline = scoreValues(prepare(baselineSample), once);
  const groups = sharedGroups(sample.groups);
  const resampled = bootstrap(valuesOf, { n, groups, seed });
  const matrix = rates.confusionMatrix(labels, predicted);
  const baselineMatrix = rates.confusionMatrix(labels, baselineSample.predicted);
  const entries = (Object.keys(values) as ScoreName[]).map((name) => {
    const share = shares(matrix)[name];
    const value = values[name];
    const { method, low, high, reason } = value === null
      ? { method: "none", low: null, high: null, reason: rates.undefinedReason(name, matrix) }
      : interval(resampled[name], share, groups && new Set(groups).size);
    const reasons = [
      reason && value !== null ? `no interval: ${reason}` : reason,
      baseline[name] === null && n > 0 &&
      `no baseline: ${rates.undefinedReason(name, baselineMatrix)}`,
    ].filter(Boolean);
    const facts = { value, low, high, baseline: baseline[name], n: share?.of ?? n, method };
    const score: Score = reasons.length > 0 ? { ...facts, reason: reasons.join("; ") } : facts;
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
export function weightedScores(sample: Omit<ScoredSample, "seed">) {
  checkSample(sample);
  const prepared = prepare(sample);
  return (weights: Uint32Array): Values => scoreValues(prepared, weights);
}

/** Typed arrays, sorted once: what makes thousands of resamples cheap. */
function prepare({ labels, predicted, probabilities }: Omit<ScoredSample, "groups" | "seed">) {
  return {
    labels: Uint8Array.from(labels),
    rest: Uint8Array.from(labels, (label) => 1 - label),
    predicted: Uint8Array.from(predicted),
    probabilities: Float64Array.from(probabilities),
    ranking: rankByProbability(probabilities),
    restRanking: rankByProbability(probabilities.map((probability) => -probability)),
  };
}

function scoreValues(sample: ReturnType<typeof prepare>, weights: Uint32Array): Values {
  const { labels, rest, predicted, probabilities, ranking, restRanking } = sample;
  const matrix = rates.confusionMatrix(labels, predicted, weights);
  const ofPositive = rates.averagePrecision(labels, probabilities, { ranking, weights });
  const ofRest = rates.averagePrecision(rest, probabilities, { ranking: restRanking, weights });
  return {
    accuracy: rates.accuracy(matrix),
    balanced_accuracy: rates.balancedAccuracy(matrix),
    sensitivity: rates.sensitivity(matrix),
    specificity: rates.specificity(matrix),
    precision: rates.precision(matrix),
    f1: rates.f1(matrix),
    mcc: rates.mcc(matrix),
    kappa: rates.kappa(matrix),
    roc_auc: rocAuc(labels, probabilities, { ranking, weights }),
    average_precision: ofPositive,
    brier: rates.brier(labels, probabilities, weights),
    log_loss: rates.logLoss(labels, probabilities, weights),
    ece: rates.expectedCalibrationError(labels, probabilities, weights),
    macro_precision: rates.macroPrecision(matrix),
    macro_f1: rates.macroF1(matrix),
    macro_average_precision: rates.middle(ofPositive, ofRest),
  };
}

function majorityBaseline(labels: readonly number[]): Omit<ScoredSample, "seed"> {
  const n = labels.length;
  const positives = labels.reduce((sum, label) => sum + label, 0);
  return {
    labels,
    predicted: new Array<number>(n).fill(2 * positives > n ? 1 : 0),
    probabilities: new Array<number>(n).fill(positives / n),
  };
}

function shares(m: rates.ConfusionMatrix): { [name in ScoreName]?: Share } {
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
 *
 * @param groups How many, where images share them.
 */
function interval(
  resampled: Interval,
  share: Share | undefined,
  groups: number | undefined,
): Interval & { method: string } {
  const least = share && wilson(share.right, share.of);
  if (least && groups === undefined) return { ...least, method: "Wilson" };
  const units = groups === undefined ? "images" : describeUnits(groups, true);
  const method = `percentile bootstrap, 2000 resamples of ${units}`;
  if (!least || groups === 1) return { ...resampled, method };
  return {
    low: Math.min(resampled.low ?? 1, least.low),
    high: Math.max(resampled.high ?? 0, least.high),
    method: `${method}, not narrower than Wilson`,
  };
}

function checkSample({ labels, probabilities, predicted, groups }: Omit<ScoredSample, "seed">) {
  const remedy = "Run notebook 06 (metrics) again, so that the predictions are written anew.";
  const lengths = [probabilities.length, predicted.length, groups?.length ?? labels.length];
  if (lengths.some((length) => length !== labels.length)) {
    throw new DataError("Labels and predictions are not of the same images.", remedy);
  }
  const isProbability = (value: number) => value >= 0 && value <= 1; // false for NaN
  const isClass = (value: number) => isProbability(value) && Number.isInteger(value);
  const check = (what: string, values: readonly number[], valid: (value: number) => boolean) => {
    const at = values.findIndex((value) => !valid(value));
    if (at >= 0) throw new DataError(`Image ${at + 1} has the ${what} ${values[at]}.`, remedy);
  };
  check("label", labels, isClass);
  check("predicted class", predicted, isClass);
  check("probability", probabilities, isProbability);
}

/**
 * The scores of each fold by itself, in order: how much they depend on which patients are left out.
 * None without folds.
 */
export function foldScores({ rows, labels, predicted, probabilities, groups }: Predictions) {
  const folds = Map.groupBy(rows.keys(), (i) => rows[i]!.fold ?? "");
  return foldsOf([...folds.keys()]).map((fold) => {
    const images = folds.get(fold)!;
    const own = (values: readonly number[]) => images.map((i) => values[i]!);
    const { accuracy, sensitivity, specificity } = shares(
      rates.confusionMatrix(own(labels), own(predicted)),
    );
    const value = (share: Share | undefined) =>
      share && share.of > 0 ? share.right / share.of : null;
    return {
      fold,
      images: images.length,
      groups: new Set(images.map((i) => groups[i])).size,
      roc_auc: rocAuc(own(labels), own(probabilities)),
      accuracy: value(accuracy),
      sensitivity: value(sensitivity),
      specificity: value(specificity),
    };
  });
}

/** A share of images with Wilson's 95 % interval; `null` where it is a share of none. */
type ScoredShare = Share & Record<"value" | "low" | "high", number | null>;

/**
 * Accuracy, sensitivity and specificity of each group, the worst first: the one whose accuracy is
 * low even at the upper end of its interval, so that one image that went wrong does not come before
 * twenty of which ten did.
 */
export function groupScores(
  { labels, predicted, groups }: Pick<Predictions, "labels" | "predicted" | "groups">,
) {
  const members = Map.groupBy(groups.keys(), (i) => groups[i]!);
  const scores = [...members].map(([group, images]) => {
    const own = (values: readonly number[]) => images.map((i) => values[i]!);
    const m = shares(rates.confusionMatrix(own(labels), own(predicted)));
    const scored = ({ right, of }: Share): ScoredShare => {
      const { low, high } = of === 0 ? { low: null, high: null } : wilson(right, of);
      return { right, of, value: of === 0 ? null : right / of, low, high };
    };
    const [accuracy, sensitivity, specificity] = [m.accuracy!, m.sensitivity!, m.specificity!]
      .map(scored) as [ScoredShare, ScoredShare, ScoredShare];
    return { group, n: images.length, accuracy, sensitivity, specificity };
  });
  return scores.sort((a, b) =>
    a.accuracy.high! - b.accuracy.high! || a.accuracy.value! - b.accuracy.value! ||
    (a.group < b.group ? -1 : 1)
  );
}
