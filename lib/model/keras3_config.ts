import { type Graph, inferShapes, type Shape } from "./graph.ts";
import { kerasLayers } from "./keras_classes.ts";

/**
 * A graph as the config.json of a `.keras` archive: a functional model of built-in layers only, so
 * that `keras.models.load_model` needs neither custom objects nor trust.
 *
 * @param inputs Shape of each input layer, without the batch axis.
 */
export function keras3Config(
  name: string,
  graph: Graph,
  inputs: ReadonlyMap<string, Shape>,
): Record<string, unknown> {
  const shapes = inferShapes(graph, inputs);
  const tensor = (layer: string) => ({
    class_name: "__keras_tensor__",
    config: {
      shape: [null, ...shapes.get(layer) ?? []],
      dtype: "float32",
      keras_history: [layer, 0, 0],
    },
  });
  const classes = kerasLayers(graph, inputs);
  const layers = graph.map((layer, index) => {
    const { class_name, config: { batch_input_shape, ...config } } = classes[index]!;
    const tensors = layer.inputs.map(tensor);
    const merges = tensors.length > 1; // such a layer takes a list of tensors as its one argument
    return {
      module: "keras.layers",
      class_name,
      config: batch_input_shape ? { ...config, batch_shape: batch_input_shape } : config,
      registered_name: null,
      name: layer.name,
      inbound_nodes: tensors.length === 0
        ? []
        : [{ args: merges ? [tensors] : tensors, kwargs: {} }],
    };
  });
  return {
    module: "keras.src.models.functional",
    class_name: "Functional",
    config: {
      name,
      trainable: true,
      layers,
      input_layers: [...inputs.keys()].map((input) => [input, 0, 0]),
      output_layers: [[graph.at(-1)!.name, 0, 0]],
    },
    registered_name: "Functional",
    build_config: {},
    compile_config: {},
  };
}
