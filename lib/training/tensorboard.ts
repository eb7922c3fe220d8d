import { join } from "node:path";
import { writeAll, writeAtomic } from "../core/files.ts";
import type { HistoryRow } from "../run/history.ts";

/** Writes the epochs that it has not written yet. */
type TensorboardLog = (history: readonly HistoryRow[]) => Promise<void>;

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

/**
 * Event files of TensorBoard: a TFRecord file of `Event` protocol buffers (tensorflow/core/util/
 * event.proto and tensorflow/core/framework/summary.proto), of which scalars need a handful of
 * fields. All numbers are little-endian.
 */

/** A scalar at a step of training. */
interface ScalarEvent {
  tag: string;
  /** Stored as a 32-bit float. */
  value: number;
  /** A whole number from 0. */
  step: number;
  /** Seconds since 1970. */
  wallTime: number;
}

/**
 * What a file begins with: its version, and the message that a new session starts, on which a
 * TensorBoard that is open forgets what an earlier file of the same run said.
 *
 * @param wallTime Seconds since 1970.
 */
function fileHeader(wallTime: number): Uint8Array<ArrayBuffer> {
  const START = 1; // SessionLog.SessionStatus
  return concat([
    record(concat([double(1, wallTime), text(3, "brain.Event:2")])),
    record(concat([double(1, wallTime), integer(2, 0), message(7, integer(1, START))])),
  ]);
}

/** Scalars as records, one each, to be put after a {@linkcode fileHeader}. */
function scalarRecords(events: Iterable<ScalarEvent>): Uint8Array<ArrayBuffer> {
  const records: Uint8Array[] = [];
  for (const { tag, value, step, wallTime } of events) {
    const summary = message(1, concat([text(1, tag), float(2, value)]));
    records.push(record(concat([double(1, wallTime), integer(2, step), message(5, summary)])));
  }
  return concat(records);
}

/** TFRecord: length (8 bytes), its checksum (4), the data, their checksum (4). */
function record(data: Uint8Array): Uint8Array {
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(data.length), true);
  return concat([length, checksum(length), data, checksum(data)]);
}

/** CRC-32C, rotated and offset as TFRecord does, so that checksums of checksums stay useful. */
function checksum(data: Uint8Array): Uint8Array {
  const crc = crc32c(data);
  const masked = ((crc >>> 15 | crc << 17) + 0xa282ead8) >>> 0;
  return bytes(4, (view) => view.setUint32(0, masked, true));
}

const CASTAGNOLI = 0x82f63b78;

// reflected

const table = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? value >>> 1 ^ CASTAGNOLI : value >>> 1;
  return value;
});

/** CRC-32C (Castagnoli, RFC 3720): of "123456789" it is 0xe3069283. */
export function crc32c(data: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of data) crc = table[(crc ^ byte) & 0xff]! ^ crc >>> 8;
  return ~crc >>> 0;
}

// Fields of a protocol buffer: the number of the field with its wire type, then the value.

function double(field: number, value: number): Uint8Array {
  return concat([varint(field << 3 | 1), bytes(8, (view) => view.setFloat64(0, value, true))]);
}

function float(field: number, value: number): Uint8Array {
  return concat([varint(field << 3 | 5), bytes(4, (view) => view.setFloat32(0, value, true))]);
}

function integer(field: number, value: number): Uint8Array {
  return concat([varint(field << 3), varint(value)]);
}

function text(field: number, value: string): Uint8Array {
  return message(field, new TextEncoder().encode(value));
}

function message(field: number, content: Uint8Array): Uint8Array {
  return concat([varint(field << 3 | 2), varint(content.length), content]);
}

/** Seven bits a byte, the lowest first; the top bit says that more follow. */
function varint(value: number): Uint8Array {
  const parts: number[] = [];
  for (; value > 127; value = Math.floor(value / 128)) parts.push(value % 128 | 128);
  return Uint8Array.of(...parts, value);
}

function bytes(length: number, fill: (view: DataView) => void): Uint8Array {
  const result = new Uint8Array(length);
  fill(new DataView(result.buffer));
  return result;
}

function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const result = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    result.set(part, offset);
    offset += part.length;
  }
  return result;
}
