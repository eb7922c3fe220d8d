import { mean } from "d3-array";
import { join } from "node:path";
import { readCsv, toCsv } from "../core/csv.ts";
import { exists } from "../core/files.ts";
import { fromRoot, LABELS_FILE } from "../core/paths.ts";
import { compareCodePoints } from "../core/words.ts";
import { pathFinder } from "../data/labels.ts";
import { readReviewRecord, type TestedImages, writeReviewRecord } from "../run/checks.ts";
import { writeList } from "../run/evaluation_files.ts";
import type { PredictionRow } from "../run/predictions.ts";
import type { Run } from "../run/run.ts";
import { readSplit } from "../run/split_file.ts";
import { certaintyOf, type ExamplePredictions } from "./test.ts";

const COLUMNS = ["path", "label", "predicted", "probability", "suggested"] as const;

/** What notebook 06 shows of the images to look at again. */
export interface ReviewRun extends ReturnType<typeof chooseReview> {
  /** Name of the list in results/RUN/: review.csv, or review_2.csv where that one was edited. */
  file: string;
  /** Lists that a person has edited, which were left as they are. */
  edited: string[];
  /** How to correct labels, for this data folder. */
  howTo: string;
  /** What corrections so far changed; `null`: none. */
  corrections: ReturnType<typeof compareLabels>;
  /** Corrected labels in labels.csv that the split does not have yet. */
  pending: number;
}

/**
 * Lists the test images to look at again in results/RUN/review.csv, in the form that labels.csv takes
 * back, and tells what corrections since the last list changed. A list that a person has edited is
 * never overwritten: the next free name of review_2.csv, review_3.csv and so on is taken.
 *
 * @param predictions Of the test images.
 * @throws {DataError} When split.csv is missing, or labels.csv is no CSV with its columns.
 */
export async function reviewRun(
  { config, name, paths }: Run,
  predictions: ExamplePredictions<PredictionRow>,
): Promise<ReviewRun> {
  const { classes } = predictions;
  const review = chooseReview(predictions);
  const tests = predictions.rows.map(({ path, label, predicted, probability }) => {
    return { path, label, predicted, probability };
  });
  const current: TestedImages = { created: new Date().toISOString(), predictions: tests };
  const record = await readReviewRecord(paths.reviewRecord);
  const split = await readSplit(paths.split);
  const inSplit = new Map(split.map(({ path, label }) => [path, label]));
  const labelsFile = join(fromRoot(config.data.folder), LABELS_FILE);
  const tested = [current, record?.current, record?.corrected];
  const known = [...split, ...tested.flatMap((test) => test?.predictions ?? [])];
  const own = await readOwnLabels(labelsFile, known.map(({ path }) => path), classes);
  const labelNow = (path: string, label: string): string | null =>
    own?.has(path) ? own.get(path)! : inSplit.get(path) ?? label;
  const compare = ({ predictions, created }: TestedImages) => {
    const time = created.slice(0, 16).replace("T", " "); // "2026-01-02 03:04"
    return compareLabels(predictions, labelNow, `since the test of ${time} UTC`);
  };
  const corrected = record && compare(record.current) ? record.current : record?.corrected ?? null;
  const { file, written, edited } = await writeList(
    join(paths.results, "review.csv"),
    toCsv(COLUMNS, [...review.doubtful, ...review.uncertain].map((row) => ({ ...row }))),
    record?.written ?? [],
  );
  await writeReviewRecord(paths.reviewRecord, { written, current, corrected });
  const inFolders = current.predictions.map((row) => {
    const folder = row.path.split("/", 1)[0]!;
    return { ...row, label: classes.includes(folder) ? folder : row.label };
  });
  return {
    ...review,
    file,
    edited,
    howTo: describeHowTo(`results/${name}/${file}`, config.data.folder, own !== null),
    corrections: corrected
      ? compare(corrected)
      : compareLabels(inFolders, labelNow, "against the names of the class folders"),
    pending: [...own ?? []].filter(([path, label]) => (inSplit.get(path) ?? null) !== label).length,
  };
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
  const put = hasLabels
    ? `put the corrected rows into ${where}, in place of the rows of the same images`
    : `save it as ${where}`;
  return `To correct: open ${file} in a spreadsheet, change wrong labels in the column “label” ` +
    "(“suggested” is the class that is likelier than a label in doubt; an empty label leaves the " +
    `image out), and ${put}. Then run notebooks 02 to 06 again.`;
}

/**
 * Ranks images by how strongly their predictions speak against their labels: confident learning
 * (Northcutt, Jiang & Chuang 2021, JAIR 70:1373-1411).
 *
 * The threshold of a side, the positive class or the rest, is the mean probability of it among images
 * labelled so. The likely side of an image is the one whose threshold its probability reaches, the
 * more probable if it reaches both; an image whose likely side is not its label's is a candidate for
 * a label error. Candidates come first, and all by self-confidence, the probability of the label's
 * side, rising (with two sides also the order by normalised margin).
 *
 * @param predictions Each by a model that never saw the image; calibrated, which puts the members of
 * all folds on one scale and makes 0.5 the same on both sides.
 * @returns All of them; `suggested`: of a candidate its likely class, of three classes or more the
 * predicted one where that is not the positive; else empty.
 */
export function rankByDoubt<T extends PredictionRow>(
  { rows, classes }: Pick<ExamplePredictions<T>, "rows" | "classes">,
): (T & { suggested: string })[] {
  const positive = classes.at(-1)!;
  const confidence = ({ label, probability }: PredictionRow, side = label === positive) =>
    side ? probability : 1 - probability;
  const thresholdOf = (side: boolean) =>
    (mean(rows.filter(({ label }) => (label === positive) === side), (row) => confidence(row)) ??
      Infinity) - ROUNDING;
  const [forRest, forPositive] = [thresholdOf(false), thresholdOf(true)];
  const ranked = rows.map((row) => {
    const isPositive = row.label === positive;
    const [own, other] = [confidence(row), confidence(row, !isPositive)];
    const [ownLeast, otherLeast] = isPositive ? [forPositive, forRest] : [forRest, forPositive];
    const candidate = other >= otherLeast && !(own >= ownLeast && own >= other);
    const rest = classes.length === 2 ? classes[0]! : row.predicted;
    const likely = isPositive ? rest : positive;
    return { ...row, suggested: candidate && likely !== row.label ? likely : "" };
  });
  const last = ({ suggested }: { suggested: string }) => suggested === "" ? 1 : 0;
  return ranked.sort((a, b) =>
    last(a) - last(b) || confidence(a) - confidence(b) || compareCodePoints(a.path, b.path)
  );
}

/** So that a probability that equals a mean reaches it. */
const ROUNDING = 1e-9;

/** Most labels in doubt that are listed, for nobody looks at thousands. */
const MOST_DOUBTFUL = 50;

/**
 * The images to look at again: up to 50 whose label is in doubt (the candidates of
 * {@linkcode rankByDoubt}, and after them the other mistakes), and of the others those that the
 * prediction is least certain of, a tenth of all (5 to 50).
 */
export function chooseReview(predictions: ExamplePredictions<PredictionRow>) {
  const { rows, threshold } = predictions;
  const few = Math.min(50, Math.max(5, Math.ceil(0.1 * rows.length)));
  const ranked = rankByDoubt(predictions);
  const isMistake = ({ label, predicted }: PredictionRow) => label !== predicted;
  const inDoubt = ranked.filter((row) => row.suggested !== "" || isMistake(row));
  const doubtful = inDoubt.slice(0, MOST_DOUBTFUL);
  const listed = new Set(doubtful);
  const uncertain = ranked.filter((row) => !listed.has(row)).sort((a, b) =>
    certaintyOf(a, threshold) - certaintyOf(b, threshold) || compareCodePoints(a.path, b.path)
  ).slice(0, few);
  const candidates = ranked.filter(({ suggested }) => suggested !== "").length;
  const mistakesOf = rows.filter(isMistake).length;
  return { doubtful, uncertain, candidates, mistakesOf, of: rows.length };
}

/**
 * What corrected labels make of predictions that were scored with the labels before.
 *
 * @param tested The predictions, with their labels as they were.
 * @param labelNow The label now of an image that had the one given; `null`: it is left out.
 * @param since Since when, or against what, as it follows on "3 labels corrected": "since …".
 * @returns The changed labels (`after` is `null` where the image is left out now), the share of right
 * predictions before and after (`null` when no image is left), and all of it in words; `null` when no
 * label has changed.
 */
export function compareLabels(
  tested: TestedImages["predictions"],
  labelNow: (path: string, label: string) => string | null,
  since: string,
) {
  const rows = tested.map(({ path, label, predicted }) => {
    return { path, before: label, after: labelNow(path, label), predicted };
  });
  const changes = rows.filter(({ before, after }) => after !== before);
  if (changes.length === 0) return null;
  const kept = rows.filter(({ after }) => after !== null);
  const before = rows.filter((row) => row.predicted === row.before).length / rows.length;
  const right = kept.filter((row) => row.predicted === row.after).length;
  const after = kept.length === 0 ? null : right / kept.length;
  const count = `${changes.length} label${changes.length === 1 ? "" : "s"}`;
  const leftOut = changes.filter((change) => change.after === null).length;
  const out = leftOut > 0 ? ` (${leftOut} of them left out)` : "";
  const agreeing = changes.filter((change) => change.after === change.predicted).length;
  const then = after === null
    ? "no image is left with the corrected ones"
    : `with the corrected ones ${after.toFixed(3)}`;
  const favour = after !== null && after > before
    ? " Whoever looks again mostly at what the model got wrong finds mostly errors that speak for " +
      "it: the second number flatters."
    : "";
  return {
    changes,
    accuracy: { before, after },
    sentence:
      `${count} corrected ${since}${out}, ${agreeing} to what the model had predicted. Its ` +
      `accuracy on those ${rows.length} test images: with the old labels ${before.toFixed(3)}, ` +
      `${then}.${favour}`,
  };
}
