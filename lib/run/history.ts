import { readCsv, writeCsv } from "../core/csv.ts";
import { DataError } from "../core/errors.ts";
import { exists } from "../core/files.ts";
import type { Monitor } from "../core/settings.ts";

/** One epoch of training. `null` where a score is undefined (AUC with one class absent). */
export interface HistoryRow {
  /** 1-based. */
  epoch: number;
  /** Mean categorical cross-entropy over the training images, as seen during the epoch. */
  loss: number;
  /** Share of training images whose more probable class was right, 0 to 1. */
  accuracy: number;
  /** Area under the ROC curve of the positive class on the training images, 0 to 1. */
  auc: number | null;
  val_loss: number;
  val_accuracy: number;
  val_auc: number | null;
  /** Adam's step size during this epoch. */
  learning_rate: number;
  /** Wall-clock time of the epoch, validation included. */
  seconds: number;
  /** The fold that the model is tested on, where there are folds: `Member.fold`. */
  fold?: string;
}

/** Something a callback did at the end of an epoch; drawn on the learning curves. */
export interface TrainingEvent {
  /** 1-based. */
  epoch: number;
  kind: "checkpoint" | "reduce_lr" | "early_stopping" | "unfreeze";
  /** What happened, for people: "learning rate 1e-4 → 1e-5". */
  note: string;
  /** As of a {@linkcode HistoryRow}. */
  fold?: string;
}

const columns = [
  "epoch",
  "loss",
  "accuracy",
  "auc",
  "val_loss",
  "val_accuracy",
  "val_auc",
  "learning_rate",
  "seconds",
] as const satisfies readonly (keyof HistoryRow)[];

const eventColumns = ["epoch", "kind", "note"] as const;

/** The column that names the fold, where there are folds. */
const foldColumn = (rows: readonly { fold?: string }[]) => rows[0]?.fold ? ["fold"] as const : [];

/** Writes history.csv: a row an epoch, of one fold after the other. */
export async function writeHistory(path: string, rows: readonly HistoryRow[]): Promise<void> {
  await writeCsv(
    path,
    [...columns, ...foldColumn(rows)],
    rows.map((row) => ({ fold: "", ...row })),
  );
}

/**
 * Reads history.csv.
 *
 * @throws {DataError} When it is missing or malformed.
 */
export async function readHistory(path: string): Promise<HistoryRow[]> {
  const remedy = "Run notebook 05 (training) first.";
  const records: Record<string, string>[] = await readCsv(path, columns, remedy);
  return records.map((record) => {
    const row = Object.fromEntries(
      columns.map((name) => [name, record[name] === "" ? null : Number(record[name])]),
    );
    if (!Object.values(row).some(Number.isNaN)) {
      return { ...row as unknown as HistoryRow, ...record["fold"] && { fold: record["fold"] } };
    }
    throw new DataError(`${path} holds something that is not a number.`, remedy, { file: path });
  });
}

/** Writes training_events.csv: a row a callback event. */
export async function writeEvents(path: string, events: readonly TrainingEvent[]): Promise<void> {
  await writeCsv(
    path,
    [...eventColumns, ...foldColumn(events)],
    events.map((event) => ({ fold: "", ...event })),
  );
}

/** Reads training_events.csv; none when there is no such file. */
export async function readEvents(path: string): Promise<TrainingEvent[]> {
  if (!await exists(path)) return [];
  const remedy = "Run notebook 05 (training) again.";
  const records: (Record<(typeof eventColumns)[number], string> & { fold?: string })[] =
    await readCsv(path, eventColumns, remedy);
  return records.map(({ epoch, kind, note, fold }) => {
    return { epoch: Number(epoch), kind: kind as TrainingEvent["kind"], note, ...fold && { fold } };
  });
}

/** The epoch that each training kept: that of its last checkpoint, a row a fold. */
export function keptRows(
  history: readonly HistoryRow[],
  events: readonly TrainingEvent[],
): HistoryRow[] {
  return [...Map.groupBy(history, ({ fold }) => fold)].flatMap(([fold, rows]) => {
    const saved = events.findLast((event) => event.fold === fold && event.kind === "checkpoint");
    return rows.filter(({ epoch }) => epoch === saved?.epoch);
  });
}

/** The mean over folds of rows that belong together, such as those of one epoch; at least one. */
export function meanRow(rows: readonly HistoryRow[]): HistoryRow {
  const [first] = rows;
  if (rows.length === 1) return first!;
  return Object.fromEntries(columns.map((name) => {
    const values = rows.map((row) => row[name]).filter((value) => value !== null);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    return [name, name === "epoch" ? Math.round(mean) : values.length === 0 ? null : mean];
  })) as unknown as HistoryRow;
}

/** Whether lower values of a monitored quantity are better: of a loss, as in Keras' `mode="auto"`. */
export function lowerIsBetter(monitor: Monitor): boolean {
  return monitor === "val_loss";
}
