import { breathe } from "../breathe.ts";
import { eachResample, percentileInterval, RESAMPLES } from "../metrics/bootstrap.ts";
import type { Score } from "../metrics/score.ts";
import type { ScoreName } from "../score_names.ts";
import { computeScores, type ScoredSample, weightedScores } from "../metrics/scores.ts";
import { newcombe } from "./newcombe.ts";

/** A score on the test images of a run beside the same on a labelled new folder. */
export interface ScoreDrop {
  name: ScoreName;
  internal: Score;
  external: Score;
  /** How much worse it is on the new images; negative: better. `null`: one of them is undefined. */
  drop: number | null;
  /** 95 % interval of the drop; `null` where there is none, with the reason. */
  low: number | null;
  high: number | null;
  reason?: string;
}

/** How many images some scores are of. */
export interface ScoredCount {
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
 * Newcombe's (1998, method 10), since a sample without an error has no spread to resample. Where one of
 * the two scores has no interval, the drop has none.
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
  const units = Math.min(values.internal.units, values.external.units);
  const groups = values.internal.groups ?? values.external.groups;
  const names = Object.keys(before) as ScoreName[];
  const drops = names.map((name): ScoreDrop => {
    const pair = { name, internal: before[name], external: after[name] };
    const drop = worse(name, before[name].value, after[name].value);
    if (drop === null) return { ...pair, drop, low: null, high: null, reason: whyNot(pair) };
    if (before[name].low === null || after[name].low === null) {
      return { ...pair, drop, low: null, high: null, reason: whyNot(pair) };
    }
    const differences = values.internal.rounds.map((scores, round) =>
      worse(name, scores[name], values.external.rounds[round]![name])
    ).filter((difference) => difference !== null);
    const resampled = percentileInterval(differences, { units, groups });
    return { ...pair, drop, ...widened(pair, resampled) };
  });
  return { drops, internal: countOf(internal), external: countOf(external) };
}

function worse(name: ScoreName, before: number | null, after: number | null): number | null {
  if (before === null || after === null) return null;
  return ERRORS.has(name) ? after - before : before - after;
}

function whyNot({ internal, external }: Pick<ScoreDrop, "internal" | "external">): string {
  const of = (where: string, { value, low, reason }: Score) =>
    value === null || low === null ? [`${where}: ${reason ?? "no interval"}`] : [];
  return [...of("test images", internal), ...of("new images", external)].join("; ");
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

const SHARES: readonly ScoreName[] = ["accuracy", "sensitivity", "specificity", "precision"];

function widened(
  { name, internal, external }: Pick<ScoreDrop, "name" | "internal" | "external">,
  { low, high, reason }: { low: number | null; high: number | null; reason?: string },
): Pick<ScoreDrop, "low" | "high" | "reason"> {
  if (!SHARES.includes(name)) return { low, high, ...(reason ? { reason } : {}) };
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
