import h5wasm from "h5wasm/node";
import { join } from "node:path";
import { ModelError } from "../errors.ts";
import { requireWeight } from "./fold.ts";
import { weightSpecs } from "./graph.ts";
import { kerasFileNames } from "./keras_classes.ts";
import { keras3Config } from "./keras3_config.ts";
import { inputShape, type Model } from "./model.ts";
import { type ModelCard, modelCardSchema } from "./model_card.ts";
import { readZipEntry, writeZip } from "./zip.ts";

/** Name of the Keras file in a model folder. */
export const KERAS_FILE = "model.keras";

/** The form that is written; later versions of Keras 3 read it. */
const KERAS_VERSION = "3.0.0";

const MAX_METADATA_BYTES = 1_000_000;

/**
 * Writes a model as model.keras into its folder, atomically: `keras.models.load_model` of Python's
 * Keras 3 opens it without custom objects. Layers have the names that keras.applications gives them.
 *
 * The model takes preprocessed images; how to preprocess, the class names and the threshold are in
 * the archive's metadata.json as `model_card`.
 *
 * @example
 * ```py
 * card = json.loads(zipfile.ZipFile("model.keras").read("metadata.json"))["model_card"]
 * ```
 * @returns The file's path.
 * @throws {ModelError} When there is no room for a temporary copy of the weights.
 * @throws The file system's own error when the folder cannot be written to; an old file stays.
 */
export async function saveKeras(folder: string, model: Model, card: ModelCard): Promise<string> {
  const path = join(folder, KERAS_FILE);
  const inputs = inputShape(model.architecture);
  const config = keras3Config(card.architecture.backbone, model.graph, inputs);
  const metadata = {
    keras_version: KERAS_VERSION,
    date_saved: card.created.replace("T", "@").slice(0, 19),
    model_card: card,
  };
  await writeZip(path, [
    ["metadata.json", encodeJson(metadata)],
    ["config.json", encodeJson(config)],
    ["model.weights.h5", await encodeWeights(model)],
  ]);
  return path;
}

/**
 * The card of an exported model, from its metadata.json.
 *
 * @throws {ModelError} When the file is no archive that {@linkcode saveKeras} wrote.
 */
export async function readKerasCard(path: string): Promise<ModelCard> {
  try {
    const bytes = await readZipEntry(path, "metadata.json", MAX_METADATA_BYTES);
    const { model_card } = JSON.parse(new TextDecoder().decode(bytes ?? new Uint8Array()));
    return modelCardSchema.parse(model_card);
  } catch (cause) {
    throw new ModelError(
      `${path} was not written by this version of the project, or is damaged.`,
      "Run notebook 05 again; it writes this file at its end.",
      { cause },
    );
  }
}

/** The weights as a `.weights.h5` file of Keras 3: `layers/conv2d_1/vars/0`, ... */
async function encodeWeights(model: Model): Promise<Uint8Array> {
  const inputs = inputShape(model.architecture);
  const specs = weightSpecs(model.graph, inputs);
  const values = new Map<string, Float32Array>();
  for (const { name } of specs) {
    values.set(name, await requireWeight(model.weights, name).data() as Float32Array);
  }
  const temporary = await Deno.makeTempFile({ suffix: ".h5" });
  const library = await h5wasm.ready;
  library.activate_throwing_error_handler(); // else a full disk would go unnoticed
  try {
    const file = new h5wasm.File(temporary, "w");
    const layers = file.create_group("layers");
    for (const [layer, fileName] of kerasFileNames(model.graph, inputs)) {
      const variables = layers.create_group(fileName).create_group("vars");
      variables.create_attribute("name", layer);
      specs.filter((spec) => spec.layer === layer).forEach(({ name, shape }, place) =>
        variables.create_dataset({
          name: String(place),
          data: values.get(name)!,
          shape,
          dtype: "<f4",
        })
      );
    }
    file.create_group("vars"); // the model's own, beyond its layers: none
    file.close();
    return await Deno.readFile(temporary);
  } catch (cause) {
    throw new ModelError(
      `The weights of ${KERAS_FILE} could not be written to the temporary file ${temporary}.`,
      "Free some disk space there, then run notebook 05 again.",
      { cause },
    );
  } finally {
    library.deactivate_throwing_error_handler();
    await Deno.remove(temporary);
  }
}

function encodeJson(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}
