import { join } from "node:path";
import { z } from "zod";
import { ModelError } from "../errors.ts";
import { exists } from "../files.ts";
import { weightSpecs } from "./graph.ts";
import { buildGraph, inputShape, type Model } from "./model.ts";
import { type ModelCard, modelCardSchema } from "./model_card.ts";
import { WEIGHTS_FILE } from "./save_model.ts";
import { readTensors } from "./tensor_file.ts";

/** A topology of some 200 layers takes 100 kB; nothing honest comes near this. */
const MAX_MODEL_JSON_BYTES = 5_000_000;

const modelJsonSchema = z.object({
  weightsManifest: z.tuple([z.object({
    paths: z.tuple([z.string().regex(WEIGHTS_FILE)]),
    weights: z.array(z.object({
      name: z.string(),
      shape: z.array(z.int().positive()),
      dtype: z.literal("float32"),
    })),
  })]),
  userDefinedMetadata: modelCardSchema,
});

/**
 * Loads a model folder written by `saveModel`. The folder is untrusted: the layers are rebuilt from
 * the architecture's name, never from the file, and every weight's name and shape must be the one
 * that these layers need before anything is read.
 *
 * @returns The model, which the caller disposes, and its card.
 * @throws {ModelError} When the folder is missing, incomplete, damaged, or of another version.
 */
export async function loadModel(folder: string): Promise<{ model: Model; card: ModelCard }> {
  const path = join(folder, "model.json");
  const remedy = "Train a model first (notebook 05), or name the run that has one.";
  if (!await exists(path)) throw new ModelError(`There is no model in ${folder}.`, remedy);
  if ((await Deno.stat(path)).size > MAX_MODEL_JSON_BYTES) {
    throw new ModelError(`${path} is far too large for a model.`, remedy);
  }
  let json: unknown;
  try {
    json = JSON.parse(await Deno.readTextFile(path));
  } catch (cause) {
    throw new ModelError(`${path} is damaged: it is not JSON.`, remedy, { cause });
  }
  const parsed = modelJsonSchema.safeParse(json);
  if (!parsed.success) {
    const { path: field, message } = parsed.error.issues[0]!;
    throw new ModelError(
      `${path} was not written by this version of the project (${field.join(".")}: ${message}).`,
      "Train again with this version (notebook 05).",
    );
  }
  const { weightsManifest: [{ paths: [file], weights: entries }], userDefinedMetadata: card } =
    parsed.data;
  const graph = buildGraph(card.architecture);
  const specs = weightSpecs(graph, inputShape(card.architecture));
  const mismatch = specs.findIndex((spec, index) =>
    entries[index]?.name !== spec.name ||
    entries[index].shape.join() !== spec.shape.join()
  );
  if (mismatch >= 0 || entries.length !== specs.length) {
    const spec = specs[mismatch];
    throw new ModelError(
      `${path} does not hold the weights of ${card.architecture.backbone}: ` +
        (spec ? `${spec.name} [${spec.shape}] is missing or misshapen.` : "it has too many."),
      remedy,
    );
  }
  const weights = await readTensors(join(folder, file), entries, card.weights.sha256);
  return { model: { architecture: card.architecture, graph, weights }, card };
}
