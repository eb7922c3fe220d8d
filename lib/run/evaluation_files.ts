import { realpath } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { z } from "zod";
import { readCsv, toCsv, writeCsv } from "../core/csv.ts";
import { DataError } from "../core/errors.ts";
import {
  exists,
  namesBetween,
  readJson,
  sha256File,
  sha256Of,
  writeAtomic,
  writeJson,
} from "../core/files.ts";

/** Paths of the files of an evaluation. */
export type EvaluationFiles = ReturnType<typeof evaluationFiles>;

/** The paths of an evaluation's files: all others lie beside the main one, with its name. */
export function evaluationFiles(evaluation: string) {
  const beside = (ending: string) => besideEvaluation(evaluation, ending);
  return {
    /** `name,ground_truth`: one row a readable image. */
    evaluation,
    /** One row a readable image, with probability and decision. */
    details: beside("_details.csv"),
    /** One row a patient or slide and one for all: images called positive, and their share. */
    groups: beside("_groups.csv"),
    /** Images for a person to review, those with the greatest need first; see {@linkcode writeList}. */
    review: beside("_review.csv"),
    /** `name,error`: one row an image that could not be read. */
    errors: beside("_errors.csv"),
    /** What was evaluated with what, and the counts. */
    summary: beside("_summary.json"),
    /** Folder of the work files, from which an interrupted evaluation goes on. */
    parts: beside("_parts"),
  };
}

/** The path of a file beside evaluation.csv, which has another ending. */
export function besideEvaluation(evaluation: string, ending: string): string {
  return evaluation.replace(/\.csv$/i, "") + ending;
}

/** A row of evaluation_details.csv: a new image with its prediction. */
export interface DetailsRow {
  /** Path relative to the folder, `/` separators. */
  name: string;
  /** Predicted class folder name. */
  predicted: string;
  /** Of the positive class, 0 to 1. */
  probability: number;
  /** Probability of the predicted class, 0 to 1. */
  confidence: number;
  /** `accept`, or `review`: a person should look at it. */
  decision: "accept" | "review";
  /** Patient or slide, by the pattern the model was trained with; empty where it finds none. */
  group: string;
  /** What is unusual about the image, separated by spaces; empty: nothing. */
  flags: string;
  /** As `probability`, before a correction for another prevalence. */
  probability_uncorrected: number;
  /**
   * How far the members of a model of folds disagree: the standard deviation of their log odds, as
   * calibrated; `null` (an empty cell) for a single model.
   */
  spread: number | null;
}

/** The columns of evaluation_details.csv. */
export const DETAILS_COLUMNS = [
  "name",
  "predicted",
  "probability",
  "confidence",
  "decision",
  "group",
  "flags",
  "probability_uncorrected",
  "spread",
] as const satisfies (keyof DetailsRow)[];

/** A row of evaluation_errors.csv: an image that could not be read, and why. */
export type ErrorRow = { name: string; error: string };

const SHARE_COLUMNS = ["n", "positive", "share", "low", "high", "corrected_share"] as const;

/** A row of evaluation_groups.csv: a patient or slide, or all images (`group` is empty). */
type GroupRow = { group: string } & Record<(typeof SHARE_COLUMNS)[number], number | null>;

/**
 * Writes the four tables, each atomically; evaluation.csv last, so that it speaks for all. Memory
 * does not grow with the number of images.
 *
 * @param images Begins anew each time it is called: once a file.
 */
export async function writeEvaluation(
  files: EvaluationFiles,
  groups: readonly GroupRow[],
  images: () => AsyncIterable<DetailsRow | ErrorRow>,
): Promise<void> {
  await writeCsv(files.groups, ["group", ...SHARE_COLUMNS], groups);
  const errors = choose(images(), (row) => "error" in row ? [row] : []);
  await writeCsv(files.errors, ["name", "error"], errors);
  const details = choose(images(), (row) => "error" in row ? [] : [row]);
  await writeCsv(files.details, DETAILS_COLUMNS, details);
  const predictions = choose(
    images(),
    (row) => "error" in row ? [] : [{ name: row.name, ground_truth: row.predicted }],
  );
  await writeCsv(files.evaluation, ["name", "ground_truth"], predictions);
}

async function* choose<T, R>(rows: AsyncIterable<T>, pick: (row: T) => R[]) {
  for await (const row of rows) yield* pick(row);
}

/**
 * Images to review as evaluation_review.csv, in the form of labels.csv: put into the folder of new
 * images under that name, it makes data of them. `label` is empty, for a person to fill: rows that
 * stay empty are left out of a training. `suggested` is the predicted class where the image is like
 * those that the model knows; of a flagged image it has none to suggest.
 */
export function reviewCsv(
  images: readonly (Pick<DetailsRow, "name" | "predicted" | "probability"> & {
    flags: readonly string[];
    need: number;
  })[],
): string {
  const columns = ["predicted", "probability", "suggested", "flags", "need"] as const;
  const rows = images.map(({ name, flags, ...image }) => ({
    ...image,
    path: name,
    label: "",
    suggested: flags.length === 0 ? image.predicted : "",
    flags: flags.join(" "),
  }));
  return toCsv(["path", "label", ...columns], rows); // as in labels.csv first
}

/** A list for review as it was written: another SHA-256 now is a person's work. */
export const writtenListSchema = z.object({ file: z.string(), sha256: z.string() });

type WrittenList = z.infer<typeof writtenListSchema>;

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

const count = z.int().min(0);

/** What evaluation_summary.json tells other steps; it holds more, for people. */
const summarySchema = z.object({
  /** Absolute path of the images, links followed. */
  folder: z.string(),
  model: z.looseObject({ weights_sha256: z.string() }),
  classified: count,
  unreadable: count,
  review: count,
  classes: z.array(z.object({ name: z.string(), images: count })),
  class_share: z.looseObject({ text: z.string() }).nullable(),
  review_lists: z.array(writtenListSchema).default([]),
});

/** Writes evaluation_summary.json, atomically. */
export async function writeSummary(
  { summary }: EvaluationFiles,
  content: z.input<typeof summarySchema> & Record<string, unknown>,
): Promise<void> {
  await writeJson(summary, content);
}

/** The lists for review that earlier evaluations wrote here, as far as the summary tells. */
export async function readReviewLists({ summary }: EvaluationFiles): Promise<WrittenList[]> {
  return (await readOrigin(summary))?.review_lists ?? [];
}

const originSchema = summarySchema.pick({ folder: true, model: true, review_lists: true });

/** Where results come from; `undefined`: the summary is missing or damaged, and tells nothing. */
async function readOrigin(path: string) {
  return originSchema.safeParse(await readJson(path, "").catch(() => null)).data;
}

/**
 * Refuses to overwrite an evaluation of another folder or with another model.
 *
 * @param origin `folder`: real path of the images. `model`: SHA-256 of the model's weights.
 * @throws {DataError} When there is one, or a file of which nobody knows what it is.
 */
export async function refuseOverwriting(
  files: EvaluationFiles,
  origin: { folder: string; model: string },
): Promise<void> {
  if (!await exists(files.evaluation)) return;
  const previous = await readOrigin(files.summary);
  if (previous?.folder === origin.folder && previous.model.weights_sha256 === origin.model) return;
  const reason = previous === undefined
    ? "it is there already, and nothing tells where it comes from"
    : previous.folder !== origin.folder
    ? `it holds the results of another folder, ${previous.folder}`
    : "it holds the results of another model";
  throw new DataError(
    `${files.evaluation} is not overwritten: ${reason}.`,
    "Name another file with --out, or overwrite it with --force.",
    { file: files.evaluation },
  );
}

/**
 * Refuses to write into the folder of new images: the next evaluation would find other files there,
 * and the folder may be the only copy.
 *
 * @throws {DataError} When the file would be in the folder, links followed.
 */
export async function refuseInside(evaluation: string, folder: string): Promise<void> {
  if (namesBetween(await realpath(folder), await realParent(evaluation)) === null) return;
  throw new DataError(
    `${evaluation} would be written into the folder of the images, ${folder}.`,
    "Name a file outside it with --out. Nothing is ever written among the images.",
    { file: evaluation },
  );
}

async function realParent(path: string): Promise<string> {
  const parent = dirname(path);
  return await exists(parent)
    ? await realpath(parent)
    : join(await realParent(parent), basename(parent));
}

/**
 * Reads what section 7 left: its summary where there is one, else counted from its tables.
 *
 * @param evaluation Path of evaluation.csv.
 * @returns Numbers of images, and `shareText`: what was done about another prevalence; that and the
 *   SHA-256 of the model's weights are `null` without a summary.
 * @throws {DataError} When a file is damaged, or of another version of the project.
 */
export async function readEvaluationCounts(evaluation: string) {
  const { summary, details, errors } = evaluationFiles(evaluation);
  if (await exists(summary)) {
    const { data } = summarySchema.omit({ folder: true }).safeParse(await readJson(summary, ""));
    if (!data) {
      throw new DataError(`${summary} is damaged, or of another version of the project.`, "", {
        file: summary,
      });
    }
    const { classified, unreadable, review, classes, model, class_share } = data;
    return {
      ...{ classified, unreadable, review, classes },
      shareText: class_share?.text ?? null,
      weightsSha256: model.weights_sha256 as string | null,
    };
  }
  const rows = await readCsv(details, ["predicted", "decision"], "");
  return {
    classified: rows.length,
    unreadable: await exists(errors) ? (await readCsv(errors, ["name"], "")).length : 0,
    review: rows.filter(({ decision }) => decision === "review").length,
    classes: [...Map.groupBy(rows, ({ predicted }) => predicted)]
      .map(([name, own]) => ({ name, images: own.length })),
    shareText: null,
    weightsSha256: null,
  };
}
