import { z } from "zod";
import { exists, readJson, writeJson } from "../../files.ts";
import { writtenListSchema } from "./write_list.ts";

const tested = z.object({
  created: z.iso.datetime(),
  predictions: z.array(z.object({
    path: z.string(),
    label: z.string(),
    predicted: z.string(),
    probability: z.number(),
  })),
});

const recordSchema = z.object({
  written: z.array(writtenListSchema),
  current: tested,
  corrected: tested.nullable(),
});

/** All test images with what was known of them when a list for review was written. */
export type TestedImages = z.infer<typeof tested>;

/**
 * review.json: what was written for review, so that a person's edits are recognised and corrections
 * can be compared with what was there before them.
 *
 * - `written`: the lists.
 * - `current`: the test that the newest list is of.
 * - `corrected`: the last test before labels were corrected; `null`: none have been.
 */
export type ReviewRecord = z.infer<typeof recordSchema>;

/** Reads review.json; `null` when there is none or it is damaged: all lists then count as edited. */
export async function readReviewRecord(path: string): Promise<ReviewRecord | null> {
  if (!await exists(path)) return null;
  const json = await readJson(path, "").catch(() => null);
  return recordSchema.safeParse(json).data ?? null;
}

/** Writes review.json, atomically. */
export async function writeReviewRecord(path: string, record: ReviewRecord): Promise<void> {
  await writeJson(path, record);
}
