import type { Graph, Shape } from "./graph.ts";
import { kerasTopology } from "./keras_topology.ts";

/** A layer as `kerasTopology` writes it. */
export interface KerasLayer {
  name: string;
  class_name: string;
  config: Record<string, unknown>;
  inbound_nodes: unknown[];
}

/** The layers of a graph in the form of Keras 2, in Keras' order. */
export function kerasLayers(graph: Graph, inputs: ReadonlyMap<string, Shape>): KerasLayer[] {
  const { config } = kerasTopology("", graph, inputs) as { config: { layers: KerasLayer[] } };
  return config.layers;
}

/**
 * The names that the HDF5 files of Keras 3 give layers: their class in snake case, numbered from the
 * second on (`conv2d`, `conv2d_1`, ...), as `keras.src.saving.saving_lib` does.
 *
 * @returns File name by layer name.
 */
export function kerasFileNames(
  graph: Graph,
  inputs: ReadonlyMap<string, Shape>,
): Map<string, string> {
  const used = new Map<string, number>();
  return new Map(
    kerasLayers(graph, inputs).map(({ name, class_name }) => {
      const base = snakeCase(class_name);
      const count = used.get(base) ?? 0;
      used.set(base, count + 1);
      return [name, count === 0 ? base : `${base}_${count}`];
    }),
  );
}

/** `keras.src.utils.naming.to_snake_case`. */
function snakeCase(className: string): string {
  return className
    .replace(/\W+/g, "")
    .replace(/(.)([A-Z][a-z]+)/g, "$1_$2")
    .replace(/([a-z])([A-Z])/g, "$1_$2")
    .toLowerCase();
}
