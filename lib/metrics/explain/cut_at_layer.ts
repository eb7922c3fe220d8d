import { ConfigError } from "../../errors.ts";
import { type Graph, inferShapes, type Layer, type Shape } from "../../model/graph.ts";

/** A network in two parts, around one layer's activation. */
export interface LayerCut {
  /** Everything that does not depend on the layer's activation, and the layer itself. */
  before: Graph;
  /** What depends on it; begins with one `input` layer for each name of `boundary`. */
  after: Graph;
  /** What `after` reads of `before`: the layer first, then others (such as shortcuts past it). */
  boundary: string[];
}

/**
 * Cuts a graph so that the part behind a layer is a function of this layer's activation.
 *
 * @throws {ConfigError} When there is no such layer.
 */
export function cutAtLayer(graph: Graph, layer: string): LayerCut {
  const behind = new Set<string>();
  for (const { name, inputs } of graph) {
    if (inputs.some((input) => input === layer || behind.has(input))) behind.add(name);
  }
  const after = graph.filter(({ name }) => behind.has(name));
  const crossing = after.flatMap(({ inputs }) => inputs).filter((name) => !behind.has(name));
  const boundary = [...new Set([layer, ...crossing])];
  const inputs = boundary.map((name): Layer => ({ name, inputs: [], op: "input" }));
  return {
    before: graph.filter(({ name }) => !behind.has(name)),
    after: [...inputs, ...after],
    boundary,
  };
}

/** The last layer that still knows where things are: the one before the global pooling. */
export function lastSpatialLayer(graph: Graph, inputs: ReadonlyMap<string, Shape>): string {
  const shapes = inferShapes(graph, inputs);
  return graph.findLast(({ name }) => shapes.get(name)!.length === 3)!.name;
}

/**
 * Height and width of a layer's activation.
 *
 * @throws {ConfigError} When there is no such layer, or its output has no height and width.
 */
export function spatialSize(
  graph: Graph,
  inputs: ReadonlyMap<string, Shape>,
  layer: string,
): { height: number; width: number } {
  const [height, width, channels] = inferShapes(graph, inputs).get(layer) ?? [];
  if (height !== undefined && width !== undefined && channels !== undefined) {
    return { height, width };
  }
  const last = lastSpatialLayer(graph, inputs);
  throw new ConfigError(
    height === undefined
      ? `The model has no layer ${JSON.stringify(layer)}.`
      : `The layer ${layer} has no places in the image any more: it comes after the pooling.`,
    `Name a layer up to ${last}, or leave the layer out: ${last} is then taken.`,
  );
}
