import { join } from "node:path";
import { writeAll, writeAtomic } from "../core/files.ts";
import type { HistoryRow } from "../run/history.ts";

/** Tags of the two runs, named as `keras.callbacks.TensorBoard` names them, and their columns. */
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
 * TensorBoard follows it. Times of epochs before the first call follow from their seconds.
 *
 * `tf.node.summaryFileWriter` is not used: it stamps every point with the time of writing, and writes
 * on into a file that has been removed.
 *
 * @param folder Holds `train/` and `validation/`, with folds in a folder for each; event files of an
 *   earlier log in them are removed.
 * @param now Milliseconds since 1970.
 * @returns What writes, after each epoch, the rows that it has not written yet.
 */
export function tensorboardLog(folder: string, now: () => number = Date.now) {
  const logs = new Map<string, ReturnType<typeof oneLog>>();
  return async (history: readonly HistoryRow[]): Promise<void> => {
    for (const [fold = "", rows] of Map.groupBy(history, (row) => row.fold)) {
      const log = logs.get(fold) ?? oneLog(join(folder, fold), now);
      logs.set(fold, log);
      await log(rows);
    }
  };
}

function oneLog(folder: string, now: () => number) {
  const name = `events.out.tfevents.${String(now()).padStart(13, "0")}`;
  let written = 0;
  return async (history: readonly HistoryRow[]): Promise<void> => {
    const rows = history.slice(written);
    if (rows.length === 0) return;
    let time = now() / 1000 - rows.reduce((sum, { seconds }) => sum + seconds, 0);
    const ends = rows.map(({ seconds }) => time += seconds);
    for (const [run, tags] of Object.entries(runs)) {
      const points = rows.flatMap((row, i) =>
        Object.entries(tags).flatMap(([tag, column]) =>
          row[column] === null ? [] : scalar(tag, row[column], row.epoch, ends[i]!)
        )
      );
      const path = join(folder, run, name);
      if (written > 0) {
        using file = await Deno.open(path, { append: true });
        await writeAll(file, Uint8Array.from(points));
        continue;
      }
      await writeAtomic(path, Uint8Array.from([...header(ends[0]!), ...points]));
      for await (const { name: other } of Deno.readDir(join(folder, run))) {
        if (EVENT_FILE.test(other) && other !== name) await Deno.remove(join(folder, run, other));
      }
    }
    written = history.length;
  };
}

// Event files are TFRecord files of `Event` protocol buffers (tensorflow/core/util/event.proto and
// tensorflow/core/framework/summary.proto). All numbers are little-endian; times are in seconds.

/** Begins a file: its version, and a new session, which makes TensorBoard forget an earlier file. */
function header(time: number): number[] {
  const START = 1; // SessionLog.SessionStatus
  return [
    ...record([...double(1, time), ...text(3, "brain.Event:2")]),
    ...record([...double(1, time), ...integer(2, 0), ...message(7, integer(1, START))]),
  ];
}

/** A point of a curve; the value is stored as a 32-bit float. */
function scalar(tag: string, value: number, step: number, time: number): number[] {
  const summary = message(1, [...text(1, tag), ...float(2, value)]);
  return record([...double(1, time), ...integer(2, step), ...message(5, summary)]);
}

/** TFRecord: the length in 8 bytes, its checksum, the data, their checksum. */
function record(data: number[]): number[] {
  const length = bytesOf(BigUint64Array.of(BigInt(data.length)));
  return [...length, ...checksum(length), ...data, ...checksum(data)];
}

/** CRC-32C (Castagnoli, RFC 3720), rotated and offset as TFRecord does. */
function checksum(data: number[]): number[] {
  let crc = 0xffffffff;
  for (const byte of data) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >>> 1 ^ 0x82f63b78 : crc >>> 1;
  }
  crc = ~crc;
  return bytesOf(Uint32Array.of((crc >>> 15 | crc << 17) + 0xa282ead8));
}

// Fields of a protocol buffer: a key of the field's number and its wire type, then the value.

const integer = (field: number, value: number) => [field << 3, ...varint(value)];

const double = (field: number, of: number) => [field << 3 | 1, ...bytesOf(Float64Array.of(of))];

const float = (field: number, of: number) => [field << 3 | 5, ...bytesOf(Float32Array.of(of))];

const text = (field: number, value: string) => message(field, [...new TextEncoder().encode(value)]);

const message = (field: number, of: number[]) => [field << 3 | 2, ...varint(of.length), ...of];

/** Seven bits a byte, the lowest first; the top bit says that more follow. */
const varint = (value: number): number[] =>
  value < 128 ? [value] : [value & 127 | 128, ...varint(value >>> 7)];

const bytesOf = (values: ArrayBufferView) => [...new Uint8Array(values.buffer)];
