import assert from "node:assert/strict";
import { join } from "node:path";
import type { HistoryRow } from "../../lib/run/history.ts";
import { tensorboardLog } from "../../lib/training/tensorboard.ts";
import { askPython } from "../ask_python.ts";
import { inFolder } from "../data/test_images.ts";

/** A point as TensorBoard reads it: step, value, seconds since 1970. */
type Point = [number, number, number];

/** What TensorBoard's own reader finds. */
type Log = Record<string, { tags: Record<string, Point[]>; records: number; files: string[] }>;

const NOW = 1_700_000_000_123;

/** Epochs of 10 seconds each; the AUC of the second is undefined. */
const history = Array.from({ length: 300 }, (_, index): HistoryRow => ({
  epoch: index + 1,
  loss: 1 / (index + 1),
  accuracy: 0.5 + index / 1000,
  auc: index === 1 ? null : 0.75,
  val_loss: 2 / (index + 1),
  val_accuracy: 0.25,
  val_auc: null,
  learning_rate: 1e-4,
  seconds: 10,
}));

/** A tag's points as [step, value as a 32-bit float]. */
const valuesOf = (points: Point[] | undefined) => points?.map(([step, value]) => [step, value]);

const expected = (column: "loss" | "val_loss", epochs: number) =>
  history.slice(0, epochs).map((row) => [row.epoch, Math.fround(row[column])]);

const writeWhole = (folder: string) => tensorboardLog(folder, () => NOW)(history);

async function writeGrowing(folder: string): Promise<void> {
  const log = tensorboardLog(folder, () => NOW);
  for (const epochs of [0, 1, 1, 4]) await log(history.slice(0, epochs));
}

/** Killed in the middle of a record after its third epoch, of which there is no checkpoint. */
async function writeKilled(folder: string): Promise<void> {
  const first = tensorboardLog(folder, () => NOW);
  await first(history.slice(0, 1));
  await first(history.slice(0, 3));
  const path = join(folder, "train", `events.out.tfevents.${NOW}`);
  await Deno.truncate(path, (await Deno.stat(path)).size - 7);
  await Deno.writeTextFile(join(folder, "train", "notes.txt"), "mine");
  const second = tensorboardLog(folder, () => NOW + 60_000);
  await second(history.slice(0, 3));
  await second(history.slice(0, 4));
  assert.equal(await Deno.readTextFile(join(folder, "train", "notes.txt")), "mine");
}

/** Writes each log and reads all with one start of Python. */
async function readLogs(...writers: ((folder: string) => Promise<void>)[]): Promise<Log[]> {
  let logs: Log[] = [];
  await inFolder(async (root) => {
    const folders = writers.map(({ name }) => join(root, name));
    for (const [index, write] of writers.entries()) await write(folders[index]!);
    logs = await askPython(join(import.meta.dirname!, "tensorboard_oracle.py"), folders) as Log[];
  });
  return logs;
}

const [whole, growing, killed] = await readLogs(writeWhole, writeGrowing, writeKilled);

Deno.test("tensorboardLog() writes what TensorBoard reads: two runs that share their tags", () => {
  const { train, validation } = whole!;
  const tags = ["epoch_accuracy", "epoch_auc", "epoch_learning_rate", "epoch_loss"];
  assert.deepEqual(Object.keys(train!.tags).sort(), tags);
  assert.deepEqual(Object.keys(validation!.tags).sort(), ["epoch_accuracy", "epoch_loss"]);
  assert.deepEqual(valuesOf(train!.tags["epoch_loss"]), expected("loss", 300));
  assert.deepEqual(valuesOf(validation!.tags["epoch_loss"]), expected("val_loss", 300));
  const steps = train!.tags["epoch_auc"]!.map(([step]) => step);
  assert.deepEqual(steps.slice(0, 3), [1, 3, 4], "no point where the score is undefined");
  assert.equal(train!.records, 2 + 4 * 300 - 1, "version, start, scalars");
});

Deno.test("tensorboardLog() reckons the times of earlier epochs from their seconds", () => {
  const times = whole!["train"]!.tags["epoch_loss"]!.map(([, , time]) => time);
  assert.ok(Math.abs(times.at(-1)! - NOW / 1000) < 1e-3);
  assert.ok(Math.abs(times[0]! - (NOW / 1000 - 2990)) < 1e-3);
});

Deno.test("tensorboardLog() adds the new epochs at each call, each once after a kill too", () => {
  for (const [log, time] of [[growing!, NOW], [killed!, NOW + 60_000]] as const) {
    const { train, validation } = log;
    assert.deepEqual(valuesOf(train!.tags["epoch_loss"]), expected("loss", 4));
    assert.deepEqual(valuesOf(validation!.tags["epoch_loss"]), expected("val_loss", 4));
    assert.deepEqual(train!.files, [`events.out.tfevents.${time}`]);
  }
});
