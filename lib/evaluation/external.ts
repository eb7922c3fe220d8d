import { z } from "zod";
import { readCsv } from "../core/csv.ts";
import { exists, readJson } from "../core/files.ts";
import type { RunPaths } from "../core/paths.ts";
import { breathe } from "../core/stop.ts";
import type { ScoreName } from "../core/words.ts";
import { eachResample, newcombe, percentileInterval, RESAMPLES } from "../metrics/intervals.ts";
import { positiveClass } from "../metrics/rates.ts";
import { computeScores, type ScoredSample, weightedScores } from "../metrics/scores.ts";
import type { Interval, Score } from "../run/metrics_file.ts";
import type { ModelCard } from "../run/model_card.ts";
import { readSplit } from "../run/split_file.ts";

/** A score on the test images of a run beside the same on a labelled new folder. */
interface ScoreDrop {
  name: ScoreName;
  internal: Score;
  external: Score;
  /** How much worse it is on the new images; negative: better. `null`: one of them is undefined. */
  drop: number | null;
  /** 95 % interval of the drop; `null` where there is none. `reason` says why, or what it leaves out. */
  low: number | null;
  high: number | null;
  reason?: string;
}

/** How many images some scores are of. */
interface ScoredCount {
  images: number;
  positives: number;
  /** Patients or slides; as many as images where each stands for itself. */
  groups: number;
}

/** Scores on a labelled new folder, beside those on the test images. */
export interface ExternalScores {
  drops: ScoreDrop[];
  internal: ScoredCount;
  external: ScoredCount;
}

/** Scores that are smaller for better predictions. */
const ERRORS: ReadonlySet<ScoreName> = new Set(["brier", "log_loss", "ece"]);

/** Resamples between two breaths. */
const AT_A_TIME = 50;

/**
 * Scores predictions on a labelled new folder as those on the test images, and says how much worse they
 * are.
 *
 * The interval of a drop is a percentile bootstrap of the difference of two independent samples
 * (Efron & Tibshirani 1993, chapter 8): each is resampled by itself 2000 times, by group where images
 * share groups. For accuracy, sensitivity, specificity and precision it is never narrower than
 * Newcombe's (1998, method 10), since a sample without an error has no spread to resample; for other
 * scores the reason then says whose uncertainty is left out. Where one of the two cannot be resampled, the
 * drop has no interval.
 *
 * @throws {DataError} When a sample holds something that cannot be scored.
 */
export async function externalScores(
  internal: ScoredSample,
  external: ScoredSample,
): Promise<ExternalScores> {
  const [before, after] = [computeScores(internal), computeScores(external)];
  const values = {
    internal: await resample({ ...internal, seed: `${internal.seed}/internal` }),
    external: await resample({ ...external, seed: `${external.seed}/external` }),
  };
  const drops = (Object.keys(before) as ScoreName[]).map((name): ScoreDrop => {
    const pair = { name, internal: before[name], external: after[name] };
    const drop = worse(name, before[name].value, after[name].value);
    return {
      ...pair,
      drop,
      ...(drop === null ? none(whyUndefined(pair)) : interval(pair, values)),
    };
  });
  return { drops, internal: countOf(internal), external: countOf(external) };
}

function worse(name: ScoreName, before: number | null, after: number | null): number | null {
  if (before === null || after === null) return null;
  return ERRORS.has(name) ? after - before : before - after;
}

type Pair = Pick<ScoreDrop, "name" | "internal" | "external">;

type DropInterval = Pick<ScoreDrop, "low" | "high" | "reason">;

const PLACES = { internal: "test images", external: "new images" } as const;

const SIDES = ["internal", "external"] as const;

function none(reason: string): DropInterval {
  return { low: null, high: null, reason };
}

function whyUndefined(pair: Pair): string {
  return SIDES.filter((side) => pair[side].value === null)
    .map((side) => `${PLACES[side]}: ${pair[side].reason ?? "undefined"}`).join("; ");
}

/** The interval of a drop that is defined. */
function interval(pair: Pair, values: Record<typeof SIDES[number], Resampled>): DropInterval {
  const { name } = pair;
  const spreads = SIDES.map((side) =>
    percentileInterval(defined(values[side], name), values[side])
  );
  const same = SIDES.filter((side) => isConstant(values[side], name));
  const missing = SIDES.filter((side, i) => spreads[i]!.low === null && !same.includes(side));
  if (missing.length > 0) {
    const why = missing.map((side) => `${PLACES[side]}: ${spreads[SIDES.indexOf(side)]!.reason}`);
    return none(why.join("; "));
  }
  const differences = values.internal.rounds.map((scores, round) =>
    worse(name, scores[name], values.external.rounds[round]![name])
  ).filter((difference) => difference !== null);
  const resampled = percentileInterval(differences, { units: 2, groups: undefined });
  if (isShare(name)) return widened(pair, resampled);
  if (same.length !== 1) return resampled;
  const reason = `all resamples of the ${PLACES[same[0]!]} give the same value, so that this is ` +
    "the uncertainty of the others alone";
  return { ...resampled, reason };
}

function defined({ rounds }: Resampled, name: ScoreName): number[] {
  return rounds.map((scores) => scores[name]).filter((value) => value !== null);
}

/** Whether a score is the same in most resamples of several units, as where nothing is wrong. */
function isConstant(resampled: Resampled, name: ScoreName): boolean {
  const found = defined(resampled, name);
  return resampled.units > 1 && 2 * found.length >= RESAMPLES &&
    found.every((value) => Math.abs(value - found[0]!) < 1e-12);
}

/** All scores in every resample. */
interface Resampled {
  rounds: Record<ScoreName, number | null>[];
  units: number;
  groups: readonly string[] | undefined;
}

async function resample(sample: ScoredSample): Promise<Resampled> {
  const n = sample.labels.length;
  const groups = new Set(sample.groups).size === n ? undefined : sample.groups;
  const scoresOf = weightedScores(sample);
  const rounds: Resampled["rounds"] = [];
  let units = 0;
  while (rounds.length < RESAMPLES) {
    units = eachResample((weights) => void rounds.push(scoresOf(weights)), {
      n,
      groups,
      seed: `${sample.seed}/${rounds.length}`,
      resamples: Math.min(AT_A_TIME, RESAMPLES - rounds.length),
    });
    await breathe();
  }
  return { rounds, units, groups };
}

/** Whether a score is a share of images, with Wilson's interval. */
function isShare(name: ScoreName): boolean {
  return ["accuracy", "sensitivity", "specificity", "precision"].includes(name);
}

function widened({ internal, external }: Pair, { low, high }: Interval): DropInterval {
  const least = newcombe(
    { share: internal.value!, of: internal.n },
    { share: external.value!, of: external.n },
  );
  return {
    low: Math.min(low ?? least.low, least.low),
    high: Math.max(high ?? least.high, least.high),
  };
}

function countOf({ labels, groups }: ScoredSample): ScoredCount {
  return {
    images: labels.length,
    positives: labels.filter((label) => label === 1).length,
    groups: groups ? new Set(groups).size : labels.length,
  };
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
 * @param counts `labelled`: images with a label; `classified`: all that have an answer.
 */
export function describeExternal(
  { internal, external, drops }: ExternalScores,
  { labelled, classified }: { labelled: number; classified: number },
): string {
  const sampled = labelled > external.images
    ? `, drawn at random from ${labelled} that have a label`
    : "";
  const unlabelled = classified > labelled ? `; ${classified - labelled} have no label` : "";
  return [
    `Scored on ${external.images} new images${sampled}${unlabelled}, ` +
    `${external.positives} of them positive, beside ${internal.images} test images ` +
    `(${internal.positives} positive).`,
    describeRanking(drops.find(({ name }) => name === "roc_auc")!),
  ].join(" ");
}

function describeRanking({ low, high, reason }: ScoreDrop): string {
  if (low === null || high === null) return "Whether the ranking is worse on them cannot be told.";
  const is = reason === undefined ? "is" : "seems"; // a part of the uncertainty is left out
  if (low > 0) return `The ranking (ROC AUC) ${is} worse on them.`;
  if (high < 0) return `The ranking (ROC AUC) ${is} better on them.`;
  return "The ranking (ROC AUC) is not shown to be another on them.";
}

const metricsSchema = z.object({
  test_reads: z.object({
    readers: z.array(z.object({ weights_sha256: z.string() })).min(1),
  }),
});

/**
 * The test images of a run with the model's answers, as notebook 06 left them.
 *
 * @returns `null` when there are none of this model: notebook 06 has not been run since it was trained.
 * @throws {DataError} When a file of notebook 06 or the split is damaged.
 */
export async function readTestSample(
  { metrics, predictionsTest, split }: Pick<RunPaths, "metrics" | "predictionsTest" | "split">,
  { architecture, weights }: Pick<ModelCard, "architecture" | "weights">,
  seed: string | number,
): Promise<ScoredSample | null> {
  const remedy = "Run notebook 06 again; it writes this file.";
  for (const path of [metrics, predictionsTest, split]) if (!await exists(path)) return null;
  const { data } = metricsSchema.safeParse(await readJson(metrics, remedy));
  if (data?.test_reads.readers.at(-1)?.weights_sha256 !== weights.sha256) return null;
  const rows = await readCsv(
    predictionsTest,
    ["path", "label", "predicted", "probability"],
    remedy,
  );
  const groups = new Map((await readSplit(split)).map(({ path, group }) => [path, group]));
  const { indexOf } = positiveClass(architecture.classes);
  return {
    labels: rows.map(({ label }) => indexOf(label)),
    predicted: rows.map(({ predicted }) => indexOf(predicted)),
    probabilities: rows.map(({ probability }) => Number(probability)),
    groups: rows.map(({ path }) => groups.get(path) ?? path),
    seed,
  };
}
