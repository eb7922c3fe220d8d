import { z } from "zod";
import { DataError } from "../core/errors.ts";
import { exists, readJson, writeJson } from "../core/files.ts";
import { writtenListSchema } from "./evaluation_files.ts";

const [text, probability] = [z.string(), z.number()];

const testedImagesSchema = z.object({
  created: z.iso.datetime(),
  predictions: z.array(z.object({ path: text, label: text, predicted: text, probability })),
});

/** The test images with their labels and predictions when a list for review was written. */
export type TestedImages = z.infer<typeof testedImagesSchema>;

const reviewRecordSchema = z.object({
  written: z.array(writtenListSchema),
  /** The test that the newest list is of. */
  current: testedImagesSchema,
  /** The last test before labels were corrected; `null`: none have been. */
  corrected: testedImagesSchema.nullable(),
});

/**
 * review.json: what was written for review, so that a person's edits are recognised and corrections
 * can be compared with what was there before them.
 */
type ReviewRecord = z.infer<typeof reviewRecordSchema>;

/** Reads review.json; `null` when there is none or it is damaged: all lists then count as edited. */
export async function readReviewRecord(path: string): Promise<ReviewRecord | null> {
  if (!await exists(path)) return null;
  const json = await readJson(path, "").catch(() => null);
  return reviewRecordSchema.safeParse(json).data ?? null;
}

/** Writes review.json, atomically. */
export const writeReviewRecord: (path: string, record: ReviewRecord) => Promise<void> = writeJson;

const correlation = z.number().nullable();

const mapCheckSchema = z.object({
  /** How many were checked. */
  images: z.int().min(0),
  /** Rank correlation with the maps of a model whose head is randomised. */
  randomHead: correlation,
  /** The same where the last 30 other layers are randomised too. */
  randomLastLayers: correlation,
  /** Pearson correlation with occlusion sensitivity. */
  occlusion: correlation,
  /** The maps would look much the same had the model learnt nothing: they are no reasons. */
  doubtful: z.boolean(),
  /** All of it in words. */
  sentence: z.string(),
});

/**
 * explanation_check.json: whether heat maps can be believed. Correlations are means over images;
 * `null`: undefined in all.
 */
export type MapCheck = z.infer<typeof mapCheckSchema>;

/**
 * Reads explanation_check.json.
 *
 * @returns `null` when there was no map to check.
 * @throws {DataError} When it is missing or damaged.
 */
export async function readMapCheck(path: string): Promise<MapCheck | null> {
  const remedy = "Run notebook 06 again; it writes this file.";
  const { success, data } = mapCheckSchema.nullable().safeParse(await readJson(path, remedy));
  if (success) return data;
  throw new DataError(`${path} is damaged, or of another version of the project.`, remedy, {
    file: path,
  });
}

/** Writes explanation_check.json, atomically. */
export const writeMapCheck: (path: string, check: MapCheck | null) => Promise<void> = writeJson;
