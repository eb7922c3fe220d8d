import { z } from "zod";
import { DataError } from "../errors.ts";
import { readJson } from "../files.ts";
import { SCORE_NAMES } from "../score_names.ts";
import type { Scores } from "./score.ts";
import { type TestReads, testReadsSchema } from "./test_reads.ts";

const number = z.number().nullable();
const scoreSchema = z.object({
  value: number,
  low: number,
  high: number,
  baseline: number,
  n: z.int().min(0),
  method: z.string(),
  reason: z.string().exactOptional(),
  references: z.array(z.object({ name: z.string(), value: z.number(), note: z.string() }))
    .exactOptional(),
});

/** What metrics.json holds. */
export interface Metrics {
  scores: Partial<Scores>;
  reads: TestReads;
}

/**
 * Reads metrics.json.
 *
 * @throws {DataError} When it is missing or damaged.
 */
export async function readMetrics(path: string): Promise<Metrics> {
  const remedy = "Run notebook 06 again; it writes this file.";
  const json = await readJson(path, remedy) as Record<string, unknown> | null;
  const { data: reads } = testReadsSchema.safeParse(json?.["test_reads"]);
  if (!json || !reads) throw new DataError(`${path} is damaged, or of another version.`, remedy);
  const scores: Partial<Scores> = {};
  for (const name of SCORE_NAMES) {
    if (!Object.hasOwn(json, name)) continue;
    const { data: score } = scoreSchema.safeParse(json[name]);
    if (!score) throw new DataError(`${path}: the score ${name} cannot be read.`, remedy);
    scores[name] = score;
  }
  return { scores, reads };
}
