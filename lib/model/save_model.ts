import { join } from "node:path";
import { writeJson } from "../files.ts";
import { weightSpecs } from "./graph.ts";
import { kerasTopology } from "./keras_topology.ts";
import { inputShape, type Model } from "./model.ts";
import type { ModelCard } from "./model_card.ts";
import { requireWeight } from "./fold.ts";
import { writeTensors } from "./tensor_file.ts";

/** Names of weights files in a model folder: each is named after its content. */
export const WEIGHTS_FILE = /^weights-[0-9a-f]{12}\.bin$/;

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
  const inputs = inputShape(model.architecture);
  const specs = weightSpecs(model.graph, inputs);
  const pending = join(folder, "weights.bin.pending");
  const { entries, sha256 } = await writeTensors(
    pending,
    specs.map(({ name }) => [name, requireWeight(model.weights, name)] as const),
  );
  const file = `weights-${sha256.slice(0, 12)}.bin`;
  await Deno.rename(pending, join(folder, file));
  const parameters = specs.reduce(
    (sum, { shape }) => sum + shape.reduce((product, extent) => product * extent, 1),
    0,
  );
  const card: ModelCard = { ...draft, weights: { sha256, parameters } };
  await writeJson(join(folder, "model.json"), {
    format: "layers-model",
    generatedBy: `glomeruli model format ${card.format}`,
    convertedBy: null,
    modelTopology: kerasTopology(card.architecture.backbone, model.graph, inputs),
    weightsManifest: [{ paths: [file], weights: entries }],
    userDefinedMetadata: card,
  });
  await writeJson(join(folder, "model_card.json"), card);
  for await (const { name } of Deno.readDir(folder)) {
    if (WEIGHTS_FILE.test(name) && name !== file) {
      await Deno.remove(join(folder, name));
    }
  }
  return card;
}
