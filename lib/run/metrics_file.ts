import { createHash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { DataError } from "../core/errors.ts";
import { exists, readJson, writeJson } from "../core/files.ts";
import { runFolders, runPaths } from "../core/paths.ts";
import { images, SCORE_NAMES, type ScoreName } from "../core/words.ts";
import { type Decision, decisionSchema } from "./decision.ts";
import type { SplitRow } from "./split_file.ts";

const number = z.number().nullable();

const scoreSchema = z.object({
  /** `null` when undefined, never 0; `reason` then says why. */
  value: number,
  /** 95 % interval; `null` where there is none, with the reason. */
  low: number,
  high: number,
  /** The same score of the majority baseline; `null` where that is undefined. */
  baseline: number,
  /** Images the score is a share or mean of: for sensitivity, the positive ones. */
  n: z.int().min(0),
  /** How the interval was found. */
  method: z.string(),
  /** Why value, interval or baseline is `null`. */
  reason: z.string().exactOptional(),
  /** Published values (`config.metrics.references`), each with what limits the comparison. */
  references: z.array(z.object({ name: z.string(), value: z.number(), note: z.string() }))
    .exactOptional(),
});

/** One score with what is needed to judge it. */
export type Score = z.infer<typeof scoreSchema>;

/** Every score by name. */
export type Scores = Record<ScoreName, Score>;

/** What metrics.json holds. */
export interface Metrics {
  scores: Partial<Scores>;
  reads: TestReads;
  /** `null` where a version wrote the file that knew no probe. */
  probe: ProbeScores | null;
}

/** The scores that a summary in a few lines shows. */
export const SUMMARY_SCORES = ["roc_auc", "balanced_accuracy", "accuracy", "f1"] as const;

/**
 * Reads metrics.json. Scores of a name that is not known (of another version) are passed over.
 *
 * @throws {DataError} When it is missing or damaged.
 */
export async function readMetrics(path: string): Promise<Metrics> {
  const remedy = "Run notebook 06 again; it writes this file.";
  const json = await readJson(path, remedy) as Record<string, unknown> | null;
  const { data: reads } = testReadsSchema.safeParse(json?.["test_reads"]);
  if (!json || !reads) {
    throw new DataError(`${path} is damaged, or of another version.`, remedy, { file: path });
  }
  const scores: Partial<Scores> = {};
  for (const name of SCORE_NAMES) {
    if (!Object.hasOwn(json, name)) continue;
    const { data: score } = scoreSchema.safeParse(json[name]);
    if (!score) {
      throw new DataError(`${path}: the score ${name} cannot be read.`, remedy, { file: path });
    }
    scores[name] = score;
  }
  return { scores, reads, probe: probeSchema.safeParse(json["probe"]).data ?? null };
}

const gainSchema = scoreSchema.pick({ value: true, low: true, high: true, reason: true });

const probeSchema = z.union([
  z.object({
    l2: z.array(z.number().positive()),
    images: z.int().min(0),
    scores: z.record(z.enum(SCORE_NAMES), number),
    gains: z.object({ roc_auc: gainSchema, accuracy: gainSchema }),
  }),
  z.object({ reason: z.string() }),
]);

/**
 * What a linear probe scores on the test images: `probe` of metrics.json; else why there is none.
 *
 * - `l2`: strength of the penalty, one a model that was tested; `images`: how many both predicted.
 * - `scores`: of the probe, at the threshold 0.5, `null` where undefined.
 * - `gains`: what the model scores more on the same images, with 95 % intervals.
 */
export type ProbeScores = z.infer<typeof probeSchema>;

/** Adds a comparison with a probe to metrics.json, which is there, atomically. */
export async function writeProbe(path: string, probe: ProbeScores): Promise<void> {
  const metrics = await readJson(path, "Run notebook 06 again; it writes this file.");
  await writeJson(path, { ...metrics as Record<string, unknown>, probe });
}

/** What a comparison with a probe says, in words; `isBeaten`: a gain over the probe is shown. */
export function describeProbe(probe: ProbeScores): { text: string; isBeaten: boolean } {
  if ("reason" in probe) {
    return { text: `There is no linear probe to compare with: ${probe.reason}`, isBeaten: false };
  }
  const { scores, gains: { roc_auc: auc, accuracy }, images: n } = probe;
  const digits = (value: number | null) => value?.toFixed(3).replace(/^-/, "−") ?? "undefined";
  const gain = ({ value, low, high, reason }: typeof auc, of: string) =>
    `${digits(value)} in ${of} (${
      low === null
        ? `no interval: ${reason ?? "a class is absent"}`
        : `95 % confidence interval ${digits(low)} to ${digits(high)}`
    })`;
  const [isBeaten, isBetter] = [(auc.low ?? 0) > 0, (auc.high ?? 0) < 0];
  const ofAuc = gain(auc, "ROC-AUC");
  const verdict = isBeaten
    ? `Fine-tuning gains ${ofAuc} over a linear probe`
    : isBetter
    ? `Fine-tuning loses against a linear probe: ${ofAuc}`
    : `It is not shown that fine-tuning gains over a linear probe: ${ofAuc}`;
  const remedy = isBeaten
    ? ""
    : " To train the probe itself: model.unfreezeLast: 0 and model.head: { units: [], dropout: [] }.";
  const text =
    `${verdict}, and ${gain(accuracy, "accuracy")}. The probe, a logistic regression on ` +
    `the features that training started from, has a ROC-AUC of ${digits(scores.roc_auc)} and an ` +
    `accuracy of ${digits(scores.accuracy)} on the same ${images(n)}, at the threshold 0.5.`;
  return { text: text + remedy, isBeaten };
}

const testReadsSchema = z.object({
  count: z.int().min(1),
  test_sha256: z.string(),
  readers: z.array(z.object({
    weights_sha256: z.string(),
    calibration: decisionSchema.shape.calibration,
    threshold: z.number(),
    reads: z.int().min(1),
  })).min(1),
  other_runs: z.array(z.string()).default([]),
});

/**
 * How often and by whom this run's test images have been read: `test_reads` of metrics.json.
 *
 * - `count`: all reads of these test images in this run.
 * - `test_sha256`: of their paths and contents; with other test images the count starts anew.
 * - `readers`: the models, each with what turned its probabilities into answers, and how often each
 *   was scored; the last one is that of the scores in the file.
 * - `other_runs`: names of runs whose scores were of the same test images when these were written.
 */
export type TestReads = z.infer<typeof testReadsSchema>;

/**
 * The count after one more read. What is in metrics.json counts; without it, or with one of other
 * test images, this is the first read.
 *
 * @param path Of metrics.json.
 * @param rows Those of the test subset.
 * @throws {DataError} When metrics.json is no JSON: the count in it would be lost.
 */
export async function countTestRead(
  path: string,
  rows: readonly SplitRow[],
  reader: { weightsSha256: string; decision: Decision },
): Promise<Omit<TestReads, "other_runs">> {
  const text = rows.map((row) => JSON.stringify([row.path, row.sha256])).sort().join("\n");
  const test_sha256 = createHash("sha256").update(text).digest("hex");
  const earlier = await readEarlier(path);
  const readers = earlier?.test_sha256 === test_sha256 ? earlier.readers : [];
  const { weightsSha256: weights_sha256, decision: { calibration, threshold } } = reader;
  const own = { weights_sha256, calibration, threshold };
  const isOwn = ({ reads: _reads, ...reader }: TestReads["readers"][number]) =>
    isDeepStrictEqual(reader, own);
  const reads = 1 + (readers.find(isOwn)?.reads ?? 0);
  const all = [...readers.filter((reader) => !isOwn(reader)), { ...own, reads }];
  return { count: all.reduce((sum, reader) => sum + reader.reads, 0), test_sha256, readers: all };
}

async function readEarlier(path: string): Promise<TestReads | undefined> {
  if (!await exists(path)) return undefined;
  const remedy =
    "Delete it and run notebook 06 again; the count of how often the test images have " +
    "been read then starts anew.";
  const metrics = await readJson(path, remedy);
  return z.object({ test_reads: testReadsSchema }).safeParse(metrics).data?.test_reads;
}

/** What the count means for the scores, in words; `isClean` while only one reader has seen them. */
export function describeTestReads({ count, readers, other_runs }: TestReads): {
  text: string;
  isClean: boolean;
} {
  const times = count === 1 ? "once" : `${count} times`;
  const own = `The test images have been read ${times} in this run` +
    (readers.length > 1
      ? `, by ${readers.length} different models or decisions. Whatever was changed after a test ` +
        "score had been seen makes the scores here look better than they will be on new images."
      : count === 1
      ? "."
      : ", always with this model and threshold: a repeat adds nothing.");
  if (other_runs.length === 0) return { text: own, isClean: readers.length === 1 };
  const more = other_runs.length - MOST_NAMES;
  const names = other_runs.slice(0, MOST_NAMES).map((run) => `“${run}”`).join(", ") +
    (more > 0 ? ` and ${more} more` : "");
  const who = other_runs.length === 1 ? "Another run was" : `${other_runs.length} other runs were`;
  const text = `${own} ${who} tested on the same images (${names}): choose between runs by their ` +
    "validation scores, since the best of several test scores owes part of itself to luck.";
  return { text, isClean: false };
}

/** Other runs that are named; of the rest their number is enough. */
const MOST_NAMES = 5;

const metricsSchema = z.object({ test_reads: testReadsSchema.pick({ test_sha256: true }) });

/**
 * The other runs whose scores are of the same test images, by name: whoever chooses between runs by
 * these scores chooses by luck as well. What cannot be read is no score that anybody compares.
 *
 * @param testSha256 `test_sha256` of `TestReads`.
 */
export async function otherTestRuns(run: string, testSha256: string): Promise<string[]> {
  const others: string[] = [];
  for (const name of await runFolders()) {
    if (name === run) continue;
    const metrics = await readJson(runPaths(name).metrics, "").catch(() => null);
    const { data } = metricsSchema.safeParse(metrics);
    if (data?.test_reads.test_sha256 === testSha256) others.push(name);
  }
  return others;
}

/** A 95 % confidence interval; both ends `null`, with the reason, where there is none. */
export interface Interval {
  low: number | null;
  high: number | null;
  /** Why there is no interval. */
  reason?: string;
}
