import { ModelError } from "../errors.ts";
import { fromRoot } from "../paths.ts";
import { tf } from "../setup/tensorflow.ts";
import { type WeightSpec, weightSpecs } from "./graph.ts";
import { isHeadLayer } from "./head.ts";
import { readKerasWeights } from "./keras_weights.ts";
import { loadModel } from "./load_model.ts";
import { inputShape, type Model } from "./model.ts";
import type { ModelCard } from "./model_card.ts";

/**
 * Puts the weights of a Keras file or of a model folder of this project into a model. All of them
 * are read and checked before the first one is replaced.
 *
 * A model folder gives backbone and head, and so does a Keras file with this project's head
 * (model.keras); of any other Keras file only the backbone is taken.
 *
 * @param given Path as the config has it; a relative one is meant from the project.
 * @returns Where the weights came from, for the model's card.
 * @throws {ModelError} When nothing is there, or it does not fit; the model is then unchanged.
 */
export async function loadWeights(
  model: Model,
  given: string,
): Promise<ModelCard["startingWeights"]> {
  const path = fromRoot(given);
  const { isDirectory } = await Deno.stat(path).catch((cause) => {
    throw new ModelError(
      `model.weights is ${JSON.stringify(given)}, and there is nothing at ${path}.`,
      'Correct the path (relative ones are meant from the project), or write "imagenet" or "random".',
      { cause },
    );
  });
  return isDirectory ? await fromFolder(model, path, given) : await fromFile(model, path, given);
}

/** Puts values, which must be complete, into a model's weights of these names. */
export function replaceWeights(
  model: Model,
  specs: readonly WeightSpec[],
  values: ReadonlyMap<string, Float32Array>,
): void {
  for (const { name, shape } of specs) {
    model.weights.get(name)?.dispose();
    model.weights.set(name, tf.tensor(values.get(name)!, shape));
  }
}

async function fromFile(
  model: Model,
  path: string,
  given: string,
): Promise<ModelCard["startingWeights"]> {
  const inputs = inputShape(model.architecture);
  const specs = weightSpecs(model.graph, inputs);
  const required = specs.filter(({ layer }) => !isHeadLayer(layer));
  const optional = specs.filter(({ layer }) => isHeadLayer(layer));
  const { values, sha256 } = await readKerasWeights(path, model.graph, inputs, {
    required,
    optional,
  });
  const found = specs.filter(({ name }) => values.has(name));
  replaceWeights(model, found, values);
  const what = found.length === specs.length
    ? "backbone and head"
    : "the backbone; the head starts at random";
  return { kind: "file", note: `Keras file ${given}: ${what}`, sha256 };
}

async function fromFolder(
  model: Model,
  folder: string,
  given: string,
): Promise<ModelCard["startingWeights"]> {
  const { model: source, card } = await loadModel(folder);
  const [ours, theirs] = [model.architecture, source.architecture];
  const difference = ours.backbone !== theirs.backbone
    ? `its backbone is ${theirs.backbone} where model.backbone is ${ours.backbone}`
    : ours.classes.join("\n") !== theirs.classes.join("\n")
    ? `its classes are ${theirs.classes.join(", ")} where data.classes is ${
      ours.classes.join(", ")
    }`
    : null;
  if (difference !== null) {
    tf.dispose([...source.weights.values()]);
    throw new ModelError(
      `The model in ${folder} cannot be trained further here: ${difference}.`,
      "Change the config to what the model has, or name another model in model.weights.",
    );
  }
  tf.dispose([...model.weights.values()]);
  model.weights.clear();
  for (const [name, tensor] of source.weights) model.weights.set(name, tensor);
  const note = `model ${given} (run ${card.run}, epoch ${card.training.bestEpoch}): ` +
    "backbone and head";
  return { kind: "model", note, sha256: card.weights.sha256 };
}
