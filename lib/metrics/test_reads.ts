import { createHash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { exists, readJson } from "../files.ts";
import { type Decision, decisionSchema } from "../model/decision.ts";
import type { SplitRow } from "../split/split.ts";

const readerSchema = z.object({
  weights_sha256: z.string(),
  calibration: decisionSchema.shape.calibration,
  threshold: z.number(),
  reads: z.int().min(1),
});

/** See {@linkcode TestReads}. */
export const testReadsSchema = z.object({
  count: z.int().min(1),
  test_sha256: z.string(),
  readers: z.array(readerSchema).min(1),
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

/** Who reads: a model and its decision. */
export interface TestReader {
  weightsSha256: string;
  decision: Decision;
}

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
  { weightsSha256, decision: { calibration, threshold } }: TestReader,
): Promise<Omit<TestReads, "other_runs">> {
  const text = rows.map((row) => JSON.stringify([row.path, row.sha256])).sort().join("\n");
  const test_sha256 = createHash("sha256").update(text).digest("hex");
  const earlier = await readEarlier(path);
  const readers = earlier?.test_sha256 === test_sha256 ? earlier.readers : [];
  const own = { weights_sha256: weightsSha256, calibration, threshold };
  const isOwn = ({ reads: _reads, ...reader }: TestReads["readers"][number]) =>
    isDeepStrictEqual(reader, own);
  const reads = 1 + (readers.find(isOwn)?.reads ?? 0);
  const all = [...readers.filter((reader) => !isOwn(reader)), { ...own, reads }];
  return { count: all.reduce((sum, reader) => sum + reader.reads, 0), test_sha256, readers: all };
}

async function readEarlier(path: string): Promise<TestReads | null> {
  if (!await exists(path)) return null;
  const metrics = await readJson(
    path,
    "Delete it and run notebook 06 again; the count of how often the test images have been read " +
      "then starts anew.",
  );
  const { data } = z.object({ test_reads: testReadsSchema }).safeParse(metrics);
  return data?.test_reads ?? null;
}

/** What the count means for the scores, in words; `isClean` while only one reader has seen them. */
export function describeTestReads({ count, readers, other_runs }: TestReads): {
  text: string;
  isClean: boolean;
} {
  const times = count === 1 ? "once" : `${count} times`;
  const read = `The test images have been read ${times} in this run`;
  const own = readers.length > 1
    ? `${read}, by ${readers.length} different models or decisions. Whatever was changed after a ` +
      "test score had been seen makes the scores here look better than they will be on new images."
    : count === 1
    ? `${read}.`
    : `${read}, always with this model and threshold: a repeat adds nothing.`;
  const text = other_runs.length === 0 ? own : `${own} ${describeOthers(other_runs)}`;
  return { text, isClean: readers.length === 1 && other_runs.length === 0 };
}

/** Other runs that are named; of the rest their number is enough. */
const MOST_NAMES = 5;

function describeOthers(runs: readonly string[]): string {
  const more = runs.length - MOST_NAMES;
  const names = runs.slice(0, MOST_NAMES).map((run) => `“${run}”`).join(", ") +
    (more > 0 ? ` and ${more} more` : "");
  const who = runs.length === 1 ? "Another run was" : `${runs.length} other runs were`;
  return `${who} tested on the same images (${names}): choose between runs by their validation ` +
    "scores, since the best of several test scores owes part of itself to luck.";
}
