import assert from "node:assert/strict";
import { join } from "node:path";
import { DataError } from "../../lib/core/errors.ts";
import {
  type HistoryRow,
  readEvents,
  readHistory,
  type TrainingEvent,
  writeEvents,
  writeHistory,
} from "../../lib/run/history.ts";
import { inFolder, put } from "../data/test_images.ts";

const rows: HistoryRow[] = [
  {
    epoch: 1,
    loss: 0.123456789012345,
    accuracy: 0.75,
    auc: null,
    val_loss: 1e-9,
    val_accuracy: 1,
    val_auc: null,
    learning_rate: Math.fround(1e-4),
    seconds: 12.5,
  },
  {
    epoch: 2,
    loss: 2,
    accuracy: 0,
    auc: 0.5,
    val_loss: 3,
    val_accuracy: 0,
    val_auc: 1,
    learning_rate: Math.fround(1e-5),
    seconds: 0.1,
  },
];

Deno.test("writeHistory() writes just the documented columns, readHistory() every digit of them", () =>
  inFolder(async (folder) => {
    const path = join(folder, "history.csv");
    await writeHistory(path, rows);
    const [header] = (await Deno.readTextFile(path)).split("\n");
    assert.equal(
      header,
      "epoch,loss,accuracy,auc,val_loss,val_accuracy,val_auc,learning_rate,seconds",
    );
    assert.deepEqual(await readHistory(path), rows);
  }));

Deno.test("readHistory() refuses what is missing, lacks a column or is no number", () =>
  inFolder(async (folder) => {
    const path = join(folder, "history.csv");
    await assert.rejects(readHistory(path), DataError);
    await writeHistory(path, rows);
    const text = await Deno.readTextFile(path);
    await put(folder, "history.csv", text.replace("val_auc", "auc_val"));
    await assert.rejects(readHistory(path), /lacks the column\(s\) val_auc/);
    await put(folder, "history.csv", text.replace("0.75", "good"));
    await assert.rejects(readHistory(path), /not a number/);
  }));

Deno.test("readEvents() gives back what writeEvents() wrote, and none where there is no file", () =>
  inFolder(async (folder) => {
    const path = join(folder, "training_events.csv");
    assert.deepEqual(await readEvents(path), []);
    const events: TrainingEvent[] = [
      { epoch: 3, kind: "reduce_lr", note: "learning rate 1e-4 → 1e-5" },
      { epoch: 9, kind: "early_stopping", note: 'no better "val_loss", for 2 epochs' },
    ];
    await writeEvents(path, events);
    assert.deepEqual(await readEvents(path), events);
  }));
