import { join } from "node:path";
import { z } from "zod";
import { ProjectError, TrainingError } from "../core/errors.ts";
import { writeJson } from "../core/files.ts";
import { type TensorFlow, tf } from "../core/tensorflow.ts";
import { readTensors, type TensorEntry, writeTensors } from "../model/tensor_file.ts";
import type { HistoryRow, TrainingEvent } from "../run/history.ts";
import type { PlateauState, StoppingState } from "./callbacks.ts";
import type { ScoresSoFar } from "./epoch_scores.ts";
import { restore, snapshot, type Trainable, type TrainingJob, withWeights } from "./trainable.ts";

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
interface Checkpoint {
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

type SavedTensors = ReadonlyMap<string, TensorFlow.Tensor>;

/** A training as it was at one time. Its tensors are no copies: a step puts others in their place. */
interface SavePoint {
  state: TrainingState;
  /** Of the trainable part. */
  weights: SavedTensors;
  /** Adam's, named as a checkpoint has them. */
  moments: SavedTensors;
  /** Weights of EarlyStopping's best epoch. */
  best: SavedTensors | null;
}

/** Holds a training as it is now; {@linkcode writeSavePoint} frees it. */
export function takeSavePoint(
  part: Trainable,
  state: TrainingState,
  best: SavedTensors | null,
): SavePoint {
  return {
    state,
    weights: snapshot(part),
    moments: momentsOf(part),
    best: best && new Map([...best].map(([name, value]) => [name, value.clone()])),
  };
}

/**
 * Writes the model, if this is its best epoch, then the checkpoint, and frees the tensors.
 *
 * @param bestRow The best epoch's history; `null`: this is not it.
 * @throws {TrainingError} When something cannot be written; what it would have replaced is still
 *   there.
 */
export async function writeSavePoint(
  { model, checkpoints, fingerprint, onBest }: TrainingJob,
  { state, weights, moments, best }: SavePoint,
  bestRow: HistoryRow | null,
): Promise<void> {
  try {
    if (bestRow) {
      const whole = withWeights(model, weights);
      await writing("The model", state.epoch, () => onBest(whole, bestRow));
    }
    const tensors = new Map([...weights, ...moments]);
    await writing(
      "The checkpoint",
      state.epoch,
      () => writeCheckpoint(checkpoints, fingerprint, state, tensors, best),
    );
  } finally {
    tf.dispose([...weights.values(), ...moments.values(), ...best?.values() ?? []]);
  }
}

async function writing(what: string, epoch: number, write: () => Promise<void>): Promise<void> {
  try {
    await write();
  } catch (cause) {
    if (cause instanceof ProjectError) throw cause;
    throw new TrainingError(
      `${what} could not be written: ${cause instanceof Error ? cause.message : cause}.`,
      "Free some disk space, then run this again. It goes on from the last checkpoint, after " +
        `epoch ${Math.max(0, epoch - 1)}.`,
      { cause },
    );
  }
}

const FIRST = "adam_first/";

const SECOND = "adam_second/";

function momentsOf({ adam }: Trainable): SavedTensors {
  return new Map([...adam.variables].flatMap(([name, { first, second }]) => [
    [FIRST + name, first.read()],
    [SECOND + name, second.read()],
  ]));
}

/** Puts a checkpoint's weights and moments back in place and frees them. */
export function resume(part: Trainable, tensors: SavedTensors, adamStep: number): void {
  for (const [name, { first, second }] of part.adam.variables) {
    first.assign(tensors.get(FIRST + name)!);
    second.assign(tensors.get(SECOND + name)!);
  }
  part.adam.step = adamStep;
  restore(part, new Map([...part.weights.keys()].map((name) => [name, tensors.get(name)!])));
  tf.dispose([...tensors.values()]);
}

/**
 * Makes sure that no interrupted training of other settings or data is about to be lost. One that had
 * come to its end is not: its best model and its history are there.
 *
 * @param folder Of checkpoints.
 * @param fingerprint Of the training that is about to start: a JSON object.
 * @throws {TrainingError} Saying what differs, and how to continue or discard it.
 */
export async function requireNoOther(folder: string, fingerprint: string): Promise<void> {
  const other = await latestCheckpoint(folder);
  if (!other || other.fingerprint === fingerprint || other.state.over) return;
  const { epoch, partial } = other.state;
  const place = `epoch ${epoch + (partial ? 1 : 0)}`;
  const lines = differences(other.fingerprint, fingerprint);
  throw new TrainingError(
    `There is an interrupted training of this run, saved in ${place}, that was made with other ` +
      `settings or data:\n  - ${lines.join("\n  - ")}`,
    "To continue it, put these back as they were. To discard it, set training.startAnew to true. " +
      'To keep it and train beside it, give this training another name ("run").',
  );
}

/** What differs between two fingerprints, a line a field. */
function differences(before: string, now: string): string[] {
  const [a, b] = [fieldsOf(before), fieldsOf(now)];
  const lines = [...new Set([...a.keys(), ...b.keys()])]
    .filter((field) => a.get(field) !== b.get(field))
    .map((field) => `${field} was ${a.get(field) ?? "not there"}, is ${b.get(field) ?? "gone"}`);
  return lines.length > 0 ? lines : ["it is of another version of this project"];
}

/** Leaves of a JSON object by dotted path, as JSON; none where it is no object. */
function fieldsOf(json: string): Map<string, string> {
  const fields = new Map<string, string>();
  const visit = (value: unknown, path: string): void => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      fields.set(path, JSON.stringify(value));
      return;
    }
    for (const [key, child] of Object.entries(value)) visit(child, path ? `${path}.${key}` : key);
  };
  try {
    const value: unknown = JSON.parse(json);
    if (typeof value === "object" && value !== null) visit(value, "");
  } catch {
    // of a version that wrote something else
  }
  return fields;
}

/** Work that goes on while the training does, one piece after another. */
interface Background {
  /**
   * Starts a piece of work when the one before it has ended, and returns then.
   *
   * @throws What the piece before it threw; this one is then not started.
   */
  start(work: () => Promise<void>): Promise<void>;
  /**
   * Returns when nothing is under way.
   *
   * @throws What the last piece threw, once.
   */
  settle(): Promise<void>;
}

/** Nothing is under way yet. */
export function createBackground(): Background {
  let running: Promise<{ error: unknown } | null> = Promise.resolve(null);
  const settle = async (): Promise<void> => {
    const failed = await running;
    running = Promise.resolve(null);
    if (failed) throw failed.error;
  };
  return {
    settle,
    start: async (work) => {
      await settle();
      running = work().then(() => null, (error: unknown) => ({ error }));
    },
  };
}
