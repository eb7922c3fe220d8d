import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { TrainingError } from "../core/errors.ts";
import { readJson, writeJson } from "../core/files.ts";
import { type TensorFlow, tf } from "../core/tensorflow.ts";
import { frozenPart } from "../model/graph.ts";
import {
  assembleEnsemble,
  type Model,
  readTensors,
  tensorEntrySchema,
  writeTensors,
} from "../model/model.ts";
import { foldFolders, isUnjoined, JOINED_FILE } from "../run/run.ts";
import { latestCheckpoint, removeCheckpoints, requireNoOther } from "./checkpoint.ts";

/** Weights files of a member: the kept epoch in the name, so that a new one replaces none in use. */
const WEIGHTS_FILE = /^kept-\d{4,}\.bin$/;

const memberSchema = z.object({
  fingerprint: z.string(),
  file: z.string().regex(WEIGHTS_FILE),
  sha256: z.string(),
  entries: z.array(tensorEntrySchema),
});

/**
 * Saves what a fold's training keeps: the weights behind the frozen layers. The JSON file is replaced
 * when the weights are there, the old ones are removed last: a kill leaves the old or the new ones.
 *
 * @param model The whole model as it is in that epoch.
 */
export async function saveMember(
  { folder, fingerprint }: Place,
  model: Model,
  { frozenLayers, epoch }: { frozenLayers: number; epoch: number },
): Promise<void> {
  const shared = new Set(frozenPart(model.graph, frozenLayers).map(({ name }) => name));
  const own = [...model.weights].filter(([name]) => !shared.has(name.split("/")[0]!));
  const file = `kept-${String(epoch).padStart(4, "0")}.bin`;
  await Deno.mkdir(folder, { recursive: true });
  const written = await writeTensors(join(folder, file), own);
  await writeJson(join(folder, "member.json"), { fingerprint, file, ...written });
  for await (const { name } of Deno.readDir(folder)) {
    if (WEIGHTS_FILE.test(name) && name !== file) await Deno.remove(join(folder, name));
  }
}

/** Where the training of a fold has its checkpoints, and what they depend on. */
export type Place = { folder: string; fingerprint: string };

async function readMember({ folder, fingerprint }: Place) {
  const member = memberSchema.parse(await readJson(join(folder, "member.json"), ""));
  if (member.fingerprint !== fingerprint) throw new Error("of another training");
  await Deno.stat(join(folder, member.file));
  return member;
}

/**
 * The model of all folds: the frozen layers once, and what each fold's training kept.
 *
 * @param start What they all started from.
 * @returns The caller disposes it.
 * @throws {TrainingError} When the weights of a fold are gone or damaged.
 */
export async function joinMembers(
  start: Model,
  frozenLayers: number,
  folders: readonly Place[],
): Promise<Model> {
  const members: Map<string, TensorFlow.Tensor>[] = [];
  try {
    for (const place of folders) {
      const { file, entries, sha256 } = await readMember(place);
      members.push(await readTensors(join(place.folder, file), entries, sha256));
    }
  } catch (cause) {
    tf.dispose(members.flatMap((weights) => [...weights.values()]));
    throw new TrainingError(
      `The trained weights in ${folders[members.length]!.folder} are gone or damaged.`,
      "Set training.startAnew to true and train again.",
      { cause },
    );
  }
  return assembleEnsemble(start, frozenLayers, members);
}

/** What `joined.json` says: the weights of the members, and of the model that was made of them. */
const joinedOf = async (folders: readonly Place[], model: string) => ({
  members: await Promise.all(folders.map(async (place) => (await readMember(place)).sha256)),
  model,
});

/**
 * Whether the run's model was joined from just these members.
 *
 * @param model SHA-256 of the weights of the run's model as it is now.
 */
export async function isJoined(
  checkpoints: string,
  folders: readonly Place[],
  model: string,
): Promise<boolean> {
  const joined = await readJson(join(checkpoints, JOINED_FILE), "").catch(() => null);
  return isDeepStrictEqual(joined, await joinedOf(folders, model));
}

/** Notes that the run's model is now that of these members. */
export async function noteJoined(
  checkpoints: string,
  folders: readonly Place[],
  model: string,
): Promise<void> {
  await writeJson(join(checkpoints, JOINED_FILE), await joinedOf(folders, model));
}

/** Notes that the run's model is no longer that of the members. */
export const forgetJoined = (checkpoints: string): Promise<void> =>
  Deno.remove(join(checkpoints, JOINED_FILE)).catch(() => {});

/**
 * Makes sure that no unfinished training of this run would be lost: one with other settings, of a
 * single split, or of other folds. What lies in folders that are not used now is then removed.
 *
 * @param checkpoints Folder of them all.
 * @param used Folders of the training that is about to begin, with its fingerprint.
 * @throws {TrainingError} See `requireNoOther`; not with `startAnew`.
 */
export async function clearOtherCheckpoints(
  checkpoints: string,
  used: readonly Place[],
  startAnew: boolean,
): Promise<void> {
  const folds = (await foldFolders(checkpoints)).map((name) => join(checkpoints, name));
  const others = [checkpoints, ...folds]
    .filter((folder) => !used.some((own) => own.folder === folder))
    .map((folder) => ({ folder, fingerprint: used[0]!.fingerprint }));
  if (!startAnew) {
    const isUnfinished = await isUnjoined(checkpoints);
    for (const { folder, fingerprint } of [...used, ...others]) {
      // a fold that has come to its end is lost all the same while the others have not
      const counts = isUnfinished && folder !== checkpoints;
      await requireNoOther(folder, fingerprint, (state) => counts || !state.over);
    }
  }
  for (const { folder } of others) {
    if (folder === checkpoints) await removeCheckpoints(folder);
    else await Deno.remove(folder, { recursive: true });
  }
}

/**
 * The state of a fold's training that has come to its end, so that nothing has to be loaded for it;
 * `null`: there is something left to do.
 */
export async function finishedTraining(place: Place, epochs: number) {
  const saved = await latestCheckpoint(place.folder);
  if (saved?.fingerprint !== place.fingerprint || saved.state.partial !== null) return null;
  const isOver = saved.state.stopped || saved.state.epoch >= epochs;
  return isOver && await hasMember(place) ? saved.state : null;
}

/** Whether the training of a fold has left weights. */
export const hasMember = (place: Place): Promise<boolean> =>
  readMember(place).then(() => true, () => false);
