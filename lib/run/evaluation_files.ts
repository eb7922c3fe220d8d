import { realpath } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { z } from "zod";
import { DataError } from "../core/errors.ts";
import { exists, namesBetween, sha256File, sha256Of, writeAtomic } from "../core/files.ts";

/** A list for review as it was written: another SHA-256 now is a person's work. */
export const writtenListSchema = z.object({ file: z.string(), sha256: z.string() });

/** See {@linkcode writtenListSchema}. */
type WrittenList = z.infer<typeof writtenListSchema>;

/** The files of an evaluation. */
export interface EvaluationFiles {
  /** `name,ground_truth`: one row a readable image. */
  evaluation: string;
  /** One row a readable image, with probability and decision. */
  details: string;
  /** One row a patient or slide and one for all: images called positive, and their share. */
  groups: string;
  /**
   * Images for a person to look at, in the form of labels.csv, those with the greatest need first;
   * …_review_2.csv and so on where a person has edited that.
   */
  review: string;
  /** `name,error`: one row an image that could not be read. */
  errors: string;
  /** What was evaluated with what, and the counts. */
  summary: string;
  /** Folder of the work files, from which an interrupted evaluation goes on. */
  parts: string;
}

/** The files' paths: all others lie beside the main one, with its name. */
export function evaluationFiles(evaluation: string): EvaluationFiles {
  const stem = stemOf(evaluation);
  return {
    evaluation,
    details: `${stem}_details.csv`,
    groups: `${stem}_groups.csv`,
    review: `${stem}_review.csv`,
    errors: `${stem}_errors.csv`,
    summary: `${stem}_summary.json`,
    parts: `${stem}_parts`,
  };
}

/** The path of a file beside evaluation.csv, which has another ending. */
export function besideEvaluation(evaluation: string, ending: string): string {
  return stemOf(evaluation) + ending;
}

function stemOf(evaluation: string): string {
  return evaluation.replace(/\.csv$/i, "");
}

/**
 * Refuses to write into the folder of new images: the next evaluation would find other files there,
 * and the folder may be the only copy.
 *
 * @throws {DataError} When the file would be in the folder, links followed.
 */
export async function refuseInside(evaluation: string, folder: string): Promise<void> {
  const parent = await realParent(evaluation);
  if (namesBetween(await realpath(folder), parent) !== null) {
    throw new DataError(
      `${evaluation} would be written into the folder of the images, ${folder}.`,
      "Name a file outside it with --out. Nothing is ever written among the images.",
    );
  }
}

/** The folder that a file is or would be in, links followed. */
async function realParent(path: string): Promise<string> {
  const parent = dirname(path);
  return await exists(parent)
    ? await realpath(parent)
    : join(await realParent(parent), basename(parent));
}

const summarySchema = z.object({
  folder: z.string(),
  model: z.object({ weights_sha256: z.string() }),
  review_lists: z.array(writtenListSchema).default([]),
});

/** Where results come from. */
interface Origin {
  /** Absolute path of the images. */
  folder: string;
  /** SHA-256 of the model's weights. */
  model: string;
}

/**
 * Refuses to overwrite an evaluation of another folder or with another model.
 *
 * @throws {DataError} When there is one, or a file of which nobody knows what it is.
 */
export async function refuseOverwriting(files: EvaluationFiles, origin: Origin): Promise<void> {
  if (!await exists(files.evaluation)) return;
  const previous = await readOrigin(files.summary);
  const reason = previous === null
    ? "it is there already, and nothing tells where it comes from"
    : previous.folder !== origin.folder
    ? `it holds the results of another folder, ${previous.folder}`
    : previous.model !== origin.model
    ? "it holds the results of another model"
    : null;
  if (reason === null) return;
  throw new DataError(
    `${files.evaluation} is not overwritten: ${reason}.`,
    "Name another file with --out, or overwrite it with --force.",
  );
}

async function readOrigin(path: string): Promise<Origin | null> {
  const summary = await readSummary(path);
  return summary && { folder: summary.folder, model: summary.model.weights_sha256 };
}

/** The lists for review that evaluations have written here; of none there is a word: none. */
export async function readReviewLists({ summary }: EvaluationFiles): Promise<WrittenList[]> {
  return (await readSummary(summary))?.review_lists ?? [];
}

/** `null`: missing or damaged, it tells nothing. */
async function readSummary(path: string): Promise<z.infer<typeof summarySchema> | null> {
  try {
    return summarySchema.parse(JSON.parse(await Deno.readTextFile(path)));
  } catch {
    return null;
  }
}

/**
 * Writes a list for review as NAME.csv, or as the first of NAME_2.csv, NAME_3.csv and so on that is
 * free or still holds what was written there: a person's edits are never overwritten.
 *
 * @param path Absolute, of NAME.csv.
 * @param before The lists written so far.
 * @returns The file's name, the names of those that a person has edited, and all lists written.
 */
export async function writeList(
  path: string,
  text: string,
  before: readonly WrittenList[],
): Promise<{ file: string; edited: string[]; written: WrittenList[] }> {
  const stem = basename(path).replace(/\.csv$/i, "");
  const sha256 = await sha256Of(new TextEncoder().encode(text));
  const edited: string[] = [];
  for (let number = 1;; number++) {
    const file = number === 1 ? basename(path) : `${stem}_${number}.csv`;
    const place = join(dirname(path), file);
    const own = [sha256, before.find((list) => list.file === file)?.sha256];
    if (await exists(place) && !own.includes(await sha256File(place))) {
      edited.push(file);
      continue;
    }
    await writeAtomic(place, text);
    return { file, edited, written: [...before.filter((l) => l.file !== file), { file, sha256 }] };
  }
}
