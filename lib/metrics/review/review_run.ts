import { join } from "node:path";
import type { Config } from "../../config_schema.ts";
import { readCsv, toCsv } from "../../csv.ts";
import { pathFinder } from "../../data/path_finder.ts";
import { exists } from "../../files.ts";
import type { ModelCard } from "../../model/model_card.ts";
import { fromRoot, LABELS_FILE, runPaths } from "../../paths.ts";
import { readSplit } from "../../split/split.ts";
import type { TestPrediction } from "../test_run.ts";
import { chooseReview, type Review } from "./choose_review.ts";
import { compareLabels, type LabelComparison } from "./compare_labels.ts";
import {
  readReviewRecord,
  type ReviewRecord,
  type TestedImages,
  writeReviewRecord,
} from "./review_record.ts";
import { writeList } from "./write_list.ts";

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
