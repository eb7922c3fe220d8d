import { breathe } from "../../breathe.ts";
import { weightSpecs } from "../../model/graph.ts";
import { inputShape, type Model } from "../../model/model.ts";
import { createRandom, type Random } from "../../random.ts";
import { type TensorFlow, tf } from "../../setup/tensorflow.ts";

/**
 * A copy of a model that has unlearnt its last layers: in each of their weights the values have
 * changed places at random. They keep their distribution, so that activations keep their scale;
 * freshly drawn ones would not, behind BatchNorms with moving statistics of their own.
 *
 * @param count How many layers, counted from the output.
 * @returns `dispose` frees the new weights only; the others are the given model's.
 */
export async function shuffleWeights(
  model: Model,
  count: number,
  seed: number,
): Promise<{ model: Model; dispose: () => void }> {
  const layers = new Set(model.graph.slice(-count).map(({ name }) => name));
  const specs = weightSpecs(model.graph, inputShape(model.architecture));
  const made: [name: string, tensor: TensorFlow.Tensor][] = [];
  for (const { name, shape } of specs.filter(({ layer }) => layers.has(layer))) {
    const values = (await model.weights.get(name)!.data() as Float32Array).slice();
    shuffleInPlace(values, createRandom(`${seed}/shuffle/${name}`));
    made.push([name, tf.tensor(values, shape)]);
    await breathe();
  }
  return {
    model: { ...model, weights: new Map([...model.weights, ...made]) },
    dispose: () => tf.dispose(made.map(([, tensor]) => tensor)),
  };
}

/** Fisher-Yates on the array itself: the weights of a layer may be millions. */
function shuffleInPlace(values: Float32Array, random: Random): void {
  for (let i = values.length - 1; i > 0; i--) {
    const j = random.integer(i + 1);
    const value = values[i]!;
    values[i] = values[j]!;
    values[j] = value;
  }
}
