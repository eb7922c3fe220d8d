import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { DataError, ModelError } from "../core/errors.ts";
import { exists, readJson, sha256File, writeJson } from "../core/files.ts";
import { type ModelCard, modelCardSchema } from "../run/model_card.ts";
import { isUnjoined, type Run } from "../run/run.ts";
import { readSplit, type SplitRow } from "../run/split_file.ts";
import { sizeOf, weightSpecs } from "./graph.ts";
import { KERAS_FILE, kerasTopology, readKerasCard, saveKeras } from "./keras_files.ts";
import { buildGraph, inputShape, type Model, orderedWeights } from "./model.ts";
import { readTensors, tensorEntrySchema, writeTensors } from "./model.ts";

/** Names of weights files in a model folder: each is named after its content. */
const WEIGHTS_FILE = /^weights-[0-9a-f]{12}\.bin$/;

/** The card of a model that is yet to be written; saving adds what it learns by writing. */
export type CardDraft = Omit<ModelCard, "weights">;

/**
 * Saves a model folder: model.json (tfjs layers format, so that `tf.loadLayersModel` reads it too,
 * with the card as its metadata), the weights, and model_card.json.
 *
 * A kill at any moment leaves the old model or the new one: the weights get a name of their own by
 * content, model.json is then replaced in one step, and the old weights are removed last.
 */
export async function saveModel(
  folder: string,
  model: Model,
  draft: CardDraft,
): Promise<ModelCard> {
  const pending = join(folder, "weights.bin.pending");
  const { entries, sha256 } = await writeTensors(pending, orderedWeights(model));
  const file = `weights-${sha256.slice(0, 12)}.bin`;
  await Deno.rename(pending, join(folder, file));
  const parameters = entries.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  const card: ModelCard = { ...draft, weights: { sha256, parameters } };
  await writeJson(join(folder, "model.json"), {
    format: "layers-model",
    generatedBy: `glomeruli model format ${card.format}`,
    convertedBy: null,
    modelTopology: kerasTopology(model),
    weightsManifest: [{ paths: [file], weights: entries }],
    userDefinedMetadata: card,
  });
  await writeJson(join(folder, "model_card.json"), card);
  for await (const { name } of Deno.readDir(folder)) {
    if (WEIGHTS_FILE.test(name) && name !== file) await Deno.remove(join(folder, name));
  }
  return card;
}

/** Bytes of model.json; one of 200 layers takes 100 kB. */
const MAX_MODEL_JSON_BYTES = 5_000_000;

const modelJsonSchema = z.object({
  weightsManifest: z.tuple([z.object({
    paths: z.tuple([z.string().regex(WEIGHTS_FILE)]),
    weights: z.array(tensorEntrySchema),
  })]),
  userDefinedMetadata: modelCardSchema,
});

/**
 * Loads a model folder written by {@linkcode saveModel}. The folder is untrusted: the layers are
 * rebuilt from the architecture's name, never from the file, and every weight's name and shape must
 * be the one that these layers need before anything is read.
 *
 * @returns The model, which the caller disposes, and its card.
 * @throws {ModelError} When the folder is missing, incomplete, damaged, or of another version.
 */
export async function loadModel(folder: string): Promise<{ model: Model; card: ModelCard }> {
  const { path, card, file, entries } = await readModelJson(folder);
  const { architecture } = card;
  const graph = buildGraph(architecture);
  const specs = weightSpecs(graph, inputShape(architecture));
  const missing = specs.find(({ name, shape }, index) =>
    entries[index]?.name !== name || entries[index].shape.join() !== shape.join()
  );
  if (missing || entries.length > specs.length) {
    const what = missing
      ? `${missing.name} [${missing.shape}] is missing or misshapen.`
      : "it has too many.";
    const message = `${path} does not hold the weights of ${architecture.backbone}: ${what}`;
    throw new ModelError(message, NO_MODEL, { file: path });
  }
  const weights = await readTensors(join(folder, file), entries, card.weights.sha256);
  return { model: { architecture, graph, weights }, card };
}

const NO_MODEL = "Train a model first (notebook 05), or name the run that has one.";

/** The card of a model folder, and where its weights are; nothing of it has been checked but its form. */
async function readModelJson(folder: string) {
  const path = join(folder, "model.json");
  if (!await exists(path)) throw new ModelError(`There is no model in ${folder}.`, NO_MODEL);
  if ((await Deno.stat(path)).size > MAX_MODEL_JSON_BYTES) {
    throw new ModelError(`${path} is far too large for a model.`, NO_MODEL, { file: path });
  }
  let json: unknown;
  try {
    json = JSON.parse(await Deno.readTextFile(path));
  } catch (cause) {
    throw new ModelError(`${path} is damaged: it is not JSON.`, NO_MODEL, { file: path, cause });
  }
  const parsed = modelJsonSchema.safeParse(json);
  if (!parsed.success) {
    const { path: field, message } = parsed.error.issues[0]!;
    throw new ModelError(
      `${path} was not written by this version of the project (${field.join(".")}: ${message}).`,
      "Train again with this version (notebook 05).",
      { file: path },
    );
  }
  const { weightsManifest: [{ paths: [file], weights }], userDefinedMetadata } = parsed.data;
  return { path, card: userDefinedMetadata, file, entries: weights };
}

/**
 * Replaces the card of a saved model: in model.json, in model_card.json and, where there is one, in
 * model.keras; weights stay as they are. Each file is replaced in one step. After a kill between
 * them, the same call again puts all in order; model.json is the one that counts.
 *
 * @param model As loaded from the folder.
 * @param card The loaded one with changes.
 * @throws {ModelError} When another model has taken the folder's place since.
 */
export async function updateCard(folder: string, model: Model, card: ModelCard): Promise<void> {
  const path = join(folder, "model.json");
  const remedy = "Run the notebook again.";
  const json = await readJson(path, remedy) as Record<string, unknown>;
  const { weights } = json["userDefinedMetadata"] as ModelCard;
  if (weights.sha256 !== card.weights.sha256) {
    throw new ModelError(`${path} has been replaced by another model meanwhile.`, remedy, {
      file: path,
    });
  }
  await writeJson(path, { ...json, userDefinedMetadata: card });
  await writeJson(join(folder, "model_card.json"), card);
  const keras = join(folder, KERAS_FILE);
  if (!await exists(keras)) return;
  const exported = await readKerasCard(keras).catch(() => null); // damaged: written anew
  if (!isDeepStrictEqual(exported, card)) await saveKeras(folder, model, card);
}

/** A trained run: its model, which the caller disposes, and the split that it was trained on. */
export type RunModel = { model: Model; card: ModelCard; split: SplitRow[] };

/**
 * Loads the run's saved model together with its split.
 *
 * @throws {ModelError} When there is no usable model.
 * @throws {DataError} When the split is missing, or is not the one that the model was trained on:
 * its other images could then be ones the model has learnt.
 */
export async function loadRunModel({ paths }: Run): Promise<RunModel> {
  if (await isUnjoined(paths.checkpoints)) {
    throw new ModelError(
      `The training of the folds in ${paths.checkpoints} has not come to its end: a model in ` +
        `${paths.model} would be an earlier one.`,
      "Run notebook 05 again; it goes on where it was.",
      { file: paths.checkpoints },
    );
  }
  const { card } = await readModelJson(paths.model); // the weights only when the split is right
  const split = await readSplit(paths.split);
  if (await sha256File(paths.split) === card.data.splitSha256) {
    return { ...await loadModel(paths.model), split };
  }
  throw new DataError(
    `${paths.split} is not the split that the model was trained on: some of its test images may be ones ` +
      "that the model has learnt.",
    "Train again with this split (notebook 05), then run notebook 06.",
    { file: paths.split },
  );
}
