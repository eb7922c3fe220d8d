import { join } from "node:path";
import { z } from "zod";
import { writeJson } from "../files.ts";
import { readTensors, type TensorEntry, writeTensors } from "../model/tensor_file.ts";
import { type TensorFlow, tf } from "../setup/tensorflow.ts";
import type { PlateauState, StoppingState } from "./callbacks.ts";
import type { ScoresSoFar } from "./epoch_scores.ts";
import type { HistoryRow, TrainingEvent } from "./history.ts";

type Tensors = Map<string, TensorFlow.Tensor>;

/** How far the epoch after the finished ones has come. */
export interface PartialEpoch {
  /** Training batches done. */
  steps: number;
  /** Time spent on them. */
  seconds: number;
  scores: ScoresSoFar;
}

/** Everything that the next epoch depends on, but for the tensors. */
export interface TrainingState {
  /** Epochs finished. */
  epoch: number;
  /** Where the next epoch is; `null`: at its start. */
  partial: PartialEpoch | null;
  /** No epoch was left to do when this was saved. */
  over: boolean;
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

/**
 * Names of a checkpoint's files: after an epoch, or within the next one after so many steps. Beyond
 * 9999 epochs the number has more digits.
 */
const CHECKPOINT_FILE = /^(epoch-\d{4,}(-\d{6,})?\.json|(weights|best)-\d{4,}(-\d{6,})?\.bin)$/;

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

/** How many checkpoints are kept: if the latest is damaged, the one before it serves. */
const KEPT = 2;

/** A place in a training: epochs finished, and steps of the next one. */
type Place = Pick<TrainingState, "epoch"> & { steps: number };

const placeOf = ({ epoch, partial }: TrainingState): Place => ({
  epoch,
  steps: partial?.steps ?? 0,
});
const order = (a: Place, b: Place): number => a.epoch - b.epoch || a.steps - b.steps;
const number = (value: number, digits = 4) => String(value).padStart(digits, "0");
const idOf = ({ epoch, steps }: Place): string =>
  number(epoch) + (steps > 0 ? `-${number(steps, 6)}` : "");

/**
 * Writes the checkpoint of a place in the training and removes those that are no longer needed. The JSON file is
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
  const { stopping: { bestEpoch }, epoch, partial } = state;
  const id = idOf(placeOf(state));
  let bestFile: CheckpointFile["best"] = null;
  if (best && bestEpoch !== null) {
    const file = `best-${number(bestEpoch)}.bin`;
    const isNew = bestEpoch === epoch && partial === null;
    bestFile = (isNew ? null : await bestBefore(folder, placeOf(state), file)) ??
      await write(file, best);
  }
  const content: CheckpointFile = {
    fingerprint,
    state,
    tensors: await write(`weights-${id}.bin`, tensors),
    best: bestFile,
  };
  await writeJson(join(folder, `epoch-${id}.json`), content);
  await prune(folder);
}

/** What the latest checkpoint before a place says about the best weights, if they are this file. */
async function bestBefore(
  folder: string,
  place: Place,
  file: string,
): Promise<CheckpointFile["best"]> {
  const before = (await placesIn(folder)).filter((other) => order(other, place) < 0).at(-1);
  const best = before && (await readFileOf(folder, before))?.best;
  return best?.file === file ? best : null;
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
  for (const place of (await placesIn(folder)).reverse()) {
    const file = await readFileOf(folder, place);
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

/** Whose training, and where it was, the latest checkpoint of a folder tells; `null`: there is none. */
export async function latestCheckpoint(
  folder: string,
): Promise<Pick<CheckpointFile, "fingerprint" | "state"> | null> {
  for (const place of (await placesIn(folder)).reverse()) {
    const file = await readFileOf(folder, place);
    if (file) return file;
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
  const needed = new Set<string>();
  for (const place of (await placesIn(folder)).slice(-KEPT)) {
    const file = await readFileOf(folder, place);
    needed.add(`epoch-${idOf(place)}.json`);
    if (file) needed.add(file.tensors.file);
    if (file?.best) needed.add(file.best.file);
  }
  for (const name of await namesIn(folder)) {
    if (CHECKPOINT_FILE.test(name) && !needed.has(name)) {
      await Deno.remove(join(folder, name));
    }
  }
}

async function readFileOf(folder: string, place: Place): Promise<CheckpointFile | null> {
  try {
    const text = await Deno.readTextFile(join(folder, `epoch-${idOf(place)}.json`));
    return fileSchema.parse(JSON.parse(text));
  } catch {
    return null; // missing or damaged: as good as none
  }
}

/** Places of all checkpoints of a folder, in the order of the training. */
async function placesIn(folder: string): Promise<Place[]> {
  return (await namesIn(folder)).flatMap((name) => {
    const [, epoch, steps = "0"] = /^epoch-(\d{4,})(?:-(\d{6,}))?\.json$/.exec(name) ?? [];
    return epoch === undefined ? [] : [{ epoch: Number(epoch), steps: Number(steps) }];
  }).sort(order);
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
