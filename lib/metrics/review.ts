import { join } from "node:path";
import { z } from "zod";
import { readCsv, toCsv } from "../core/csv.ts";
import { exists, readJson, writeJson } from "../core/files.ts";
import { fromRoot, LABELS_FILE, runPaths } from "../core/paths.ts";
import type { Config } from "../core/settings.ts";
import { pathFinder } from "../data/labels.ts";
import { writeList, writtenListSchema } from "../run/evaluation_files.ts";
import type { ModelCard } from "../run/model_card.ts";
import { readSplit } from "../run/split_file.ts";
import {
  certaintyOf,
  chooseExamples,
  type ExamplePrediction,
  type TestPrediction,
} from "./test.ts";

const COLUMNS = ["path", "label", "predicted", "probability", "suggested"] as const;

/** What notebook 06 shows of the images to look at again. */
export interface ReviewRun extends Review {
  /** Name of the list in results/RUN/: review.csv, or review_2.csv where that one was edited. */
  file: string;
  /** Lists that a person has edited, which were left as they are. */
  edited: string[];
  /** How to correct labels, for this data folder. */
  howTo: string;
  /** What corrections so far changed; `null`: none. */
  corrections: LabelComparison | null;
  /** Corrected labels in labels.csv that the split does not have yet. */
  pending: number;
}

/**
 * Lists the test images to look at again in results/RUN/review.csv, in the form that labels.csv takes
 * back, and tells what corrections since the last list changed. A list that a person has edited is
 * never overwritten: the next free name of review_2.csv, review_3.csv and so on is taken.
 *
 * @param predictions Of notebook 06, by the model of `card`.
 * @throws {DataError} When split.csv is missing, or labels.csv is no CSV with its columns.
 */
export async function reviewRun(
  config: Config,
  predictions: readonly TestPrediction[],
  card: ModelCard,
): Promise<ReviewRun> {
  const paths = runPaths(config.run);
  const { classes } = card.architecture;
  const review = chooseReview(predictions, { threshold: card.decision.threshold, classes });
  const current = testedImages(predictions);
  const record = await readReviewRecord(paths.reviewRecord);
  const split = await readSplit(paths.split);
  const inSplit = new Map(split.map(({ path, label }) => [path, label]));
  const labelsFile = join(fromRoot(config.data.folder), LABELS_FILE);
  const known = [...split, ...current.predictions, ...earlierImages(record)];
  const own = await readOwnLabels(labelsFile, known.map(({ path }) => path), classes);
  const labelNow = (path: string, label: string): string | null =>
    own?.has(path) ? own.get(path)! : inSplit.get(path) ?? label;
  const compare = (tested: TestedImages) =>
    compareLabels(tested.predictions, labelNow, `since the test of ${timeText(tested.created)}`);
  const corrected = record && compare(record.current) ? record.current : record?.corrected ?? null;
  const { file, written, edited } = await writeList(
    join(paths.results, "review.csv"),
    toCsv(COLUMNS, [...review.mistakes, ...review.uncertain].map((row) => ({ ...row }))),
    record?.written ?? [],
  );
  await writeReviewRecord(paths.reviewRecord, { written, current, corrected });
  const inFolders = withFolderLabels(current.predictions, classes);
  return {
    ...review,
    file,
    edited,
    howTo: describeHowTo(`results/${config.run}/${file}`, config.data.folder, own !== null),
    corrections: corrected
      ? compare(corrected)
      : compareLabels(inFolders, labelNow, "against the names of the class folders"),
    pending: [...own ?? []].filter(([path, label]) => (inSplit.get(path) ?? null) !== label).length,
  };
}

function testedImages(predictions: readonly TestPrediction[]): TestedImages {
  return {
    created: new Date().toISOString(),
    predictions: predictions.map(({ path, label, predicted, probability }) => {
      return { path, label, predicted, probability };
    }),
  };
}

function earlierImages(record: ReviewRecord | null): TestedImages["predictions"] {
  return [...record?.current.predictions ?? [], ...record?.corrected?.predictions ?? []];
}

/** "2026-01-02 03:04 UTC" */
function timeText(iso: string): string {
  return `${iso.slice(0, 16).replace("T", " ")} UTC`;
}

/** Labelled as the class folders that the images lie in, where they lie in one. */
function withFolderLabels(
  predictions: TestedImages["predictions"],
  classes: readonly string[],
): TestedImages["predictions"] {
  return predictions.map((row) => {
    const folder = row.path.split("/", 1)[0]!;
    return { ...row, label: classes.includes(folder) ? folder : row.label };
  });
}

/**
 * What labels.csv says of some images; what it says of others, and labels that are no class, are for
 * the scan of notebook 02 to judge. `null` when there is no labels.csv.
 */
async function readOwnLabels(
  file: string,
  paths: readonly string[],
  classes: readonly string[],
): Promise<Map<string, string | null> | null> {
  if (!await exists(file)) return null;
  const labels = new Map<string, string | null>();
  const find = pathFinder(paths);
  const remedy = "Write it as path,label[,group], or remove it; then run this cell again.";
  for (const row of await readCsv(file, ["path", "label"], remedy)) {
    const path = find(row.path);
    const written = row.label.trim().normalize("NFC");
    const label = classes.find((name) => name.normalize("NFC") === written);
    if (path !== null && (label !== undefined || written === "")) labels.set(path, label ?? null);
  }
  return labels;
}

function describeHowTo(file: string, folder: string, hasLabels: boolean): string {
  const where = `${folder.replace(/\/+$/, "")}/${LABELS_FILE}`;
  return `To correct: open ${file} in a spreadsheet, change wrong labels in the column “label” ` +
    "(“suggested” is the model's answer where it was sure of it; an empty label leaves the image " +
    `out), and ${
      hasLabels
        ? `put the corrected rows into ${where}, in place of the rows of the same images`
        : `save it as ${where}`
    }. Then run notebooks 02 to 06 again.`;
}

/** Mistakes that a person is asked to look at, at most: a list of thousands is looked at by nobody. */
const MOST_MISTAKES = 50;

/** Least certain images: a tenth of the test images, within these bounds. */
const UNCERTAIN = { share: 0.1, least: 5, most: 50 };

/** From this certainty on, half of what is possible, a mistake is a confident one. */
const CONFIDENT = 0.5;

/** An image that a person should look at again: a row of review.csv. */
interface ReviewRow extends ExamplePrediction {
  /** The model's answer where it is sure and the label is another; empty: a person decides. */
  suggested: string;
}

/** What is worth a second look. */
interface Review {
  /** The most confident first. */
  mistakes: ReviewRow[];
  /** The least certain of the others first. */
  uncertain: ReviewRow[];
  /** All images that were answered otherwise than labelled. */
  mistakesOf: number;
  /** All test images. */
  of: number;
}

/**
 * The test images to look at again, since their label may be wrong: up to 50 mistakes, and of the
 * others the least certain tenth (5 to 50).
 *
 * @param options As `chooseExamples` takes them.
 */
export function chooseReview(
  predictions: readonly ExamplePrediction[],
  { threshold, classes }: { threshold: number; classes: readonly string[] },
): Review {
  const { share, least, most } = UNCERTAIN;
  const few = Math.min(most, Math.max(least, Math.ceil(share * predictions.length)));
  const groups = chooseExamples(predictions, { threshold, classes, most: MOST_MISTAKES });
  const of = (kind: string) => groups.find((group) => group.kind === kind)!;
  const row = ({ path, label, predicted, probability }: ExamplePrediction): ReviewRow => {
    const isConfident = certaintyOf({ probability }, threshold) >= CONFIDENT;
    const suggested = predicted !== label && isConfident ? predicted : "";
    return { path, label, predicted, probability, suggested };
  };
  return {
    mistakes: of("mistakes").examples.map(row),
    uncertain: of("uncertain").examples.slice(0, few).map(row),
    mistakesOf: of("mistakes").of,
    of: predictions.length,
  };
}

/** A label that is another now. */
interface LabelChange {
  path: string;
  before: string;
  /** `null`: the image is left out now. */
  after: string | null;
  /** What the model answered when the label was still the old one. */
  predicted: string;
}

/** What corrected labels change. */
interface LabelComparison {
  /** In the order of the predictions. */
  changes: LabelChange[];
  /** Share of right answers before and after, 0 to 1; `null` when no image is left. */
  accuracy: { before: number; after: number | null };
  /** All of it in words. */
  sentence: string;
}

/**
 * What corrected labels make of predictions that were scored with the labels before.
 *
 * @param tested The predictions, with their labels as they were.
 * @param labelNow The label now of an image that had the one given; `null`: it is left out.
 * @param since Since when, or against what, as it follows on "3 labels corrected": "since …".
 * @returns `null` when no label has changed.
 */
export function compareLabels(
  tested: TestedImages["predictions"],
  labelNow: (path: string, label: string) => string | null,
  since: string,
): LabelComparison | null {
  const rows = tested.map((row) => ({ ...row, after: labelNow(row.path, row.label) }));
  const changed = rows.filter(({ label, after }) => after !== label);
  if (changed.length === 0) return null;
  const kept = rows.filter(({ after }) => after !== null);
  const before = rows.filter((row) => row.predicted === row.label).length / rows.length;
  const after = kept.length === 0
    ? null
    : kept.filter((row) => row.predicted === row.after).length / kept.length;
  const changes = changed.map(({ path, label, after, predicted }): LabelChange => ({
    path,
    before: label,
    after,
    predicted,
  }));
  const accuracy = { before, after };
  return { changes, accuracy, sentence: describe(changes, accuracy, rows.length, since) };
}

function describe(
  changes: readonly LabelChange[],
  { before, after }: LabelComparison["accuracy"],
  n: number,
  since: string,
): string {
  const leftOut = changes.filter((change) => change.after === null).length;
  const toAnswer = changes.filter((change) => change.after === change.predicted).length;
  const count = `${changes.length} label${changes.length === 1 ? "" : "s"}`;
  const out = leftOut > 0 ? ` (${leftOut} of them left out)` : "";
  const then = after === null
    ? "no image is left with the corrected ones"
    : `with the corrected ones ${after.toFixed(3)}`;
  const favour = after !== null && after > before
    ? " Whoever looks again mostly at what the model got wrong finds mostly errors that speak for " +
      "it: the second number flatters."
    : "";
  return `${count} corrected ${since}${out}, ${toAnswer} to what the model had answered. Its ` +
    `accuracy on those ${n} test images: with the old labels ${
      before.toFixed(3)
    }, ${then}.${favour}`;
}

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
type TestedImages = z.infer<typeof tested>;

/**
 * review.json: what was written for review, so that a person's edits are recognised and corrections
 * can be compared with what was there before them.
 *
 * - `written`: the lists.
 * - `current`: the test that the newest list is of.
 * - `corrected`: the last test before labels were corrected; `null`: none have been.
 */
type ReviewRecord = z.infer<typeof recordSchema>;

/** Reads review.json; `null` when there is none or it is damaged: all lists then count as edited. */
async function readReviewRecord(path: string): Promise<ReviewRecord | null> {
  if (!await exists(path)) return null;
  const json = await readJson(path, "").catch(() => null);
  return recordSchema.safeParse(json).data ?? null;
}

/** Writes review.json, atomically. */
async function writeReviewRecord(path: string, record: ReviewRecord): Promise<void> {
  await writeJson(path, record);
}
