import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { ModelError } from "../errors.ts";
import { exists, readJson, writeJson } from "../files.ts";
import type { Model } from "./model.ts";
import type { ModelCard } from "./model_card.ts";
import { KERAS_FILE, readKerasCard, saveKeras } from "./save_keras.ts";

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
    throw new ModelError(`${path} has been replaced by another model meanwhile.`, remedy);
  }
  await writeJson(path, { ...json, userDefinedMetadata: card });
  await writeJson(join(folder, "model_card.json"), card);
  const keras = join(folder, KERAS_FILE);
  if (!await exists(keras)) return;
  const exported = await readKerasCard(keras).catch(() => null); // damaged: written anew
  if (!isDeepStrictEqual(exported, card)) await saveKeras(folder, model, card);
}
