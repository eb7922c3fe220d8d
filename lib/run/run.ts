import { join } from "node:path";
import { z } from "zod";
import { configInForce, describeConfig, parseConfig } from "../core/config.ts";
import { DataError, reasonOf } from "../core/errors.ts";
import { exists, readJson, writeJson } from "../core/files.ts";
import { fromRoot, isSynthetic, projectRoot } from "../core/paths.ts";
import { runFolders, type RunPaths, runPaths } from "../core/paths.ts";
import type { Config, ConfigInput, Monitor } from "../core/settings.ts";
import { compareCodePoints } from "../core/words.ts";
import {
  type HistoryRow,
  keptRows,
  lowerIsBetter,
  meanRow,
  readEvents,
  readHistory,
} from "./history.ts";
import { readMetrics, SUMMARY_SCORES } from "./metrics_file.ts";

/**
 * One run of the workflow: a name, the settings in force, and where its files are. The files
 * themselves are read and written by their own module of this folder.
 */
export interface Run {
  /** The name of its folders. */
  name: string;
  config: Config;
  paths: RunPaths;
}

/** The run that a config describes. */
export function runOf(config: Config): Run {
  return { name: config.run, config, paths: runPaths(config.run) };
}

/**
 * The run of a notebook with its settings in force: see `configInForce`.
 *
 * @throws {ConfigError} When a field is misspelt, of the wrong type or out of range.
 */
export async function openRun(input: ConfigInput = {}): Promise<Run> {
  return runOf(await configInForce(input));
}

/** File among a run's checkpoints that says of which folds its model was joined. */
export const JOINED_FILE = "joined.json";

/** The folders of folds among a run's checkpoints. */
export async function foldFolders(checkpoints: string): Promise<string[]> {
  const entries = await Array.fromAsync(Deno.readDir(checkpoints)).catch(() => []);
  return entries.filter(({ name, isDirectory }) => isDirectory && name.startsWith("fold_"))
    .map(({ name }) => name);
}

/** Whether a training of folds has begun and not ended: the run's model, if any, is an earlier one. */
export async function isUnjoined(checkpoints: string): Promise<boolean> {
  return (await foldFolders(checkpoints)).length > 0 &&
    !await exists(join(checkpoints, JOINED_FILE));
}

/** Whether its data are synthetic, or the new images that it is applied to. */
export async function isSyntheticRun({ config: { data, evaluation } }: Run): Promise<boolean> {
  return await isSynthetic(fromRoot(data.folder)) || await isSynthetic(fromRoot(evaluation.folder));
}

/**
 * training.json: what a run's history was trained with, since config.json may have been changed, and
 * the SHA-256 of its split.csv. The config has the backbone and weights in fact started from.
 */
export type TrainingRecord = { config: Config; splitSha256: string };

/** A trained run, for comparison with others. */
export interface RunSummary extends TrainingRecord {
  /** Name of its folder in results/: any text. */
  run: string;
  /** With folds, of every epoch the mean over those that have it. */
  history: HistoryRow[];
  /** The epoch that is kept: the last checkpoint; of folds the mean of theirs. */
  best: HistoryRow;
  /** Whether EarlyStopping ended it. */
  stoppedEarly: boolean;
  /** Scores on the test images by name; `null` while there are none of this model. */
  test: Readonly<Record<string, number | null>> | null;
}

/** All trained runs, and why other folders were left out in whole or in part. */
export type Runs = { runs: RunSummary[]; remarks: { run: string; text: string }[] };

const recordSchema = z.object({ config: z.unknown(), splitSha256: z.string().min(1) });

const cardSchema = z.object({ created: z.iso.datetime() });

/** Writes training.json. */
export const writeTrainingRecord: (path: string, record: TrainingRecord) => Promise<void> =
  writeJson;

/**
 * Reads every run in results/. A folder that is no run, has not been trained or is damaged is left
 * out with a remark; none makes this fail.
 */
export async function readRuns(): Promise<Runs> {
  const result: Runs = { runs: [], remarks: [] };
  for (const run of await runFolders()) {
    const remark = (text: string) => void result.remarks.push({ run, text });
    try {
      const summary = await readRun(run, remark);
      if (summary) result.runs.push(summary);
    } catch (error) {
      remark(`left out: ${shortReason(error)}`);
    }
  }
  return result;
}

const shortReason = (error: unknown) => reasonOf(error).replaceAll(`${projectRoot}/`, "");

async function readRun(run: string, remark: (text: string) => void): Promise<RunSummary | null> {
  const paths = runPaths(run);
  if (!await exists(paths.training)) {
    const isRun = await exists(paths.config);
    remark(`left out: ${isRun ? "it has not been trained yet" : "it is no run of this project"}`);
    return null;
  }
  if (await isUnjoined(paths.checkpoints)) {
    remark("left out: the training of its folds has not come to its end");
    return null;
  }
  const { data: record } = recordSchema.safeParse(await readJson(paths.training, ""));
  if (!record) throw new DataError("training.json is damaged.", "");
  const history = await readHistory(paths.history);
  const events = await readEvents(paths.trainingEvents);
  const kept = keptRows(history, events);
  if (kept.length === 0) throw new DataError("its history has no epoch that was kept.", "");
  return {
    run,
    config: parseConfig(record.config),
    splitSha256: record.splitSha256,
    history: [...Map.groupBy(history, ({ epoch }) => epoch).values()].map(meanRow),
    best: meanRow(kept),
    stoppedEarly: events.some(({ kind }) => kind === "early_stopping"),
    test: await readTestScores(paths, remark),
  };
}

/** The scores of metrics.json, unless a later training has replaced the model that they are of. */
async function readTestScores({ metrics, modelCard }: RunPaths, remark: (text: string) => void) {
  if (!await exists(metrics)) return null;
  try {
    const { mtime } = await Deno.stat(metrics);
    if (await exists(modelCard)) {
      const { created } = cardSchema.parse(await readJson(modelCard, ""));
      if (mtime && mtime.getTime() < Date.parse(created)) {
        remark("its test scores are those of an earlier model: run notebook 06 again");
        return null;
      }
    }
    const { scores } = await readMetrics(metrics);
    return Object.fromEntries(
      SUMMARY_SCORES.flatMap((name) => scores[name] ? [[name, scores[name].value]] : []),
    );
  } catch (error) {
    remark(`without test scores: ${shortReason(error)}`);
    return null;
  }
}

/**
 * Runs with the best first, by the `monitor` of the kept epoch. Scores on different validation images
 * do not compare, so the runs of one split stand together: those of `run`'s split come first.
 */
export function rankRuns(
  runs: readonly RunSummary[],
  { monitor, run }: { monitor: Monitor; run: string },
): RunSummary[] {
  const own = runs.find((summary) => summary.run === run)?.splitSha256;
  const sign = lowerIsBetter(monitor) ? 1 : -1;
  const cost = ({ best }: RunSummary) => sign * (best[monitor] ?? sign * NaN);
  return runs.toSorted((a, b) =>
    Number(b.splitSha256 === own) - Number(a.splitSha256 === own) ||
    compareCodePoints(a.splitSha256, b.splitSha256) ||
    Number(Number.isNaN(cost(a))) - Number(Number.isNaN(cost(b))) ||
    (cost(a) - cost(b) || 0) ||
    compareCodePoints(a.run, b.run)
  );
}

/** Fields that do not change what a training comes to. */
const WITHOUT_EFFECT = /^(run$|(metrics|evaluation)\.|training\.(logs|\w+(Mega|Giga)bytes)$)/;

/** How the configs of runs differ. */
export interface ConfigDifferences {
  /** Fields, by dotted path, whose values differ between the runs, with each run's value. */
  differing: { field: string; values: ReadonlyMap<string, unknown>; fallback: unknown }[];
  /** Fields of one value in all runs that is not the default. */
  shared: { field: string; value: unknown }[];
}

/**
 * The fields of the config in which runs differ from each other or, all of them, from the defaults;
 * without those that have no effect on a training.
 */
export function configDifferences(
  runs: readonly Pick<RunSummary, "run" | "config">[],
): ConfigDifferences {
  const result: ConfigDifferences = { differing: [], shared: [] };
  const described = new Map(runs.map(({ run, config }) => [run, describeConfig(config)]));
  const [first = []] = described.values();
  for (const [index, { field, value, default: fallback }] of first.entries()) {
    if (WITHOUT_EFFECT.test(field)) continue;
    const values = new Map([...described].map(([run, fields]) => [run, fields[index]!.value]));
    const texts = new Set([...values.values()].map((each) => JSON.stringify(each)));
    if (texts.size > 1) result.differing.push({ field, values, fallback });
    else if (!texts.has(JSON.stringify(fallback))) result.shared.push({ field, value });
  }
  return result;
}
