import { exists } from "../core/files.ts";
import { breathe } from "../core/long_work.ts";
import type { RunPaths } from "../core/paths.ts";
import type { ScoreName } from "../core/words.ts";
import {
  eachResample,
  newcombe,
  percentileInterval,
  RESAMPLES,
  sharedGroups,
} from "../metrics/intervals.ts";
import { positiveClass } from "../metrics/rates.ts";
import { computeScores, type ScoredSample, weightedScores } from "../metrics/scores.ts";
import { type Interval, readMetrics, type Score } from "../run/metrics_file.ts";
import type { ModelCard } from "../run/model_card.ts";
import { type Prediction, readPredictions } from "../run/predictions.ts";
import { readSplit } from "../run/split_file.ts";

/**
 * A score on the test images of a run beside the same on a labelled new folder, with the 95 %
 * confidence interval of the drop; `reason` says why there is none, or what it leaves out.
 */
interface ScoreDrop extends Interval {
  name: ScoreName;
  internal: Score;
  external: Score;
  /** How much worse it is on the new images; negative: better. `null`: one of them is undefined. */
  drop: number | null;
}

/** What scores are of; `groups`: patients or slides, or images where each stands for itself. */
type ScoredCount = Record<"images" | "positives" | "groups", number>;

/** Scores on a labelled new folder, beside those on the test images. */
export interface ExternalScores {
  drops: ScoreDrop[];
  internal: ScoredCount;
  external: ScoredCount;
}

/** Scores that are smaller for better predictions. */
const ERRORS = /^(brier|log_loss|ece)$/;

/** Scores that are a share of images, with Wilson's interval. */
const SHARES = /^(accuracy|sensitivity|specificity|precision)$/;

/**
 * Scores predictions on a labelled new folder as those on the test images, and says how much worse
 * they are.
 *
 * The interval of a drop is a percentile bootstrap of the difference of two independent samples
 * (Efron & Tibshirani 1993, chapter 8), 2000 times, by group where images share groups. For shares it
 * is never narrower than Newcombe's (1998, method 10), since a sample without an error has no spread
 * to resample; for other scores the reason says whose uncertainty is left out.
 *
 * @throws {DataError} When a sample holds something that cannot be scored.
 */
export async function externalScores(
  internal: ScoredSample,
  external: ScoredSample,
): Promise<ExternalScores> {
  const before = await resample("test images", internal, `${internal.seed}/internal`);
  const after = await resample("new images", external, `${external.seed}/external`);
  const drops = (Object.keys(before.scores) as ScoreName[]).map((name) => ({
    name,
    internal: before.scores[name],
    external: after.scores[name],
    drop: worse(name, before.scores[name].value, after.scores[name].value),
    ...dropInterval(name, before, after),
  }));
  return { drops, internal: countOf(internal), external: countOf(external) };
}

function worse(name: ScoreName, before: number | null, after: number | null): number | null {
  if (before === null || after === null) return null;
  return ERRORS.test(name) ? after - before : before - after;
}

function countOf({ labels, groups }: ScoredSample): ScoredCount {
  return {
    images: labels.length,
    positives: labels.filter((label) => label === 1).length,
    groups: groups ? new Set(groups).size : labels.length,
  };
}

type Resampled = Awaited<ReturnType<typeof resample>>;

/** Resamples between two breaths. */
const AT_A_TIME = 50;

/** @param called What the images are called in a reason. */
async function resample(called: string, sample: ScoredSample, seed: string) {
  const scores = computeScores(sample);
  const groups = sharedGroups(sample.groups);
  const scoresOf = weightedScores(sample);
  const rounds: Record<ScoreName, number | null>[] = [];
  let units = 0;
  while (rounds.length < RESAMPLES) {
    units = eachResample((weights) => void rounds.push(scoresOf(weights)), {
      n: sample.labels.length,
      groups,
      seed: `${seed}/${rounds.length}`,
      resamples: Math.min(AT_A_TIME, RESAMPLES - rounds.length),
    });
    await breathe();
  }
  return { called, scores, rounds, units, groups };
}

function dropInterval(name: ScoreName, before: Resampled, after: Resampled): Interval {
  const sides = [before, after];
  const none = (some: readonly { called: string; reason?: string | undefined }[]) => {
    const reasons = some.map(({ called, reason }) => `${called}: ${reason ?? "undefined"}`);
    return { low: null, high: null, reason: reasons.join("; ") };
  };
  const undefinedOn = sides.filter(({ scores }) => scores[name].value === null);
  if (undefinedOn.length > 0) {
    return none(undefinedOn.map(({ called, scores }) => ({ ...scores[name], called })));
  }
  const spreads = sides.map((side) => {
    const values = side.rounds.map((scores) => scores[name]).filter((value) => value !== null);
    const constant = side.units > 1 && isConstant(values);
    return { called: side.called, constant, ...percentileInterval(values, side) };
  });
  const missing = spreads.filter(({ low, constant }) => low === null && !constant);
  if (missing.length > 0) return none(missing);
  const differences = before.rounds
    .map((scores, round) => worse(name, scores[name], after.rounds[round]![name]))
    .filter((difference) => difference !== null);
  const interval = percentileInterval(differences, { units: 2, groups: undefined });
  if (SHARES.test(name)) {
    const [a, b] = sides.map(({ scores }) => ({ share: scores[name].value!, of: scores[name].n }));
    const { low, high } = newcombe(a!, b!); // never narrower than this
    return { low: Math.min(interval.low ?? low, low), high: Math.max(interval.high ?? high, high) };
  }
  const constant = spreads.filter(({ constant }) => constant);
  if (constant.length !== 1) return interval;
  const reason =
    `all resamples of the ${constant[0]!.called} give the same value, so that this is ` +
    "the uncertainty of the others alone";
  return { ...interval, reason };
}

/** Whether a score is the same in most resamples, as where nothing is wrong. */
function isConstant(values: readonly number[]): boolean {
  return 2 * values.length >= RESAMPLES &&
    values.every((value) => Math.abs(value - values[0]!) < 1e-12);
}

/** Said where a folder tells no true class. */
export const NO_EXTERNAL_SCORES =
  "No new-folder scores: the folder has neither class folders nor a labels.csv.";

/** Said where there is nothing to compare with. */
export const NO_TEST_SCORES =
  "No new-folder scores: notebook 06 has not been run for this model, so there are no test scores " +
  "to compare with.";

/**
 * What was compared with what, in words.
 *
 * @param counts `labelled`: images with a label; `classified`: all that have a prediction.
 */
export function describeExternal(
  { internal, external, drops }: ExternalScores,
  { labelled, classified }: { labelled: number; classified: number },
): string {
  const sampled = labelled > external.images
    ? `, drawn at random from ${labelled} that have a label`
    : "";
  const unlabelled = classified > labelled ? `; ${classified - labelled} have no label` : "";
  return `Scored on ${external.images} new images${sampled}${unlabelled}, ` +
    `${external.positives} of them positive, beside ${internal.images} test images ` +
    `(${internal.positives} positive). ` +
    describeRanking(drops.find(({ name }) => name === "roc_auc")!);
}

function describeRanking({ low, high, reason }: ScoreDrop): string {
  if (low === null || high === null) return "Whether the ranking is worse on them cannot be told.";
  const is = reason === undefined ? "is" : "seems"; // a part of the uncertainty is left out
  if (low > 0) return `The ranking (ROC AUC) ${is} worse on them.`;
  if (high < 0) return `The ranking (ROC AUC) ${is} better on them.`;
  return "The ranking (ROC AUC) is not shown to be another on them.";
}

/**
 * The test images of a run with the model's predictions, as notebook 06 left them.
 *
 * @returns `null` when there are none of this model: notebook 06 has not been run since it was trained.
 * @throws {DataError} When a file of notebook 06 or the split is damaged.
 */
export async function readTestSample(
  { metrics, predictionsTest, split }: Pick<RunPaths, "metrics" | "predictionsTest" | "split">,
  { architecture, weights }: Pick<ModelCard, "architecture" | "weights">,
  seed: string | number,
): Promise<ScoredSample | null> {
  for (const path of [metrics, predictionsTest, split]) if (!await exists(path)) return null;
  const { readers } = (await readMetrics(metrics)).reads;
  if (readers.at(-1)!.weights_sha256 !== weights.sha256) return null;
  const groups = new Map((await readSplit(split)).map(({ path, group }) => [path, group]));
  const rows = (await readPredictions(predictionsTest))
    .map((row) => ({ ...row, group: groups.get(row.path) ?? row.path }));
  return scoredSample(rows, architecture.classes, seed);
}

/** An image whose class is known, with its prediction. */
export type LabelledImage = Pick<Prediction, "label" | "predicted" | "probability" | "group">;

/** What labelled images are scored on; the last of the classes is the positive one. */
export function scoredSample(
  rows: readonly LabelledImage[],
  classes: readonly string[],
  seed: string | number,
): ScoredSample {
  const { indexOf } = positiveClass(classes);
  return {
    labels: rows.map(({ label }) => indexOf(label)),
    predicted: rows.map(({ predicted }) => indexOf(predicted)),
    probabilities: rows.map(({ probability }) => probability),
    groups: rows.map(({ group }) => group),
    seed,
  };
}
