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
}

/** Something a callback did at the end of an epoch; drawn on the learning curves. */
export interface TrainingEvent {
  /** 1-based. */
  epoch: number;
  kind: "checkpoint" | "reduce_lr" | "early_stopping" | "unfreeze";
  /** What happened, for people: "learning rate 1e-4 → 1e-5". */
  note: string;
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

/** Writes history.csv: a row an epoch. */
export async function writeHistory(path: string, rows: readonly HistoryRow[]): Promise<void> {
  await writeCsv(path, columns, rows);
}

/**
 * Reads history.csv.
 *
 * @throws {DataError} When it is missing or malformed.
 */
export async function readHistory(path: string): Promise<HistoryRow[]> {
  const remedy = "Run notebook 05 (training) first.";
  const records = await readCsv(path, columns, remedy);
  return records.map((record) => {
    const row = Object.fromEntries(
      columns.map((name) => [name, record[name] === "" ? null : Number(record[name])]),
    );
    if (!Object.values(row).some(Number.isNaN)) return row as unknown as HistoryRow;
    throw new DataError(`${path} holds something that is not a number.`, remedy, { file: path });
  });
}

/** Writes training_events.csv: a row a callback event. */
export async function writeEvents(path: string, events: readonly TrainingEvent[]): Promise<void> {
  await writeCsv(path, eventColumns, events);
}

/** Reads training_events.csv; none when there is no such file. */
export async function readEvents(path: string): Promise<TrainingEvent[]> {
  if (!await exists(path)) return [];
  const records = await readCsv(path, eventColumns, "Run notebook 05 (training) again.");
  return records.map(({ epoch, kind, note }) => {
    return { epoch: Number(epoch), kind: kind as TrainingEvent["kind"], note };
  });
}

/** Whether lower values of a monitored quantity are better: of a loss, as in Keras' `mode="auto"`. */
export function lowerIsBetter(monitor: Monitor): boolean {
  return monitor === "val_loss";
}
