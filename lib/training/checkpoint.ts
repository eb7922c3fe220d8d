import { join } from "node:path";
import { z } from "zod";
import { TrainingError } from "../core/errors.ts";
import { readJson, writeJson } from "../core/files.ts";
import { tf } from "../core/tensorflow.ts";
import { readTensors, tensorEntrySchema, writeTensors } from "../model/model.ts";
import type { TrainingState } from "./callbacks.ts";
import type { Tensors } from "./trainable.ts";

/** Names of a checkpoint's files: EPOCH-STEPS within an epoch; more digits from epoch 10,000 on. */
const CHECKPOINT_FILE = /^(epoch|weights|best)-\d{4,}(-\d{6,})?\.(json|bin)$/;

/** How many checkpoints are kept: if the latest is damaged, the one before it serves. */
const KEPT = 2;

const tensorFileSchema = z.object({
  file: z.string().regex(CHECKPOINT_FILE),
  sha256: z.string(),
  entries: z.array(tensorEntrySchema),
});

type TensorFile = z.infer<typeof tensorFileSchema>;

const checkpointSchema = z.object({
  fingerprint: z.string(),
  state: z.custom<TrainingState>((value) => typeof value === "object" && value !== null),
  tensors: tensorFileSchema,
  best: tensorFileSchema.nullable(),
});

type CheckpointFile = z.infer<typeof checkpointSchema>;

/**
 * Writes the checkpoint of a place in the training and removes those that are no longer needed. The
 * JSON file is written last, so a checkpoint that was killed half-way does not count.
 *
 * @param fingerprint What the training depends on; another one never continues from it.
 * @param tensors Weights of the trainable part and Adam's moments.
 * @param best Weights of EarlyStopping's best epoch. They are written when that epoch is this one,
 *   and otherwise taken over from the checkpoint before.
 */
export async function writeCheckpoint(
  folder: string,
  fingerprint: string,
  state: TrainingState,
  tensors: Tensors,
  best: Tensors | null,
): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  const write = async (file: string, content: Tensors): Promise<TensorFile> => ({
    file,
    ...await writeTensors(join(folder, file), content),
  });
  const id = idOf(state);
  const { epoch, partial, stopping: { bestEpoch } } = state;
  let bestFile: TensorFile | null = null;
  if (best && bestEpoch !== null) {
    const file = `best-${digits(bestEpoch, 4)}.bin`;
    const isNew = bestEpoch === epoch && partial === null;
    bestFile = (isNew ? null : await bestBefore(folder, id, file)) ?? await write(file, best);
  }
  const weights = await write(`weights-${id}.bin`, tensors);
  const content: CheckpointFile = { fingerprint, state, tensors: weights, best: bestFile };
  await writeJson(join(folder, `epoch-${id}.json`), content);
  await keepLatest(folder, KEPT);
}

/**
 * Reads the latest checkpoint of this training that is whole.
 *
 * @returns `null` when there is none. The caller disposes the tensors: `bestTensors` are the weights
 *   of EarlyStopping's best epoch, if there is one yet.
 */
export async function readCheckpoint(
  folder: string,
  fingerprint: string,
): Promise<{ state: TrainingState; tensors: Tensors; bestTensors: Tensors | null } | null> {
  for await (const file of latestFirst(folder)) {
    if (file.fingerprint !== fingerprint) continue;
    const read = (part: TensorFile | null) =>
      part && readTensors(join(folder, part.file), part.entries, part.sha256).catch(() => null);
    const [tensors, bestTensors] = [await read(file.tensors), await read(file.best)];
    if (tensors && (bestTensors || !file.best)) return { state: file.state, tensors, bestTensors };
    // damaged: the one before it, if any
    tf.dispose([...tensors?.values() ?? [], ...bestTensors?.values() ?? []]);
  }
  return null;
}

/** Which training the latest readable checkpoint is of, and its state; `null`: there is none. */
export async function latestCheckpoint(
  folder: string,
): Promise<Pick<CheckpointFile, "fingerprint" | "state"> | null> {
  return (await latestFirst(folder).next()).value ?? null;
}

/** Removes all checkpoints of a folder; nothing else in it is touched. */
export const removeCheckpoints = (folder: string): Promise<void> => keepLatest(folder, 0);

/**
 * Makes sure that no interrupted training of other settings or data is about to be lost. One that
 * had come to its end is not: its best model and its history are there.
 *
 * @throws {TrainingError} Saying what differs, and how to continue or discard it.
 */
export async function requireNoOther(
  folder: string,
  fingerprint: string,
  isUnfinished: (state: TrainingState) => boolean = (state) => !state.over,
): Promise<void> {
  const other = await latestCheckpoint(folder);
  if (!other || other.fingerprint === fingerprint || !isUnfinished(other.state)) return;
  const { epoch, partial } = other.state;
  const lines = differences(other.fingerprint, fingerprint);
  throw new TrainingError(
    `There is an interrupted training of this run, saved in epoch ${epoch + (partial ? 1 : 0)}, ` +
      `that was made with other settings or data:\n  - ${lines.join("\n  - ")}`,
    "To continue it, put these back as they were. To discard it, set training.startAnew to true. " +
      'To keep it and train beside it, give this training another name ("run").',
  );
}

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
  const visit = (value: object, path: string): void => {
    for (const [key, child] of Object.entries(value)) {
      const isBranch = typeof child === "object" && child !== null && !Array.isArray(child);
      if (isBranch) visit(child, `${path}${key}.`);
      else fields.set(path + key, JSON.stringify(child));
    }
  };
  try {
    visit(Object(JSON.parse(json)), "");
  } catch {
    // of a version that wrote something else
  }
  return fields;
}

/** All checkpoints that can be read, damaged ones left out. */
async function* latestFirst(folder: string): AsyncGenerator<CheckpointFile, void> {
  const names = await namesIn(folder);
  const places = names.filter((name) => CHECKPOINT_FILE.exec(name)?.[1] === "epoch")
    .map((name) => name.replace(/\.json$/, "")).sort(compareIds);
  for (const place of places.reverse()) {
    const content = await readJson(join(folder, `${place}.json`), "").catch(() => null);
    const { data } = checkpointSchema.safeParse(content);
    if (data) yield data;
  }
}

/** What the latest checkpoint before a place says about the best weights, if they are this file. */
async function bestBefore(folder: string, id: string, file: string): Promise<TensorFile | null> {
  for await (const { state, best } of latestFirst(folder)) {
    if (compareIds(idOf(state), id) < 0) return best?.file === file ? best : null;
  }
  return null;
}

async function keepLatest(folder: string, count: number): Promise<void> {
  const kept = (await Array.fromAsync(latestFirst(folder))).slice(0, count);
  const needed = kept.flatMap((
    { state, tensors, best },
  ) => [`epoch-${idOf(state)}.json`, tensors.file, best?.file]);
  for (const name of await namesIn(folder)) {
    const isUnneeded = CHECKPOINT_FILE.test(name) && !needed.includes(name);
    if (isUnneeded) await Deno.remove(join(folder, name));
  }
}

const digits = (value: number, count: number): string => String(value).padStart(count, "0");

/** A place in a training: EPOCH, the epochs finished, or EPOCH-STEPS, with steps of the next one. */
function idOf({ epoch, partial }: TrainingState): string {
  return digits(epoch, 4) + (partial?.steps ? `-${digits(partial.steps, 6)}` : "");
}

/** Numbers within ids compare as numbers: 9999 before 10000. */
const compareIds = new Intl.Collator("en", { numeric: true }).compare;

async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}
