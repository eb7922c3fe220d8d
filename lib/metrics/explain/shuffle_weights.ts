import { weightSpecs } from "../../model/graph.ts";
import { inputShape, type Model } from "../../model/model.ts";
import { createRandom } from "../../random.ts";
import { tf } from "../../setup/tensorflow.ts";

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
  const made = await Promise.all(
    specs.filter(({ layer }) => layers.has(layer)).map(async ({ name, shape }) => {
      const values = await model.weights.get(name)!.data() as Float32Array;
      const shuffled = createRandom(`${seed}/shuffle/${name}`).shuffle([...values]);
      return [name, tf.tensor(shuffled, shape)] as const;
    }),
  );
  return {
    model: { ...model, weights: new Map([...model.weights, ...made]) },
    dispose: () => tf.dispose(made.map(([, tensor]) => tensor)),
  };
}
