import { join } from "node:path";
import { z } from "zod";
import { writeJson } from "../files.ts";
import { readTensors, type TensorEntry, writeTensors } from "../model/tensor_file.ts";
import { type TensorFlow, tf } from "../setup/tensorflow.ts";
import type { PlateauState, StoppingState } from "./callbacks.ts";
import type { HistoryRow, TrainingEvent } from "./history.ts";

type Tensors = Map<string, TensorFlow.Tensor>;

/** Everything that the next epoch depends on, but for the tensors. */
export interface TrainingState {
  /** Epochs finished. */
  epoch: number;
  /** EarlyStopping has ended the training. */
  stopped: boolean;
  plateau: PlateauState;
  stopping: StoppingState;
  /** ModelCheckpoint's best value so far, and its 1-based epoch. */
  best: { value: number | null; epoch: number | null };
  history: HistoryRow[];
  events: TrainingEvent[];
  /** Steps Adam has taken. */
  adamStep: number;
}

/** A checkpoint as it is read back. The caller disposes the tensors. */
export interface Checkpoint {
  state: TrainingState;
  /** Weights of the trainable part and Adam's moments (`adam_first/NAME`, `adam_second/NAME`). */
  tensors: Tensors;
  /** Weights of EarlyStopping's best epoch; `null` when there is none yet. */
  bestTensors: Tensors | null;
}

/** Names of a checkpoint's files; beyond 9999 epochs the number has more digits. */
const CHECKPOINT_FILE = /^(epoch-\d{4,}\.json|(weights|best)-\d{4,}\.bin)$/;

const entriesSchema = z.object({
  file: z.string().regex(CHECKPOINT_FILE),
  sha256: z.string(),
  entries: z.array(z.object({
    name: z.string(),
    shape: z.array(z.int().positive()),
    dtype: z.literal("float32"),
  })),
});

const fileSchema = z.object({
  fingerprint: z.string(),
  state: z.custom<TrainingState>((value) => typeof value === "object" && value !== null),
  tensors: entriesSchema,
  best: entriesSchema.nullable(),
});

type CheckpointFile = z.infer<typeof fileSchema>;

/** How many epochs' checkpoints are kept: if the latest is damaged, the one before it serves. */
const KEPT = 2;

const number = (epoch: number) => String(epoch).padStart(4, "0");

/**
 * Writes the checkpoint of an epoch and removes those that are no longer needed. The JSON file is
 * written last, so a checkpoint that was killed half-way does not count.
 *
 * @param fingerprint What the run depends on; another one never continues from it.
 * @param best Weights of EarlyStopping's best epoch. They are written when that epoch is this one,
 * and otherwise taken over from the checkpoint before.
 */
export async function writeCheckpoint(
  folder: string,
  fingerprint: string,
  state: TrainingState,
  tensors: Iterable<readonly [string, TensorFlow.Tensor]>,
  best: ReadonlyMap<string, TensorFlow.Tensor> | null,
): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  const write = async (
    file: string,
    content: Iterable<readonly [string, TensorFlow.Tensor]>,
  ): Promise<{ file: string; sha256: string; entries: TensorEntry[] }> => ({
    file,
    ...await writeTensors(join(folder, file), content),
  });
  const bestEpoch = state.stopping.bestEpoch;
  let bestFile: CheckpointFile["best"] = null;
  if (best && bestEpoch !== null) {
    bestFile = bestEpoch === state.epoch
      ? await write(`best-${number(bestEpoch)}.bin`, best)
      : (await readFileOf(folder, state.epoch - 1))?.best ??
        await write(`best-${number(bestEpoch)}.bin`, best);
  }
  const content: CheckpointFile = {
    fingerprint,
    state,
    tensors: await write(`weights-${number(state.epoch)}.bin`, tensors),
    best: bestFile,
  };
  await writeJson(join(folder, `epoch-${number(state.epoch)}.json`), content);
  await prune(folder);
}

/**
 * The latest checkpoint that is whole and belongs to this run; `null` when there is none.
 *
 * @returns A damaged latest checkpoint gives the one before it.
 */
export async function readCheckpoint(
  folder: string,
  fingerprint: string,
): Promise<Checkpoint | null> {
  for (const epoch of (await epochsIn(folder)).reverse()) {
    const file = await readFileOf(folder, epoch);
    if (file?.fingerprint !== fingerprint) continue;
    const read = (part: CheckpointFile["best"]) =>
      part && readTensors(join(folder, part.file), part.entries, part.sha256).catch(() => null);
    const [tensors, bestTensors] = [await read(file.tensors), await read(file.best)];
    if (tensors && (bestTensors || !file.best)) return { state: file.state, tensors, bestTensors };
    // damaged: the one before it, if any
    tf.dispose([...tensors?.values() ?? [], ...bestTensors?.values() ?? []]);
  }
  return null;
}

/** Removes all checkpoints of a folder; nothing else in it is touched. */
export async function removeCheckpoints(folder: string): Promise<void> {
  for (const name of await namesIn(folder)) {
    if (CHECKPOINT_FILE.test(name)) {
      await Deno.remove(join(folder, name));
    }
  }
}

async function prune(folder: string): Promise<void> {
  const epochs = await epochsIn(folder);
  const needed = new Set<string>();
  for (const epoch of epochs.slice(-KEPT)) {
    const file = await readFileOf(folder, epoch);
    needed.add(`epoch-${number(epoch)}.json`);
    if (file) needed.add(file.tensors.file);
    if (file?.best) needed.add(file.best.file);
  }
  for (const name of await namesIn(folder)) {
    if (CHECKPOINT_FILE.test(name) && !needed.has(name)) {
      await Deno.remove(join(folder, name));
    }
  }
}

async function readFileOf(folder: string, epoch: number): Promise<CheckpointFile | null> {
  try {
    const text = await Deno.readTextFile(join(folder, `epoch-${number(epoch)}.json`));
    return fileSchema.parse(JSON.parse(text));
  } catch {
    return null; // missing or damaged: as good as none
  }
}

async function epochsIn(folder: string): Promise<number[]> {
  return (await namesIn(folder))
    .map((name) => Number(/^epoch-(\d{4,})\.json$/.exec(name)?.[1] ?? 0))
    .filter((epoch) => epoch > 0)
    .sort((a, b) => a - b);
}

async function namesIn(folder: string): Promise<string[]> {
  const names: string[] = [];
  try {
    for await (const { name } of Deno.readDir(folder)) names.push(name);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return names;
}
