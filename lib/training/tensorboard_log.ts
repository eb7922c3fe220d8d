import { join } from "node:path";
import { writeAll, writeAtomic } from "../files.ts";
import { fileHeader, type ScalarEvent, scalarRecords } from "./event_file.ts";
import type { HistoryRow } from "./history.ts";

/** Writes the epochs that it has not written yet. */
export type TensorboardLog = (history: readonly HistoryRow[]) => Promise<void>;

/** Tags have the names that `keras.callbacks.TensorBoard` gives them. */
const runs = {
  train: {
    epoch_loss: "loss",
    epoch_accuracy: "accuracy",
    epoch_auc: "auc",
    epoch_learning_rate: "learning_rate",
  },
  validation: { epoch_loss: "val_loss", epoch_accuracy: "val_accuracy", epoch_auc: "val_auc" },
} as const satisfies Record<string, Record<string, keyof HistoryRow>>;

const EVENT_FILE = /^events\.out\.tfevents\.\d+$/;

/**
 * A log that TensorBoard shows, with the curves of training and validation as two runs, `train` and
 * `validation`, that share their tags, as Keras has them. Steps are epochs, from 1. A score that is
 * undefined has no point.
 *
 * The first call writes both files anew from the whole history, later ones append: so a training
 * that was killed and goes on has every epoch once, whatever the kill left behind, and an open
 * TensorBoard follows it. Times of epochs before the first call are reckoned from their seconds.
 *
 * @param folder Holds `train/` and `validation/`; event files of an earlier log in them are removed.
 * @param now Milliseconds since 1970.
 * @example
 * ```ts
 * const log = tensorboardLog(runPaths(config.run).tensorboard);
 * await log(history); // after each epoch
 * ```
 */
export function tensorboardLog(folder: string, now: () => number = Date.now): TensorboardLog {
  const name = `events.out.tfevents.${String(now()).padStart(13, "0")}`;
  let written: number | null = null;
  return async (history) => {
    const rows = history.slice(written ?? 0);
    if (rows.length === 0) return;
    const times = endTimes(rows, now());
    for (const [run, tags] of Object.entries(runs)) {
      const records = scalarRecords(
        rows.flatMap((row, index) => scalarsOf(row, tags, times[index]!)),
      );
      const path = join(folder, run, name);
      if (written !== null) {
        using file = await Deno.open(path, { append: true });
        await writeAll(file, records);
      } else {
        const header = fileHeader(times[0]!);
        await writeAtomic(path, Uint8Array.of(...header, ...records));
        await removeOthers(join(folder, run), name);
      }
    }
    written = history.length;
  };
}

/** When each epoch ended, in seconds since 1970, if the last one ended now. */
function endTimes(rows: readonly HistoryRow[], now: number): number[] {
  let time = now / 1000;
  return rows.toReversed().map(({ seconds }) => {
    const end = time;
    time -= seconds;
    return end;
  }).reverse();
}

function scalarsOf(
  row: HistoryRow,
  tags: Readonly<Record<string, keyof HistoryRow>>,
  wallTime: number,
): ScalarEvent[] {
  return Object.entries(tags).flatMap(([tag, column]) => {
    const value = row[column];
    return value === null ? [] : [{ tag, value, step: row.epoch, wallTime }];
  });
}

async function removeOthers(folder: string, kept: string): Promise<void> {
  for await (const { name } of Deno.readDir(folder)) {
    if (EVENT_FILE.test(name) && name !== kept) await Deno.remove(join(folder, name));
  }
}
